"""Resources as policies see them, from the engine and in tests: a type, options, and fields."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from langfuse_policies.facts.fields import Field, Value


@dataclass(frozen=True)
class Resource:
    """One resource: its inputs for policies on single resources, its outputs for policies on the whole stack."""

    #: Pulumi's type token, for example `kubernetes:apps/v1:Deployment`.
    type: str
    #: The name in the Pulumi program, not the one in Kubernetes.
    name: str
    props: Value = field(repr=False)
    urn: str = ""
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    parent: str = ""
    #: Paths of the unknown values that were read.
    unknown_paths: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def fields(self) -> Field:
        """All properties."""
        return Field(self.props, self.unknown_paths, self.partial)

    def __getitem__(self, key: str) -> Field:
        """One property."""
        return self.fields[key]

    def at(self, path: str) -> Field:
        """The field at a dotted path."""
        return self.fields.at(path)

    @cached_property
    def kind(self) -> str:
        """Group and kind, for example `apps/Deployment`, `core/Service`; a patch counts as what it patches.

        Of other packages than kubernetes it is package and type, for example `random/RandomPassword`.
        """
        package, _, rest = self.type.partition(":")
        module, _, name = rest.rpartition(":")
        if package != "kubernetes":
            return f"{package}/{name}"
        group = module.split("/")[0]
        return f"{group}/{name.removesuffix('Patch') or name}"

    @property
    def partial(self) -> bool:
        """Whether it sets some fields of an object that it did not create, for example `DeploymentPatch`."""
        return self.type.startswith("kubernetes:") and self.type.endswith("Patch")

    @property
    def stack(self) -> str:
        """The stack's name, of the URN `urn:pulumi:STACK::PROJECT::TYPE::NAME`."""
        parts = self.urn.split(":")
        return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004  # the third part of a URN

    @property
    def metadata(self) -> Field:
        """The object's metadata."""
        return self["metadata"]

    @property
    def namespace(self) -> str:
        """The object's namespace; empty when it is unknown, missing or none."""
        return self.metadata["namespace"].text or ""

    @property
    def object_name(self) -> str:
        """The object's name in Kubernetes; empty when Pulumi names it or it is unknown."""
        return self.metadata["name"].text or ""


@dataclass(frozen=True)
class Stack:
    """All resources of a stack."""

    resources: Sequence[Resource]

    @property
    def name(self) -> str:
        """The stack's name."""
        return next((resource.stack for resource in self.resources), "")

    def of(self, *kinds: str) -> Iterator[Resource]:
        """The resources of these kinds, for example `core/Service`."""
        for kind in kinds:
            yield from self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.kind, []).append(resource)
        return found
