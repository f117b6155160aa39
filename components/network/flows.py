"""Who connects to which store: what network rules and the mesh's rules are made of. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from components.backups import off_site
from components.schema.environment import Settings
from components.schema.stores import (
    ClickHouse,
    CloudNativePgPostgres,
    ExternalClickHouse,
    ExternalObjectStore,
    ExternalPostgres,
    ExternalRedis,
    ManagedPostgres,
    ManagedRedis,
    ObjectStore,
    Postgres,
    Redis,
    SentinelRedis,
)
from components.stores.clickhouse import cluster as clickhouse_cluster
from components.stores.clickhouse import component as clickhouse
from components.stores.clickhouse import keeper
from components.stores.object_store import minio
from components.stores.postgres import server as postgres_server
from components.stores.redis import sentinel, valkey

CLOUDNATIVE_PG = "cloudnative-pg"
"""Among clients: the pods that the operator creates. They have the operator's labels and are outside the mesh."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads of the installation open to one of them, or to a store outside."""

    purpose: str
    """What the connections are for: part of the name of the rule for an external store."""
    server: str | None
    """The workload that is connected to; None for a store outside."""
    ports: Sequence[int]
    clients: Sequence[str]
    """Workloads by name; `CLOUDNATIVE_PG` stands for the pods of that operator."""


def flows(settings: Settings) -> Iterator[Flow]:
    """Who connects to which store. The ports are those of the mode that each is run in."""
    application = ["web", "worker"]
    servers = [*application, "first-start"]
    yield from _postgres_flows(settings.postgres, [*servers, "migrations", "backup-postgres"])
    yield from _redis_flows(settings.redis, servers)
    yield from _clickhouse_flows(settings.clickhouse, servers)
    users = [*application, "clickhouse", "object-store-provisioning", "backup-postgres"]
    other = settings.backups.off_site
    if other:
        users.append(off_site.WORKLOAD)
    if isinstance(settings.postgres, CloudNativePgPostgres):
        users.append(CLOUDNATIVE_PG)  # the archive of the log
    yield from _object_store_flows(settings.object_store, users)
    if other:
        yield Flow(purpose="off-site", server=None, ports=[url_port(other.endpoint)], clients=[off_site.WORKLOAD])


def _postgres_flows(settings: Postgres, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedPostgres():
            yield Flow(purpose="postgres", server="postgres", ports=[postgres_server.PORT], clients=clients)
        case ExternalPostgres():
            ports = sorted({settings.port, settings.direct_port or settings.port})
            yield Flow(purpose="postgres", server=None, ports=ports, clients=clients)


def _redis_flows(settings: Redis, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedRedis():
            yield Flow(purpose="redis", server="redis", ports=[valkey.PORT], clients=clients)
        case SentinelRedis():
            ports = [valkey.PORT, sentinel.SENTINEL_PORT]
            yield Flow(purpose="redis", server="redis", ports=ports, clients=[*clients, "redis"])
        case ExternalRedis():
            named = {int(node.rpartition(":")[2]) for node in settings.nodes} or {settings.port}
            if settings.topology == "sentinel":
                named.add(settings.port)
            yield Flow(purpose="redis", server=None, ports=sorted(named), clients=clients)


def _clickhouse_flows(settings: ClickHouse, clients: Sequence[str]) -> Iterator[Flow]:
    jobs = ["migrations", "backup-clickhouse"]
    if isinstance(settings, ExternalClickHouse):
        yield Flow(purpose="clickhouse", server=None, ports=[settings.http_port], clients=clients)
        yield Flow(purpose="clickhouse-native", server=None, ports=[settings.native_port], clients=jobs)
        return
    servers, keepers = ["clickhouse"], ["keeper"]
    for server, port, allowed in (
        ("clickhouse", clickhouse.HTTP_PORT, clients),
        ("clickhouse", clickhouse_cluster.NATIVE_PORT, [*jobs, *servers]),
        ("clickhouse", clickhouse.INTERSERVER_PORT, servers),
        ("keeper", keeper.CLIENT_PORT, servers),
        ("keeper", keeper.RAFT_PORT, keepers),
    ):
        yield Flow(purpose=server, server=server, ports=[port], clients=allowed)


def _object_store_flows(settings: ObjectStore, clients: Sequence[str]) -> Iterator[Flow]:
    if isinstance(settings, ExternalObjectStore):
        port = url_port(settings.endpoint or "https://")
        # With an identity, keys are asked for over HTTPS.
        ports = {port, 443} if settings.identity == "workload" else {port}
        yield Flow(purpose="object-store", server=None, ports=sorted(ports), clients=clients)
        return
    yield Flow(purpose="object-store", server="object-store", ports=[minio.PORT], clients=[*clients, "object-store"])


def url_port(url: str) -> int:
    """The port of a store's URL."""
    parts = urlsplit(url)
    return parts.port or {"http": 80}.get(parts.scheme, 443)
