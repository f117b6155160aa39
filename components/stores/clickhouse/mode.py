"""What the modes of ClickHouse have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar

from components.schema.stores import ExternalClickHouse, ManagedClickHouse
from components.stores.connections import ClickHouseConnection
from components.stores.contract import Refs, StoreMode

JOBS = ("migrations", "backup-clickhouse")
"""Workloads that use the native protocol."""

OwnT = TypeVar("OwnT", ManagedClickHouse, ExternalClickHouse)


class ClickHouseMode(StoreMode[OwnT, ClickHouseConnection], ABC):
    """A way to run ClickHouse."""

    name = "clickhouse"

    @abstractmethod
    def backup_connection(self, refs: Refs) -> ClickHouseConnection | None:
        """A connection for the Job that backs up; None if the provider of an external server does."""

    @property
    def version(self) -> str | None:
        """Its release."""
        return self.own.version

    def outputs(self, connection: ClickHouseConnection) -> Mapping[str, str]:
        """The address."""
        return {"address": connection.http.authority}
