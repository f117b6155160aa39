"""Finds workloads that are replaced because of a volume claim: Kubernetes deletes no claim that a pod still mounts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from operations.changes.model import Change

CLAIM: Final = "PersistentVolumeClaim"

Json = Mapping[str, Any]  # inputs, of any shape


def with_followers(changes: Sequence[Change], before: Mapping[str, Json]) -> tuple[Change, ...]:
    """The changes; those that follow from the replacement of a claim name the claim.

    Args:
        changes: The changes of one update.
        before: Inputs by URN of every existing resource.
    """
    claims = {
        _name(before.get(change.urn, {})): change.urn
        for change in changes
        if change.action == "replace" and change.kind == CLAIM
    }

    def follower(change: Change) -> Change:
        mounted = (claims[name] for name in _mounts(before.get(change.urn, {})) if name in claims)
        claim = next(mounted, "") if change.action == "replace" else ""
        return change.model_copy(update={"follows": claim}) if claim else change

    return tuple(map(follower, changes))


def _mounts(inputs: Json) -> Iterator[str]:
    """The names of the claims that the pods of a workload mount."""
    value: Any = inputs
    for key in ("spec", "template", "spec", "volumes"):
        value = value.get(key) if isinstance(value, Mapping) else None
    for volume in value if isinstance(value, list) else ():
        claim = volume.get("persistentVolumeClaim") if isinstance(volume, Mapping) else None
        if isinstance(claim, Mapping):
            yield str(claim.get("claimName"))


def _name(inputs: Json) -> str:
    metadata = inputs.get("metadata")
    return str(metadata.get("name")) if isinstance(metadata, Mapping) else ""
