"""Where images come from: a mirror, pull secrets, other builds, and the digests that a registry answered."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic.alias_generators import to_camel

from components.schema import images
from components.schema.base import Model
from components.schema.policy_library import DIGEST
from components.schema.values import SecretName

LARGEST_ID: Final = 2**31 - 1
"""Kubernetes refuses larger user and group IDs (k8s.io/apimachinery, IsValidUserID)."""

_HOST: Final = r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]*[a-z0-9])?(:\d{1,5})?"
_PATH: Final = r"[a-z0-9]+([._-]+[a-z0-9]+)*"  # opencontainers/distribution-spec, "Pulling manifests"


def _registry(text: str) -> str:
    if not re.fullmatch(rf"{_HOST}(/{_PATH})*", text):
        raise ValueError(
            'is not a registry or a path in one (no scheme, no "/" at the end); write it like '
            '"registry.example.com/mirror"'
        )
    return text


def _repository(text: str) -> str:
    first, _, rest = text.partition("/")
    if not rest or not re.search(r"[.:]|^localhost$", first) or not re.fullmatch(rf"{_HOST}(/{_PATH})+", text):
        raise ValueError(
            "is not a repository with its registry (no tag, no digest: both follow from the release); write it like "
            '"registry.example.com/builds/langfuse"'
        )
    return text


def _suffix(text: str) -> str:
    if not re.fullmatch(r"[-._][A-Za-z0-9_.-]{1,60}", text):
        raise ValueError('is not the end of a tag; write it like "-ubi9" for the tag "4.82.0-ubi9"')
    return text


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise ValueError('is not a digest: "sha256:" and 64 hexadecimal digits')
    return text


Registry = Annotated[str, AfterValidator(_registry)]
Repository = Annotated[str, AfterValidator(_repository)]
TagSuffix = Annotated[str, AfterValidator(_suffix)]
Digest = Annotated[str, AfterValidator(_digest)]


class ImageBuild(Model):
    """Another build of an image. Its tag is that of the release with a suffix, so that it follows the release."""

    repository: Repository | None = Field(
        default=None, description="Its repository with the registry. `registry` and `registries` do not apply to it."
    )
    suffix: TagSuffix | None = Field(
        default=None, description="What its tags have after the release: `-ubi9` for `4.82.0-ubi9`."
    )
    uid: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ID,
        description="User and group ID that it runs as, for example 26 for Postgres on UBI. Default: that of the "
        "original ([Images](images.md)). It can't change while a store has data.",
    )


class ImageBuilds(Model):
    """Other builds of images, for example hardened or FIPS builds. docs/images.md says what each must contain."""

    web: ImageBuild = ImageBuild()
    worker: ImageBuild = ImageBuild()
    postgres: ImageBuild = ImageBuild()
    cloudnative_pg: ImageBuild = ImageBuild()
    clickhouse: ImageBuild = ImageBuild()
    clickhouse_keeper: ImageBuild = ImageBuild()
    valkey: ImageBuild = ImageBuild()
    minio: ImageBuild = ImageBuild()
    minio_client: ImageBuild = ImageBuild()
    oauth2_proxy: ImageBuild = ImageBuild()
    rclone: ImageBuild = ImageBuild()
    statsd_exporter: ImageBuild = ImageBuild()
    redis_exporter: ImageBuild = ImageBuild()
    postgres_exporter: ImageBuild = ImageBuild()


class Images(Model):
    """Where images come from."""

    registry: Registry | None = Field(
        default=None,
        description="A mirror that has all images, for example `registry.example.com/mirror`. It takes the place of "
        "the registry in the name: `docker.io/langfuse/langfuse` becomes `registry.example.com/mirror/langfuse/"
        "langfuse`.",
    )
    registries: dict[str, Registry] = Field(
        default={},
        examples=[{"docker.io": "registry.example.com/docker-hub", "quay.io": "registry.example.com/quay"}],
        description="A mirror for each original registry, for a proxy that has a path or a name for each: Artifactory, "
        "Harbor, or the pull-through cache of ECR. `registry` is for the others. [Images](images.md) lists the "
        "original registries.",
    )
    pull_secrets: list[SecretName] = Field(
        default=[],
        description="Secrets of the type `kubernetes.io/dockerconfigjson` in the namespace, for every pod.",
    )
    builds: ImageBuilds = ImageBuilds()
    digests: dict[str, Digest] = Field(
        default={},
        description="Digest of each image, by its name with the tag. `python -m operations images lock` writes them "
        "into stacks/images.lock.json; set them here only without that file.",
    )

    def named(self, default: str) -> str:
        """The name and tag of an image in this environment.

        Args:
            default: The name and tag of the original, for example `docker.io/langfuse/langfuse:4.82.0`.
        """
        repository, _, tag = default.rpartition(":")
        build = self._build(repository)
        if build.repository:
            repository = build.repository
        else:
            registry, _, path = repository.partition("/")
            repository = f"{self.registries.get(registry, self.registry or registry)}/{path}"
        return f"{repository}:{tag}{build.suffix or ''}"

    def reference(self, default: str) -> str:
        """The reference of an image in pods: its name and tag, and its digest if it is known."""
        name = self.named(default)
        return f"{name}@{self.digests[name]}" if name in self.digests else name

    def uid(self, default: str) -> int | None:
        """The user that the build of an image runs as; None for that of the original.

        Args:
            default: As for `named`.
        """
        return self._build(default.rpartition(":")[0]).uid

    def _build(self, repository: str) -> ImageBuild:
        name = NAMES.get(repository)
        build: ImageBuild = getattr(self.builds, name) if name else ImageBuild()
        return build


NAMES: Final[Mapping[str, str]] = {
    images.web("").repository: "web",
    images.worker("").repository: "worker",
    images.POSTGRES.repository: "postgres",
    images.cloudnative_pg("").rpartition(":")[0]: "cloudnative_pg",
    images.CLICKHOUSE.repository: "clickhouse",
    images.CLICKHOUSE_KEEPER.repository: "clickhouse_keeper",
    images.VALKEY.repository: "valkey",
    images.MINIO.repository: "minio",
    images.MINIO_CLIENT.repository: "minio_client",
    images.OAUTH2_PROXY.repository: "oauth2_proxy",
    images.RCLONE.repository: "rclone",
    images.STATSD_EXPORTER.repository: "statsd_exporter",
    images.REDIS_EXPORTER.repository: "redis_exporter",
    images.POSTGRES_EXPORTER.repository: "postgres_exporter",
}
"""The field of `ImageBuilds` for the repository of each original."""


ORIGINAL_REGISTRIES: Final = tuple(sorted({name.partition("/")[0] for name in NAMES}))
"""The registries of the originals."""


def key_of(default: str) -> str:
    """The key of an image under `images.builds`, for example `minioClient`."""
    return to_camel(NAMES[default.rpartition(":")[0]])
