"""Converts what `pulumi_policy` hands to a policy: properties that raise on access where a value is unknown."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final, cast

from pulumi_policy import PolicyResource, ResourceValidationArgs, StackValidationArgs
from pulumi_policy import proxy as sdk

from langfuse_policies.facts.fields import UNKNOWN, Value
from langfuse_policies.facts.resources import Resource, Stack

#: Stand for an unknown value, by its type. Remedies get them as text.
_UNKNOWNS: Final = frozenset(value for name, value in vars(sdk).items() if name.startswith("UNKNOWN_"))


def resource_of(args: ResourceValidationArgs | PolicyResource) -> Resource:
    """Returns one resource: its inputs while it is registered, its outputs as part of a stack."""
    return Resource(
        type=args.resource_type,
        name=args.name,
        props=_value(args.props),
        urn=args.urn,
        protect=args.opts.protect,
        ignore_changes=tuple(args.opts.ignore_changes),
        parent=args.opts.parent or "",
    )


def subject_of(args: ResourceValidationArgs | StackValidationArgs) -> Resource | Stack:
    """Returns the resource or the whole stack that a policy validates."""
    if isinstance(args, StackValidationArgs):
        return Stack([resource_of(resource) for resource in args.resources])
    return resource_of(args)


def with_metadata(args: ResourceValidationArgs, added: Mapping[str, Mapping[str, str]]) -> Any:  # noqa: ANN401
    """Returns the properties with these labels and annotations.

    They are written into the properties of the SDK, which keep secret values secret. None where their place is unknown.
    """
    properties = cast(MutableMapping[str, Any], args.props)
    metadata = _mapping_at(properties, "metadata")
    for where, entries in added.items():
        place = None if metadata is None else _mapping_at(metadata, where)
        if place is None:
            return None
        for key, value in entries.items():
            place[key] = value
    return properties


def _mapping_at(properties: MutableMapping[str, Any], key: str) -> MutableMapping[str, Any] | None:
    """Returns the mapping under a key, a new one where there is none; None where it is unknown or no mapping."""
    if key not in properties or properties[key] is None:
        properties[key] = {}
    found = properties[key]
    return cast(MutableMapping[str, Any], found) if isinstance(found, Mapping) else None


def _value(value: object) -> Value:
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS else value
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence):
        return [_item(value, index) for index in range(len(value))]
    return f"<{type(value).__name__}>"  # an asset or an archive


def _item(container: Any, key: str | int) -> Value:  # noqa: ANN401  # a mapping or a sequence
    try:
        return _value(container[key])
    except sdk.UnknownValueError:
        return UNKNOWN
