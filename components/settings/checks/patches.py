"""Checks of `patches`."""

from collections.abc import Iterator

from components.kubernetes.patch_fields import field_errors
from components.schema.environment import Settings


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
        for error in field_errors(patch.kind, patch.patch):
            yield f"patches.{number}.patch.{error}"
