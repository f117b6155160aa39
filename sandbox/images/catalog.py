"""The images that can be packed, by repository.

To add one, write a function `(tag) -> Recipe` in a module of its own (see `recipe.py`) and list it in `RECIPES`.
Packed images have the references that the program renders (`components/schema/images.py`), so no manifest differs.
The packed software is what the distribution has. Its version may differ from the tag in minor releases;
`recipe.same_release` refuses a tag of another major release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.images import cluster, minio, postgres, probe_application, valkey
from sandbox.images.recipe import Recipe

RECIPES: Mapping[str, Callable[[str], Recipe]] = {
    cluster.COREDNS_REPOSITORY: cluster.coredns,
    cluster.PAUSE_REPOSITORY: cluster.pause,
    minio.CLIENT_REPOSITORY: minio.client,
    minio.SERVER_REPOSITORY: minio.server,
    postgres.REPOSITORY: postgres.recipe,
    probe_application.WEB_REPOSITORY: probe_application.web,
    probe_application.WORKER_REPOSITORY: probe_application.worker,
    valkey.REPOSITORY: valkey.recipe,
}
"""By repository, as the program renders it: with the registry, without a tag."""


@dataclass(frozen=True)
class Reference:
    """The parts of a reference `registry/path:tag`."""

    registry: str
    repository: str
    """With the registry."""
    tag: str
    digest: str = ""

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


def recipe(reference: str) -> Recipe:
    """The recipe of an image. Raises `SandboxError` if the image can't be packed."""
    parsed = Reference.parse(reference)
    if parsed.digest:
        raise SandboxError(
            f"{reference} is pinned by a digest, which a packed image can't have",
            "remove the digest, or set IMAGES=pull where the registry can be reached",
        )
    builder = RECIPES.get(parsed.repository)
    if builder is None:
        raise SandboxError(
            f"{parsed.repository} can't be packed",
            f"set IMAGES=pull where the registry can be reached, or use one of: {', '.join(sorted(RECIPES))}",
        )
    return builder(parsed.tag)
