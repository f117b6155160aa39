"""The images that can be packed, by repository.

To add one, write a function `(tag) -> Recipe` in a module of its own (see `recipe.py`) and list it in `RECIPES`.
Packed images have the references that the program renders (`components/schema/images.py`), so no manifest differs.
The packed software is what the distribution has. Its version may differ from the tag in minor releases;
`recipe.same_release` refuses a tag of another major release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.schema import images as program
from sandbox.errors import SandboxError
from sandbox.images import clickhouse, cluster, minio, postgres, probe_application, rclone, valkey
from sandbox.images.recipe import Recipe

RECIPES: Mapping[str, Callable[[str], Recipe]] = {
    cluster.COREDNS_REPOSITORY: cluster.coredns,
    cluster.PAUSE_REPOSITORY: cluster.pause,
    program.CLICKHOUSE.repository: clickhouse.server,
    program.CLICKHOUSE_KEEPER.repository: clickhouse.keeper,
    program.MINIO.repository: minio.server,
    program.MINIO_CLIENT.repository: minio.client,
    program.POSTGRES.repository: postgres.recipe,
    probe_application.WEB_REPOSITORY: probe_application.web,
    probe_application.WORKER_REPOSITORY: probe_application.worker,
    program.RCLONE.repository: rclone.recipe,
    program.VALKEY.repository: valkey.recipe,
}
"""By repository, as the program renders it: with the registry, without a tag."""


DEFAULTS = (
    cluster.PAUSE,
    cluster.COREDNS,
    *(image.reference for image in (program.POSTGRES, program.CLICKHOUSE, program.CLICKHOUSE_KEEPER, program.VALKEY)),
    *(image.reference for image in (program.MINIO, program.MINIO_CLIENT, program.RCLONE)),
    *(image(program.DEFAULT_VERSION).reference for image in (program.web, program.worker)),
)
"""The references of a cluster and of the program's default configuration."""


@dataclass(frozen=True)
class Reference:
    """The parts of a reference `registry/path:tag`."""

    registry: str
    repository: str
    """With the registry."""
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def api(self) -> str:
        """The address of the registry's API. As with other clients, a registry on this machine has no TLS."""
        host = {"docker.io": "registry-1.docker.io"}.get(self.registry, self.registry)
        local = host.partition(":")[0] in {"localhost", "127.0.0.1"}
        return f"{'http' if local else 'https'}://{host}/v2/"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a complete reference. Raises `SandboxError` for one without a registry or tag."""
        name, _, digest = text.partition("@")
        repository, _, tag = name.rpartition(":")
        registry, slash, _ = repository.partition("/")
        if not slash or not tag or not ({".", ":"} & set(registry) or registry == "localhost"):
            raise SandboxError(
                f"{text!r} is not a complete image reference",
                "write it as registry/repository:tag, such as docker.io/library/postgres:17.10",
            )
        return cls(registry, repository, tag, digest)


def recipe(text: str) -> Recipe:
    """The recipe of an image. Raises `SandboxError` if the image can't be packed."""
    reference = Reference.parse(text)
    if reference.digest:
        raise SandboxError(
            f"{reference} is pinned by a digest, which a packed image can't have",
            "remove the digest, or set IMAGES=pull where the registry can be reached",
        )
    builder = RECIPES.get(reference.repository)
    if builder is None:
        raise SandboxError(
            f"{reference.repository} can't be packed",
            f"set IMAGES=pull where the registry can be reached, or use one of: {', '.join(sorted(RECIPES))}",
        )
    return builder(reference.tag)
