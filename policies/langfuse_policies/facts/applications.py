"""What a container runs: Langfuse's web or worker, or one of its stores, recognized by image and ports.

Images are recognized by the last part of their repository, so mirrors count: `registry.example.com/hub/langfuse` is
Langfuse. A container of the same image that runs something else (a migration, a dump) has no role and is no store.
"""

from collections.abc import Iterator
from typing import Literal

from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.workloads import Container, Pod, pods_of

LangfuseRole = Literal["web", "worker"]
Store = Literal["postgres", "clickhouse", "keeper", "redis", "object-store"]

_LANGFUSE_IMAGES: dict[str, LangfuseRole] = {
    "langfuse": "web",
    "langfuse-web": "web",
    "langfuse-ee": "web",
    "langfuse-worker": "worker",
}
#: Commands of the images: web/Dockerfile and worker/Dockerfile of Langfuse, CMD.
_LANGFUSE_PROGRAMS = ("server.js", "worker/dist/index.js", "dist/index.js")
_LANGFUSE_ENTRYPOINT = "entrypoint.sh"

_STORE_IMAGES: dict[str, Store] = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "pgvector": "postgres",
    "timescaledb": "postgres",
    "clickhouse": "clickhouse",
    "clickhouse-server": "clickhouse",
    "clickhouse-keeper": "keeper",
    "zookeeper": "keeper",
    "redis": "redis",
    "redis-stack-server": "redis",
    "valkey": "redis",
    "keydb": "redis",
    "dragonfly": "redis",
    "minio": "object-store",
    "seaweedfs": "object-store",
    "garage": "object-store",
    "rustfs": "object-store",
}
_STORE_PORTS: dict[Store, tuple[float, ...]] = {
    "postgres": (5432,),
    "clickhouse": (8123, 8443, 9000, 9440),
    "keeper": (9181, 9281, 2181),
    "redis": (6379,),
    "object-store": (9000, 8333, 3900),
}
_STORE_PROGRAMS = frozenset(
    {"postgres", "clickhouse-server", "clickhouse-keeper", "redis-server", "valkey-server", "minio", "server", "weed"}
)


def repository(container: Container) -> str:
    """The image without tag and digest; empty when it is unknown or missing."""
    image = (container["image"].text or "").partition("@")[0]
    head, slash, last = image.rpartition("/")
    return head + slash + last.partition(":")[0]


def is_langfuse(container: Container) -> bool:
    """Whether its image is Langfuse's, whatever it runs."""
    return _last_part(container) in _LANGFUSE_IMAGES


def langfuse_role(container: Container) -> LangfuseRole | None:
    """The server of Langfuse that it runs; None for other containers, such as a migration with the same image."""
    role = _LANGFUSE_IMAGES.get(_last_part(container))
    if role is None:
        return None
    words = _words(container)
    starts = not words or words[-1].endswith(_LANGFUSE_ENTRYPOINT)
    return role if starts or any(program in word for word in words for program in _LANGFUSE_PROGRAMS) else None


def store_of(container: Container) -> Store | None:
    """The store that it serves; None for clients with the same image, and for Sentinel, which holds no data."""
    store = _STORE_IMAGES.get(_last_part(container))
    if store is None:
        return None
    ports = [port["containerPort"] for port in container["ports"]]
    if any(port.equals(*_STORE_PORTS["keeper"]) for port in ports) and store == "clickhouse":
        return "keeper"
    if any(port.equals(*_STORE_PORTS[store]) for port in ports):
        return store
    return store if not ports and _serves(container) else None


def _serves(container: Container) -> bool:
    """Whether the image's own entrypoint or an explicit command starts the server."""
    words = _words(container)
    if container["command"].empty and (not words or words[0].startswith("-")):
        return True
    return any(word.rpartition("/")[2] in _STORE_PROGRAMS for word in words[:2])


def langfuse_servers(stack: Stack) -> Iterator[tuple[Pod, Container, LangfuseRole]]:
    """The containers of a stack that run web or worker."""
    for pod in pods_of(stack):
        for container in pod.containers:
            if container.restarts and (role := langfuse_role(container)) is not None:
                yield pod, container, role


def stores(stack: Stack) -> Iterator[tuple[Pod, Container, Store]]:
    """The containers of a stack that serve a store."""
    for pod in pods_of(stack):
        for container in pod.containers:
            if container.restarts and (store := store_of(container)) is not None:
                yield pod, container, store


def has_langfuse(stack: Stack) -> bool:
    """Whether Langfuse is deployed here."""
    return any(is_langfuse(container) for pod in pods_of(stack) for container in pod.containers)


def _last_part(container: Container) -> str:
    return repository(container).rpartition("/")[2].lower()


def _words(container: Container) -> list[str]:
    return [*container["command"].texts, *container["args"].texts]
