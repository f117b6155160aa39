"""What the modes of Postgres have in common."""

from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeVar

from components.kubernetes.variables import SecretRef
from components.schema.base import Resources
from components.schema.stores import Postgres
from components.schema.values import quantity_value
from components.stores.connections import Endpoint, PostgresConnection
from components.stores.contract import (
    MIGRATIONS,
    REPAIR,
    RESTORE_POSTGRES,
    REVOKE_KEY,
    SERVERS,
    SecretRefs,
    StoreMode,
)

PORT = 5432
ROLE = "langfuse"
DATABASE = "langfuse"

CLIENTS = (*SERVERS, MIGRATIONS, REPAIR, REVOKE_KEY, "backup-postgres", RESTORE_POSTGRES)
"""Workloads that connect in any case."""

BUILTIN_LOCALE = 17
"""First major release with a built-in locale. With a locale of the system, another C library in a new image may change
the order of text under existing indexes. C.UTF-8 of earlier releases also sorts by code point, without a guarantee."""

CONNECTION_MEBIBYTES = 4
"""Assumption: the memory of a connection. One that is idle takes 2 to 3 MiB; `work_mem` of 4 MiB comes on top while it
sorts, for which the page cache gives way."""

FEWEST_CONNECTIONS = 100
"""Postgres' default."""

MOST_CONNECTIONS = 1000
"""More are slower than a pool (postgresql.org/docs/current/runtime-config-connection.html)."""

AUTOVACUUM_WORKERS = 3
"""Postgres' default. Each may use `maintenance_work_mem`."""

LARGEST_LOG_MEBIBYTES = 1024
"""Recovery replays at most so much of the write-ahead log, which takes less than a minute."""

SMALLEST_LOG_MEBIBYTES = 96
"""Postgres keeps 80 MiB of segments at least (`min_wal_size`)."""

ConfigT = TypeVar("ConfigT", bound=Postgres)


class PostgresMode(StoreMode[ConfigT, PostgresConnection], ABC):
    """A way to run Postgres. Jobs of this stack dump it in every mode."""

    name = "postgres"

    @property
    def clients(self) -> Sequence[str]:
        """Workloads that connect."""
        return (*CLIENTS, *self.before_upgrade, *self.exporter)

    def metrics_connection(self, refs: SecretRefs) -> PostgresConnection | None:
        """How the exporter connects: as the application, whose sessions it sees. None if there is no exporter."""
        return self.connection(refs)

    @property
    def backed_up_by(self) -> Literal["job"]:
        """A CronJob dumps the database."""
        return "job"

    @property
    def version(self) -> str | None:
        """The release in the configuration. The model of an external service may have no key for it."""
        version: str | None = getattr(self.config, "version", None)
        return version

    def credentials(self) -> Collection[str]:
        """The password of the role that owns the database."""
        return ["postgres_password"]

    def outputs(self, connection: PostgresConnection) -> Mapping[str, str]:
        """The address."""
        return {"address": connection.endpoint.authority}


def in_cluster_connection(
    host: str,
    version: str,
    password: SecretRef,
    *,
    pool: int,
    tls: Literal["require"] | None = None,
) -> PostgresConnection:
    """A connection to servers in the namespace, by the name of their Service."""
    return PostgresConnection(
        endpoint=Endpoint(host=host, port=PORT),
        database=DATABASE,
        username=ROLE,
        password=password,
        version=version,
        pool=pool,
        tls=tls,
    )


def max_connections(resources: Resources) -> int:
    """What the server allows. It changes only with the memory: a change restarts the server."""
    return max(FEWEST_CONNECTIONS, connections_in_memory(resources))


def connections_in_memory(resources: Resources) -> int:
    """The number of connections that fit three eighths of the memory. The pools of web and worker follow from it."""
    return min(MOST_CONNECTIONS, _mebibytes(resources) * 3 // 8 // CONNECTION_MEBIBYTES)


def _mebibytes(resources: Resources) -> int:
    return int(quantity_value(resources.memory) / 1024**2)


def memory_megabytes(resources: Resources) -> dict[str, int]:
    """Memory settings: a quarter for Postgres itself, and what its planner may assume of the rest."""
    mebibytes = _mebibytes(resources)
    return {
        "shared_buffers_mb": mebibytes // 4,
        "effective_cache_mb": mebibytes // 2,
        "maintenance_work_mb": max(16, min(mebibytes // 16, 1024)),
    }


def log_megabytes(storage: str) -> int:
    """`max_wal_size`: the size of the write-ahead log at which a checkpoint begins, a tenth of the volume.

    It is no limit: while a checkpoint is written, the log grows on. A full volume stops the server.
    """
    tenth = int(quantity_value(storage) / 1024**2) // 10
    return max(SMALLEST_LOG_MEBIBYTES, min(tenth, LARGEST_LOG_MEBIBYTES))
