"""The field managers of a live object, for server-side apply."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes import paths
from sandbox.plugins.kubernetes.objects import Object, dig, mapping, objects, text
from sandbox.plugins.kubernetes.paths import Path
from sandbox.plugins.properties import Property

CREATE_MANAGER: Final = "pulumi-kubernetes"
# Managers whose fields an apply takes over, by name prefix: `fixCSAFieldManagers` in await.go. Changes with kubectl are
# reverted; fields of controllers are conflicts.
TAKEN_OVER: Final = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)
FORCED_IN_PREVIEW: Final = frozenset({"pulumi-kubernetes", "pulumi-kubernetes.exe", "pulumi-resource-kubernetes"})


def is_forced_in_preview(live: Object) -> bool:
    """Return whether a preview overrides conflicts: fields still belong to the manager of creations (`patchForce`)."""
    return any(
        text(entry, "manager") in FORCED_IN_PREVIEW and entry.get("operation") == "Update"
        for entry in objects(live, "metadata", "managedFields")
    )


def takes_over(entry: Object) -> bool:
    """Return whether an apply takes over the fields of a `managedFields` entry."""
    return not text(entry, "subresource") and any(
        text(entry, "manager").startswith(manager) and entry.get("operation") == operation
        for manager, operation in TAKEN_OVER
    )


def taken_over(live: Object, manager: str) -> list[Object] | None:
    """Return the `managedFields` after `manager` has taken over fields, None if there are none to take over."""
    entries = objects(live, "metadata", "managedFields")
    taken = [entry for entry in entries if takes_over(entry)]
    if not taken:
        return None
    kept = [entry for entry in entries if not takes_over(entry)]
    own = [entry for entry in kept if entry.get("manager") == manager and entry.get("operation") == "Apply"]
    fields: Object = {}
    for entry in (*taken, *own):
        fields = _merged(fields, mapping(entry, "fieldsV1"))
    owned: Object = {**(own or taken)[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}
    return [*(entry for entry in kept if entry not in own), owned]


def ignore_changes(inputs: Object, live: Object, ignored: list[str], manager: str) -> None:
    """Apply `ignoreChanges` to inputs: remove fields of other managers, keep the live value of own fields."""
    for written in ignored:
        path = paths.parse(written)
        holders = {
            text(entry, "manager") == manager and entry.get("operation") == "Apply"
            for entry in objects(live, "metadata", "managedFields")
            if _owns(mapping(entry, "fieldsV1"), path)
        }
        current = dig(live, *path)
        if holders == {False}:
            _remove(inputs, path)
        elif current is not None:
            _put(inputs, path, current)


def _merged(left: Object, right: Object) -> Object:
    result = dict(left)
    for key, value in right.items():
        existing = result.get(key)
        result[key] = _merged(existing, value) if isinstance(existing, dict) and isinstance(value, dict) else value
    return result


def _owns(fields: Object, path: Path) -> bool:
    """Return whether a field set contains a path. As in the official provider, a list is owned as a whole."""
    node: Property = fields
    for step in path:
        if isinstance(step, int) or step == paths.WILDCARD:
            return True
        if not isinstance(node, dict) or f"f:{step}" not in node:
            return False
        node = node[f"f:{step}"]
    return True


def _remove(obj: Object, path: Path) -> None:
    parent = dig(obj, *path[:-1])
    if isinstance(parent, dict):
        parent.pop(str(path[-1]), None)


def _put(obj: Object, path: Path, value: Property) -> None:
    match dig(obj, *path[:-1]), path[-1]:
        case dict() as parent, str(key):
            parent[key] = value
        case list() as parent, int(index) if index < len(parent):
            parent[index] = value
