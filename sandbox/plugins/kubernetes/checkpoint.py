"""The stored outputs of a resource: the live object, its inputs, and which values are secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sandbox.plugins.kubernetes.objects import Object, mapping, text
from sandbox.plugins.properties import Properties, Property, Secret, contains_secret, reveal

INPUTS: Final = "__inputs"
INITIAL_API_VERSION: Final = "__initialApiVersion"
FIELD_MANAGER: Final = "__fieldManager"
# Property names in Python and other SDKs can't have the dashes of these schema extensions.
EXTENSIONS: Final = {
    f"x_kubernetes_{name}": f"x-kubernetes-{name.replace('_', '-')}"
    for name in (
        "embedded_resource",
        "int_or_string",
        "list_map_keys",
        "list_type",
        "map_type",
        "preserve_unknown_fields",
        "validations",
    )
}
UNDERSCORED: Final = {dashed: underscored for underscored, dashed in EXTENSIONS.items()}


class State(NamedTuple):
    """A stored object: its inputs, the live object, and how it was created."""

    inputs: Object
    live: Object
    initial_api_version: str
    field_manager: str


def to_object(properties: Mapping[str, Property]) -> Object:
    """Convert properties to a Kubernetes object, with secrets as plain values; unknown values stay."""
    renamed = _renamed(reveal(properties), EXTENSIONS)
    return renamed if isinstance(renamed, dict) else {}


def to_properties(obj: Object, like: Mapping[str, Property]) -> Properties:
    """Convert an object to properties. Values are secret where they are in `like`, and in every Secret object."""
    renamed = _renamed(obj, UNDERSCORED)
    properties = renamed if isinstance(renamed, dict) else {}
    _mark_secrets(properties, like)
    return properties


def store(inputs: Object, live: Object, like: Mapping[str, Property], api_version: str, manager: str) -> Properties:
    """Return the outputs of a resource, from which `load` restores the parts."""
    outputs = to_properties(live, like)
    data, plain = outputs.get("data"), like.get("stringData")
    if text(live, "kind") == "Secret" and data is not None and plain is not None:
        outputs["data"] = data if isinstance(data, Secret) else Secret(data)
    outputs[INPUTS] = to_properties(inputs, like)
    outputs[INITIAL_API_VERSION] = api_version
    outputs[FIELD_MANAGER] = manager
    return outputs


def load(properties: Mapping[str, Property]) -> State:
    """Return the parts of stored outputs."""
    live = to_object(properties)
    inputs = mapping(live, INPUTS)
    api_version, manager = text(live, INITIAL_API_VERSION), text(live, FIELD_MANAGER)
    for key in (INPUTS, INITIAL_API_VERSION, FIELD_MANAGER):
        live.pop(key, None)
    return State(inputs, live, api_version or text(inputs, "apiVersion"), manager)


def _mark_secrets(outputs: Object, like: Mapping[str, Property]) -> None:
    """Mark values in `outputs` as secret where they are in `like`.

    A list becomes secret if any item is, because a server may reorder it (`annotateSecrets` in provider.go).
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
        return
    for key, twin in like.items():
        value = outputs.get(key)
        if isinstance(value, dict) and isinstance(twin, Mapping):
            _mark_secrets(value, twin)
        elif key in outputs and not isinstance(value, Secret) and contains_secret(twin):
            outputs[key] = Secret(value)


def _renamed(value: Property, names: Mapping[str, str]) -> Property:
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value
