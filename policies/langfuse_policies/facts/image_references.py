"""Image references: the parts of `registry/path:tag@digest`, and the version in a tag."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.workloads import POD_TEMPLATES, pod_of

#: Kinds with images: workloads, and custom resources whose controllers create pods with them.
IMAGE_KINDS = (*POD_TEMPLATES, "postgresql.cnpg.io/Cluster")

#: The digest of an image (opencontainers/image-spec, descriptor.md).
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_NUMBERS = re.compile(r"v?(\d{1,9}(?:\.\d{1,9})*)(?=$|[-_.+])")
_NAMED_MAJOR = re.compile(r"(?:^|-)pg(\d{1,2})(?=$|[-.])")  # pgvector and timescaledb name the Postgres in their tag


@dataclass(frozen=True)
class ImageReference:
    """The parts of an image's name."""

    #: With the registry, `docker.io` and `library` filled in as container runtimes do.
    repository: str
    tag: str
    digest: str

    @classmethod
    def of(cls, text: str) -> "ImageReference":
        """Parses a reference as pods contain it."""
        name, _, digest = text.partition("@")
        head, slash, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        first, separator, rest = (head + slash + last).partition("/")
        if separator and (first == "localhost" or "." in first or ":" in first):
            registry, path = first, rest
        else:
            registry, path = "docker.io", head + slash + last
        if registry in ("docker.io", "index.docker.io", "registry-1.docker.io"):
            registry, path = "docker.io", path if "/" in path else f"library/{path}"
        return cls(f"{registry}/{path}", tag, digest)

    @property
    def name(self) -> str:
        """The last part of the repository, for example `postgres`."""
        return self.repository.rpartition("/")[2].lower()

    @property
    def pinned(self) -> bool:
        """Whether it has a well-formed digest."""
        return DIGEST.fullmatch(self.digest) is not None

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers that the tag starts with, `(17, 10)` of `17.10-alpine`; empty without a version."""
        if named := _NAMED_MAJOR.search(self.tag):
            return (int(named[1]),)
        found = _NUMBERS.match(self.tag)
        return tuple(int(number) for number in found[1].split(".")) if found else ()

    def within(self, prefix: str) -> bool:
        """Whether it is in a registry or below a path of one, for example `docker.io/langfuse`."""
        return f"{self.repository}/".startswith(f"{prefix.rstrip('/')}/")


def images_of(resource: Resource) -> Iterator[tuple[Field, ImageReference]]:
    """The images that a resource runs or mounts, with the fields that name them."""
    for field in _fields_of(resource):
        if text := field.text:
            yield field, ImageReference.of(text)


def _fields_of(resource: Resource) -> Iterator[Field]:
    pod = pod_of(resource)
    if pod is None:
        yield resource.at("spec.imageName")
        return
    for container in pod.containers:
        yield container["image"]
    for volume in pod.volumes:
        yield volume["image"]["reference"]  # image volumes
