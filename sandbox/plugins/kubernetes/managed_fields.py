"""Who owns which field of a live object, for server-side apply."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes import paths
from sandbox.plugins.kubernetes.objects import Object, dig, mapping, objects, text
from sandbox.plugins.kubernetes.paths import Path
from sandbox.plugins.properties import Property

CREATE_MANAGER: Final = "pulumi-kubernetes"
# Managers whose fields an apply takes over, by the start of their names: `fixCSAFieldManagers` in await.go. What people
# change with kubectl is put back; what a controller owns is a conflict.
TAKEN_OVER: Final = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)


FORCED_IN_PREVIEW: Final = frozenset({"pulumi-kubernetes", "pulumi-kubernetes.exe", "pulumi-resource-kubernetes"})


def is_forced_in_preview(live: Object) -> bool:
    """Say whether a preview overrides conflicts: fields of the object are owned as at its creation (`patchForce`)."""
    return any(
        text(entry, "manager") in FORCED_IN_PREVIEW and entry.get("operation") == "Update"
        for entry in objects(live, "metadata", "managedFields")
    )


def takes_over(entry: Object) -> bool:
    """Say whether an apply takes the fields of a `managedFields` entry over."""
    return not text(entry, "subresource") and any(
        text(entry, "manager").startswith(manager) and entry.get("operation") == operation
        for manager, operation in TAKEN_OVER
    )


def handed_over(live: Object, manager: str) -> list[Object] | None:
    """Return the `managedFields` in which `manager` owns what the others did, None where there is nothing to take."""
    entries = objects(live, "metadata", "managedFields")
    taken = [entry for entry in entries if takes_over(entry)]
    if not taken:
        return None
    kept = [entry for entry in entries if not takes_over(entry)]
    ours = [entry for entry in kept if entry.get("manager") == manager and entry.get("operation") == "Apply"]
    fields: Object = {}
    for entry in (*taken, *ours):
        fields = _merged(fields, mapping(entry, "fieldsV1"))
    owned: Object = {**(ours or taken)[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}
    return [*(entry for entry in kept if entry not in ours), owned]


def respect(inputs: Object, live: Object, ignored: list[str], manager: str) -> None:
    """Change inputs for `ignoreChanges`: leave out what others own, keep the live value of what we own."""
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
    """Say whether a field set holds a path; lists are owned as wholes here, as in the official provider."""
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
