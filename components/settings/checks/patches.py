"""Checks of `patches`."""

from collections.abc import Iterator, Mapping
from typing import Final

from components.kubernetes.patch_fields import field_errors
from components.schema.environment import Settings, deployment_key

_OF_STORES: Final[Mapping[tuple[str, str], str]] = {
    ("StatefulSet", "langfuse-clickhouse"): "clickhouse.replicas",
    ("StatefulSet", "langfuse-keeper"): "clickhouse.keepers",
}
"""The key of the number of pods, from which connections to Postgres, members of a cluster and the quota follow."""


def _replicas(settings: Settings) -> Mapping[tuple[str, str], str]:
    """The keys of all numbers of pods, by kind and name of the object."""
    found = {("Deployment", f"langfuse-{name}"): f"{deployment_key(name)}.replicas" for name in settings.deployments}
    return {**found, **_OF_STORES}


def patches_are_allowed(settings: Settings) -> Iterator[str]:
    """A patch must not put credentials into plain state, or turn an object into another one."""
    for number, patch in enumerate(settings.patches):
        if patch.kind == "Secret" and {"data", "stringData"} & patch.patch.keys():
            yield f"patches.{number}.patch: would write the data of a Secret; set its source in credentials"
        for key in {"kind", "apiVersion", "status"} & patch.patch.keys():
            yield f"patches.{number}.patch.{key}: cannot be changed; remove it"
        metadata = patch.patch.get("metadata")
        for key in sorted({"name", "namespace"} & (metadata.keys() if isinstance(metadata, dict) else set())):
            yield f"patches.{number}.patch.metadata.{key}: would create another object; remove it"
        yield from (f"patches.{number}.patch.{error}" for error in field_errors(patch.kind, patch.patch))
        spec, own = patch.patch.get("spec"), _replicas(settings).get((patch.kind, patch.name))
        if own and isinstance(spec, Mapping) and "replicas" in spec:
            yield (
                f"patches.{number}.patch.spec.replicas: is set by langfuse:{own}, from which other numbers follow; "
                "change that key"
            )
