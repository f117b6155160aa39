"""ClickHouse: traces, observations and scores."""

from typing import Any

from components.schema.environment import Settings
from components.schema.stores import ExternalClickHouse, ManagedClickHouse
from components.stores.clickhouse.external import ExternalClickHouseMode
from components.stores.clickhouse.managed import ManagedClickHouseMode
from components.stores.clickhouse.mode import ClickHouseMode
from components.stores.connections import ClickHouseConnection
from components.stores.contract import Store


class ClickHouse(Store[ClickHouseConnection]):
    """The analytical database, in the mode of `langfuse:clickhouse`."""


def clickhouse_mode(settings: Settings) -> ClickHouseMode[Any]:
    """The configured mode. A new mode is one more case."""
    match settings.clickhouse:
        case ManagedClickHouse() as config:
            return ManagedClickHouseMode(settings, config)
        case ExternalClickHouse() as config:
            return ExternalClickHouseMode(settings, config)
