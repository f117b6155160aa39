"""Who connects to which store: what network rules and the mesh's rules are made of. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from components import clickhouse, clickhouse_cluster, keeper, minio, off_site, postgres_server, sentinel, valkey
from components.schema.environment import Settings
from components.schema.stores import (
    ClickHouse,
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


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads of the installation open to one of them, or to a store outside."""

    server: str | None
    """None for one outside."""
    ports: Sequence[int]
    clients: Sequence[str]


def flows(settings: Settings) -> Iterator[Flow]:
    """Who connects to which store. The ports are those of the mode that each is run in."""
    application = ["web", "worker"]
    yield from _postgres_flows(settings.postgres, [*application, "migrations", "backup-postgres"])
    yield from _redis_flows(settings.redis, application)
    yield from _clickhouse_flows(settings.clickhouse, application)
    users = [*application, "clickhouse", "object-store-provisioning", "backup-postgres"]
    other = settings.backups.off_site
    yield from _object_store_flows(settings.object_store, [*users, *([off_site.WORKLOAD] if other else [])])
    if other:
        yield Flow(server=None, ports=[url_port(other.endpoint)], clients=[off_site.WORKLOAD])


def _postgres_flows(settings: Postgres, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedPostgres():
            yield Flow(server="postgres", ports=[postgres_server.PORT], clients=clients)
        case ExternalPostgres():
            yield Flow(
                server=None, ports=sorted({settings.port, settings.direct_port or settings.port}), clients=clients
            )


def _redis_flows(settings: Redis, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedRedis():
            yield Flow(server="redis", ports=[valkey.PORT], clients=clients)
        case SentinelRedis():
            yield Flow(server="redis", ports=[valkey.PORT, sentinel.SENTINEL_PORT], clients=[*clients, "redis"])
        case ExternalRedis():
            ports = {int(node.rpartition(":")[2]) for node in settings.nodes} or {settings.port}
            if settings.topology == "sentinel":
                ports.add(settings.port)
            yield Flow(server=None, ports=sorted(ports), clients=clients)


def _clickhouse_flows(settings: ClickHouse, clients: Sequence[str]) -> Iterator[Flow]:
    jobs = ["migrations", "backup-clickhouse"]
    if isinstance(settings, ExternalClickHouse):
        yield Flow(server=None, ports=[settings.http_port], clients=clients)
        yield Flow(server=None, ports=[settings.native_port], clients=jobs)
        return
    yield Flow(server="clickhouse", ports=[clickhouse.HTTP_PORT], clients=clients)
    yield Flow(server="clickhouse", ports=[clickhouse_cluster.NATIVE_PORT], clients=[*jobs, "clickhouse"])
    yield Flow(server="clickhouse", ports=[clickhouse.INTERSERVER_PORT], clients=["clickhouse"])
    yield Flow(server="keeper", ports=[keeper.CLIENT_PORT], clients=["clickhouse"])
    yield Flow(server="keeper", ports=[keeper.RAFT_PORT], clients=["keeper"])


def _object_store_flows(settings: ObjectStore, clients: Sequence[str]) -> Iterator[Flow]:
    if isinstance(settings, ExternalObjectStore):
        port = url_port(settings.endpoint or "https://")
        # With an identity, keys are asked for over HTTPS.
        ports = {port, 443} if settings.identity == "workload" else {port}
        yield Flow(server=None, ports=sorted(ports), clients=clients)
        return
    yield Flow(server="object-store", ports=[minio.PORT], clients=[*clients, "object-store"])


def url_port(url: str) -> int:
    """The port of a store's URL."""
    parts = urlsplit(url)
    return parts.port or {"http": 80}.get(parts.scheme, 443)
