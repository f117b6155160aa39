"""The stores of an installation, each in its configured mode."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.credentials.sources import NeededCredential, needed_credentials
from components.schema.environment import Settings
from components.stores.clickhouse.component import clickhouse_mode
from components.stores.clickhouse.mode import ClickHouseMode
from components.stores.contract import OperatorPods, StoreMode
from components.stores.object_store.component import object_store_mode
from components.stores.object_store.mode import ObjectStoreMode
from components.stores.postgres.component import postgres_mode
from components.stores.postgres.mode import PostgresMode
from components.stores.redis.component import redis_mode
from components.stores.redis.mode import RedisMode


@dataclass(frozen=True, kw_only=True)
class StoreModes:
    """The mode of each store. Iterating over it yields all four."""

    postgres: PostgresMode[Any]
    redis: RedisMode[Any]
    clickhouse: ClickHouseMode[Any]
    object_store: ObjectStoreMode[Any]

    @classmethod
    def of(cls, settings: Settings) -> "StoreModes":
        """The modes that the settings choose."""
        return cls(
            postgres=postgres_mode(settings),
            redis=redis_mode(settings),
            clickhouse=clickhouse_mode(settings),
            object_store=object_store_mode(settings),
        )

    def __iter__(self) -> Iterator[StoreMode[Any, Any]]:
        """Yield the mode of every store."""
        yield from (self.postgres, self.clickhouse, self.redis, self.object_store)

    @property
    def credentials(self) -> Collection[str]:
        """The ids of the credentials that stores and their clients need."""
        return {id_ for mode in self for id_ in mode.credentials()}

    @property
    def operator_pods(self) -> Sequence[OperatorPods]:
        """Pods that operators create."""
        return [mode.operator_pods for mode in self if mode.operator_pods]

    @property
    def ca_bundles(self) -> Mapping[str, str]:
        """CA bundles of external stores, PEM, by the name of the store."""
        return {mode.name: mode.ca for mode in self if mode.ca}


def installation_credentials(settings: Settings) -> list[NeededCredential]:
    """The credentials that the application and the stores of an installation need, with their sources."""
    return needed_credentials(settings, StoreModes.of(settings).credentials)
