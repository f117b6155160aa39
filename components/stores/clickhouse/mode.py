"""What the modes of ClickHouse have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar

from components.schema.stores import ClickHouse
from components.stores.connections import ClickHouseConnection
from components.stores.contract import MIGRATIONS, REPAIR, SERVERS, SecretRefs, StoreMode

JOBS = (MIGRATIONS, "backup-clickhouse")
"""Workloads that use the native protocol."""

HTTP_CLIENTS = (*SERVERS, MIGRATIONS, REPAIR)
"""Workloads that use HTTP. The migrations only check it."""

ConfigT = TypeVar("ConfigT", bound=ClickHouse)


class ClickHouseMode(StoreMode[ConfigT, ClickHouseConnection], ABC):
    """A way to run ClickHouse."""

    name = "clickhouse"

    @abstractmethod
    def backup_connection(self, refs: SecretRefs) -> ClickHouseConnection | None:
        """A connection for the Job that backs up; None if the provider of an external server does."""

    def restore_connection(self, refs: SecretRefs) -> ClickHouseConnection | None:
        """A connection for the Job that restores; None if the provider of an external server does."""
        return None

    @property
    def version(self) -> str | None:
        """The release in the configuration. The model of an external service may have no key for it."""
        version: str | None = getattr(self.config, "version", None)
        return version

    def outputs(self, connection: ClickHouseConnection) -> Mapping[str, str]:
        """The address."""
        return {"address": connection.http.authority}
