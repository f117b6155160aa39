"""What the modes of Redis have in common."""

from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from components.schema.stores import Redis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import EMPTY_REDIS, MIGRATIONS, REVOKE_KEY, SERVERS, StoreMode

ConfigT = TypeVar("ConfigT", bound=Redis)


class RedisMode(StoreMode[ConfigT, RedisConnection], ABC):
    """A way to run Redis. There is no backup: it would be too old to restore queued jobs."""

    name = "redis"
    backed_up_by = None

    @property
    def version(self) -> str | None:
        """The release in the configuration. The model of an external service may have no key for it."""
        version: str | None = getattr(self.config, "version", None)
        return version

    @property
    def clients(self) -> Sequence[str]:
        """Workloads that connect. The migrations only check the store."""
        return [
            *SERVERS,
            MIGRATIONS,
            REVOKE_KEY,
            *self.exporter,
            *([EMPTY_REDIS] if self.settings.backups.import_from else ()),
        ]

    def monitored_servers(self, connection: RedisConnection) -> Sequence[Endpoint]:
        """The servers whose metrics are exported. Of an external topology with Sentinels, none is known."""
        return () if connection.topology == "sentinel" else [*connection.nodes] or [connection.endpoint]

    def monitored_sentinels(self, connection: RedisConnection) -> Sequence[Endpoint]:
        """The Sentinels whose metrics are exported."""
        return connection.nodes if connection.topology == "sentinel" else ()

    def credentials(self) -> Collection[str]:
        """One password, of the servers and their Sentinels."""
        return ["redis_password"]

    def outputs(self, connection: RedisConnection) -> Mapping[str, str]:
        """The address."""
        return {"address": connection.endpoint.authority}
