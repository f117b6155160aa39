"""What an environment requests of its cluster: every lasting pod with its replicas and volumes.

Jobs come on top while they run: the migration at an update, the backups at their hours. None has a volume. The quota
and the sizing command both read this list; a test compares it with the pods that the program registers.
"""

from collections.abc import Iterator, Sequence

from components.schema.application import Workload
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.requests import Pods, Requests


def demand(settings: Settings) -> Sequence[Pods]:
    """Every lasting pod of an environment. Where the number of pods follows the load, the most that there may be."""
    return [
        *_deployment("web", settings.web),
        *_deployment("worker", settings.worker),
        *_postgres(settings),
        *_clickhouse(settings),
        *_redis(settings),
        *_object_store(settings),
    ]


def _deployment(name: str, workload: Workload) -> Iterator[Pods]:
    replicas = workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas
    yield _pods(name, replicas, workload.resources)


def _postgres(settings: Settings) -> Iterator[Pods]:
    store = settings.postgres
    if store.mode != "external":
        instances = store.instances if store.mode == "cloudnativepg" else 1
        yield _pods("postgres", instances, store.resources, store.storage)


def _clickhouse(settings: Settings) -> Iterator[Pods]:
    store = settings.clickhouse
    if store.mode != "external":
        yield _pods("clickhouse", store.replicas, store.resources, store.storage)
        yield _pods("keeper", store.keepers, store.keeper_resources, store.keeper_storage)


def _redis(settings: Settings) -> Iterator[Pods]:
    store = settings.redis
    if store.mode == "managed":
        yield _pods("redis", 1, store.resources, store.storage)
    if store.mode == "sentinel":
        from components.stores.redis import sentinel  # noqa: PLC0415  # with pulumi_kubernetes, which every command would wait for

        yield _pods("redis", sentinel.REPLICAS, store.resources, store.storage)
        yield _pods("sentinel", sentinel.REPLICAS, sentinel.SENTINEL_RESOURCES, sidecar_of="redis")


def _object_store(settings: Settings) -> Iterator[Pods]:
    store = settings.object_store
    if store.mode != "external":
        yield _pods("object-store", store.nodes, store.resources, store.storage)


def _pods(name: str, replicas: int, resources: Resources, storage: str = "0", *, sidecar_of: str | None = None) -> Pods:
    return Pods(name=name, replicas=replicas, sidecar_of=sidecar_of, each=Requests.of(resources, storage))
