"""The numbers of an environment that have to add up, each with its arithmetic.

`python -m operations sizing` prints them, a check refuses settings in which one does not hold, and the tests compute
them for every profile and scale.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from components.application.environment import heap_mebibytes
from components.backups.component import MOST_PARTS, part_mebibytes
from components.schema.environment import Settings, deployment_key
from components.schema.stores import ExternalPostgres, ManagedClickHouse, ManagedRedis, SentinelRedis
from components.schema.values import quantity_value
from components.stores.clickhouse import memory as clickhouse
from components.stores.postgres.mode import (
    AUTOVACUUM_WORKERS,
    CONNECTION_MEBIBYTES,
    connections_in_memory,
    max_connections,
    memory_megabytes,
)
from components.stores.postgres.pool import RESERVED, SMALLEST_POOL, client_pods, pool_size
from components.stores.redis.memory import OVERHEAD_BYTES, data_bytes

MEBIBYTE: Final = 1024**2

NATIVE_MEBIBYTES: Final = 256
"""Memory of a pod of the application besides Node's heap: its code, Prisma's engine, buffers of requests."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One sum and what it must not exceed."""

    key: str
    """The key to change, without `langfuse:`."""
    what: str
    uses: Decimal
    has: Decimal
    unit: str
    """`MiB` or `connections`."""
    formula: str

    @property
    def fits(self) -> bool:
        """Whether it holds."""
        return self.uses <= self.has


def bounds(settings: Settings) -> Sequence[Bound]:
    """Every bound of an environment. External stores have only those that the configuration states."""
    return [*_application(settings), *_postgres(settings), *_clickhouse(settings), *_redis(settings)]


def _application(settings: Settings) -> Iterator[Bound]:
    for name, workload in settings.deployments.items():
        heap = heap_mebibytes(workload)
        yield Bound(
            key=f"{deployment_key(name)}.resources.memory",
            what="Node",
            uses=Decimal(heap + NATIVE_MEBIBYTES),
            has=_mebibytes(workload.resources.memory),
            unit="MiB",
            formula=f"heap {heap} + {NATIVE_MEBIBYTES} for native code and buffers",
        )


def _postgres(settings: Settings) -> Iterator[Bound]:
    store = settings.postgres
    if isinstance(store, ExternalPostgres):
        pool = pool_size(settings, store.connections)
        yield _connections(settings, "postgres.connections", pool, store.connections)
        return
    pool = pool_size(settings, connections_in_memory(store.resources))
    used = _connections(settings, "postgres.resources.memory", pool, max_connections(store.resources))
    yield used
    memory = memory_megabytes(store.resources)
    shared, maintenance = memory["shared_buffers_mb"], memory["maintenance_work_mb"]
    yield Bound(
        key="postgres.resources.memory",
        what="Postgres",
        uses=shared + AUTOVACUUM_WORKERS * maintenance + CONNECTION_MEBIBYTES * used.uses,
        has=_mebibytes(store.resources.memory),
        unit="MiB",
        formula=f"shared_buffers {shared} + {AUTOVACUUM_WORKERS} x maintenance_work_mem {maintenance} + "
        f"{used.uses} connections x {CONNECTION_MEBIBYTES}",
    )
    part = part_mebibytes(store)
    yield Bound(
        key="postgres.storage",
        what="a dump of a full volume in parts",
        uses=_mebibytes(store.storage),
        has=Decimal(MOST_PARTS * part),
        unit="MiB",
        formula=f"{MOST_PARTS} parts x {part}",
    )


def _connections(settings: Settings, key: str, pool: int, connections: int) -> Bound:
    pods = client_pods(settings)
    return Bound(
        key=key,
        what=f"the pods of web and worker, at least {SMALLEST_POOL} each",
        uses=Decimal(pods * pool + RESERVED),
        has=Decimal(connections),
        unit="connections",
        formula=f"{pods} pods during an update x {pool} + {RESERVED} for migrations, dumps and administrators",
    )


def _clickhouse(settings: Settings) -> Iterator[Bound]:
    store = settings.clickhouse
    if not isinstance(store, ManagedClickHouse):
        return
    query, marks, index, server = (
        Decimal(clickhouse.share(store.resources.memory, percent)) / MEBIBYTE
        for percent in (
            clickhouse.QUERY_PERCENT,
            clickhouse.MARK_CACHE_PERCENT,
            clickhouse.INDEX_CACHE_PERCENT,
            clickhouse.SERVER_PERCENT,
        )
    )
    yield Bound(
        key="clickhouse.resources.memory",
        what="the largest query besides full caches",
        uses=query + marks + index,
        has=server,
        unit="MiB",
        formula=f"query {query:.0f} + marks {marks:.0f} + index {index:.0f}; the server may use "
        f"{clickhouse.SERVER_PERCENT} % of the memory",
    )


def _redis(settings: Settings) -> Iterator[Bound]:
    store = settings.redis
    if not isinstance(store, ManagedRedis | SentinelRedis):
        return
    data, overhead = Decimal(data_bytes(store.resources)) / MEBIBYTE, Decimal(OVERHEAD_BYTES) / MEBIBYTE
    memory = _mebibytes(store.resources.memory)
    yield Bound(
        key="redis.resources.memory",
        what="Valkey while it rewrites its append-only file",
        uses=2 * data + overhead,
        has=memory,
        unit="MiB",
        formula=f"2 x maxmemory {data:.0f}, since the rewrite copies pages that change, + {overhead:.0f} for buffers",
    )
    yield Bound(
        key="redis.storage",
        what="the append-only file and its rewrite",
        uses=2 * memory,
        has=_mebibytes(store.storage),
        unit="MiB",
        formula=f"2 x memory {memory:.0f}",
    )


def _mebibytes(quantity: str) -> Decimal:
    return quantity_value(quantity) / MEBIBYTE
