"""Reads an exported state: its manifests, an equivalent plain program, its longest chain of waits. All pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Json = dict[str, "JsonValue"]
JsonValue = None | bool | int | float | str | list["JsonValue"] | Json

SIGNATURE = "4dabf18193072939515e22adb298388d"  # marks special values (sdk/go/common/resource/sig)
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # marks a secret, is none
SKIP_AWAIT = "pulumi.com/skipAwait"
AWAITED = frozenset(
    {"DaemonSet", "Deployment", "Ingress", "Job", "PersistentVolumeClaim", "Pod", "Service", "StatefulSet"}
)
"""Kinds that the kubernetes provider waits for."""


@dataclass(frozen=True)
class Resource:
    """A resource in a state. Secrets are plain if the state was exported with --show-secrets."""

    urn: str
    type: str
    inputs: Json
    dependencies: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name in the program."""
        return self.urn.split("::")[-1]

    @property
    def kind(self) -> str:
        """The last part of the type, for example `Deployment`."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def package(self) -> str:
        """The provider package, for example `kubernetes`."""
        return self.type.split(":")[0]

    @property
    def is_awaited(self) -> bool:
        """Whether its creation waits until it is ready."""
        metadata = self.inputs.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        skips = isinstance(annotations, dict) and annotations.get(SKIP_AWAIT) == "true"
        return self.package == "kubernetes" and self.kind in AWAITED and not skips


def resources(export: Mapping[str, object]) -> list[Resource]:
    """The resources in order of creation, without components and providers."""
    deployment = export.get("deployment")
    listed = deployment.get("resources", []) if isinstance(deployment, dict) else []
    return [
        Resource(
            urn=item["urn"],
            type=item["type"],
            inputs=_plain_inputs(item.get("inputs", {})),
            dependencies=tuple(item.get("dependencies") or ()),
        )
        for item in listed
        if item.get("custom") and not item["type"].startswith("pulumi:")
    ]


def manifests(found: Iterable[Resource], namespace: str) -> list[Json]:
    """The inputs of the Kubernetes objects, moved to another namespace. Pulumi's annotations stay."""
    return [_moved(resource.inputs, namespace) for resource in found if resource.package == "kubernetes"]


def identity(manifest: Json) -> tuple[str, str]:
    """The kind with its group and the name of an object, as kubectl accepts them."""
    group, _, _ = str(manifest["apiVersion"]).rpartition("/")
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  # every object has one
    return f"{manifest['kind']}.{group}".rstrip(".").lower(), str(metadata["name"])


@dataclass(frozen=True)
class PlainObject:
    """A Kubernetes object in two versions, without its place in a program."""

    type: str
    before: Json
    after: Json


@dataclass(frozen=True)
class Plan:
    """An equivalent plain program: the same resources, without components and dependencies."""

    objects: tuple[PlainObject, ...]
    """The Kubernetes objects except the namespace."""
    random: tuple[tuple[str, Json], ...]
    """Kind and inputs of each random value."""


def plan(before: Sequence[Resource], after: Sequence[Resource], namespace: str) -> Plan:
    """The equivalent plain program of a stack, in another namespace, without the values of Secrets.

    Raises ValueError for resources of other providers.
    """
    packages = {resource.package for resource in before} - {"kubernetes", "random"}
    if packages:
        raise ValueError(f"no plain equivalent for resources of {', '.join(sorted(packages))}")
    later = {resource.urn: resource for resource in after}
    return Plan(
        objects=tuple(
            _plain_object(resource, later.get(resource.urn, resource), namespace)
            for resource in before
            if resource.package == "kubernetes" and resource.kind != "Namespace"
        ),
        random=tuple((resource.kind, resource.inputs) for resource in before if resource.package == "random"),
    )


def _plain_object(before: Resource, after: Resource, namespace: str) -> PlainObject:
    result = PlainObject(before.type, _for_plan(before.inputs, namespace), _for_plan(after.inputs, namespace))
    if before.kind == "Job" and result.before != result.after:
        # A change replaces a Job. Without waits the old one may still be terminating, so the new one gets another name.
        metadata = result.after["metadata"]
        assert isinstance(metadata, dict)  # noqa: S101  # `_moved` put it there
        metadata["name"] = f"{metadata['name']}-next"
    return result


def _for_plan(inputs: Json, namespace: str) -> Json:
    """An object without waits, with placeholders of the same length instead of secret values."""
    moved = _moved(inputs, namespace)
    metadata = moved["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101  # `_moved` put it there
    annotations = metadata.get("annotations")
    metadata["annotations"] = {**(annotations if isinstance(annotations, dict) else {}), SKIP_AWAIT: "true"}
    if moved["kind"] == "Secret":
        for field in ("data", "stringData"):
            values = moved.get(field)
            if isinstance(values, dict):
                # The letter A is valid base64.
                moved[field] = {key: "A" * (len(str(value)) // 4 * 4) for key, value in values.items()}
    return moved


@dataclass(frozen=True)
class Chain:
    """A chain of dependent resources, and the seconds until each is ready."""

    links: tuple[tuple[str, float], ...] = ()

    @property
    def seconds(self) -> float:
        """The sum of all waits."""
        return sum(seconds for _, seconds in self.links)


def longest_chain(found: Sequence[Resource], durations: Mapping[str, float]) -> Chain:
    """The chain of dependent resources with the longest sum of waits.

    The wait of a resource is the duration of its step minus the median step of objects without waits.

    Args:
        found: The resources of a state.
        durations: Seconds of each step of the first update, by URN.
    """
    by_urn = {resource.urn: resource for resource in found}
    plain = [
        durations[resource.urn]
        for resource in found
        if resource.package == "kubernetes" and not resource.is_awaited and resource.urn in durations
    ]
    creation = statistics.median(plain) if plain else 0.0
    chains: dict[str, Chain] = {}

    def until(urn: str) -> Chain:
        """The longest chain that ends with a resource."""
        if urn not in chains:
            resource = by_urn[urn]
            before = max(
                (until(needed) for needed in resource.dependencies if needed in by_urn),
                key=lambda chain: chain.seconds,
                default=Chain(),
            )
            wait = max(0.0, durations.get(urn, 0.0) - creation)
            chains[urn] = Chain((*before.links, (resource.name, wait))) if resource.is_awaited else before
        return chains[urn]

    return max((until(urn) for urn in by_urn), key=lambda chain: chain.seconds, default=Chain())


def _moved(manifest: Json, namespace: str) -> Json:
    metadata = manifest.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    metadata["name" if manifest["kind"] == "Namespace" else "namespace"] = namespace
    return {**manifest, "metadata": metadata}


def _plain_inputs(value: Json) -> Json:
    plain = _plain(value)
    assert isinstance(plain, dict)  # noqa: S101  # inputs are an object
    return plain


def _plain(value: JsonValue) -> JsonValue:
    """A value with secrets replaced by their plain values."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if SIGNATURE not in value:
        return {key: _plain(item) for key, item in value.items() if not key.startswith("__")}
    if value[SIGNATURE] != SECRET or "plaintext" not in value:
        raise ValueError("the state has an encrypted or special value: export it with --show-secrets")
    text = value["plaintext"]
    assert isinstance(text, str)  # noqa: S101  # apitype.SecretV1
    return _plain(json.loads(text))
