"""Checks the fields of `patches` against the types of the Kubernetes API, without a cluster.

The API server drops unknown fields, so a misspelt patch would have no effect and cause no error. The types are those
of pulumi_kubernetes, which are generated from the specification of the API. Custom resources have no types there. Only
the API server knows their CRDs, and it refuses unknown fields in updates, but not when it creates an object.
"""

import difflib
import importlib
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import pulumi
from pulumi import _types
from pydantic import JsonValue

from components.kubernetes.patches import DELETE, MERGE_KEYS

API_VERSIONS: Final = (
    "core.v1",
    "apps.v1",
    "batch.v1",
    "networking.v1",
    "policy.v1",
    "autoscaling.v2",
    "rbac.v1",
)
"""Modules of pulumi_kubernetes with the kinds that the program creates."""

QUANTITIES: Final = frozenset(
    {
        "EmptyDirVolumeSource.sizeLimit",
        "HPAScalingRules.tolerance",
        "LimitRangeItem.default",
        "LimitRangeItem.defaultRequest",
        "LimitRangeItem.max",
        "LimitRangeItem.maxLimitRequestRatio",
        "LimitRangeItem.min",
        "MetricTarget.averageValue",
        "MetricTarget.value",
        "PodSpec.overhead",
        "ResourceFieldSelector.divisor",
        "ResourceQuotaSpec.hard",
        "ResourceRequirements.limits",
        "ResourceRequirements.requests",
        "VolumeResourceRequirements.limits",
        "VolumeResourceRequirements.requests",
    }
)
"""Fields of type Quantity in api/openapi-spec/swagger.json. They accept a number as well as a string: `cpu: 2`."""

TYPE_NAMES: Final[Mapping[object, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    Sequence: "a list",
    Mapping: "a map",
    NoneType: "null",
}


def field_errors(kind: str, patch: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield `path: rule; fix` for each unknown field, and for each value of the wrong type.

    The messages contain no values: a value may be a credential. A kind that is not built into Kubernetes has no errors.
    """
    for version in API_VERSIONS:
        fields = getattr(importlib.import_module(f"pulumi_kubernetes.{version}"), f"{kind}InitArgs", None)
        if fields is not None:
            yield from _map_errors(fields, patch, "", kind.lower())
            return


def _map_errors(fields: type, patch: Mapping[str, JsonValue], path: str, explained: str) -> Iterator[str]:
    """`explained` is the path without indices, for `kubectl explain`."""
    known = _types.input_type_types(fields)  # by JSON name; private, but meant for the generated classes
    for name, value in patch.items():
        here = f"{path}.{name}" if path else name
        if name not in known:
            yield f"{here}: is not a field; {_hint(name, known)} (kubectl explain {explained})"
        elif value is not None:  # null removes the field
            quantity = f"{fields.__name__.removesuffix('Args')}.{name}" in QUANTITIES
            yield from _value_errors(known[name], value, here, f"{explained}.{name}", quantity=quantity)


def _value_errors(
    expected: object, value: JsonValue, path: str, explained: str, *, quantity: bool = False
) -> Iterator[str]:
    types = list(_alternatives(expected))
    for type_ in types:
        origin = get_origin(type_)
        if isinstance(value, dict) and isinstance(type_, type) and _types.is_input_type(type_):
            yield from _map_errors(type_, value, path, explained)
        elif isinstance(value, dict) and origin is Mapping:
            for key, item in value.items():
                if item is not None:
                    yield from _value_errors(get_args(type_)[1], item, f"{path}.{key}", explained, quantity=quantity)
        elif isinstance(value, list) and origin is Sequence:
            yield from _list_errors(get_args(type_)[0], value, path, explained)
        elif not _is_scalar(value, type_, quantity=quantity):
            continue
        return
    allowed = " or ".join(dict.fromkeys(_type_name(type_) for type_ in types))
    fix = "; put it in quotes" if str in types and isinstance(value, (bool, int, float)) else ""
    yield f"{path}: must be {allowed}, not {_type_name(type(value))}{fix} (kubectl explain {explained})"


def _list_errors(expected: object, items: Sequence[JsonValue], path: str, explained: str) -> Iterator[str]:
    by_key = path.rsplit(".", maxsplit=1)[-1] in MERGE_KEYS
    for index, item in enumerate(items):
        if by_key and isinstance(item, dict):
            item = {key: value for key, value in item.items() if key != DELETE}  # noqa: PLW2901  # it is not a field
        yield from _value_errors(expected, item, f"{path}.{index}", explained)


def _is_scalar(value: JsonValue, type_: object, *, quantity: bool) -> bool:
    match value:
        case bool():
            return type_ in {bool, Any}
        case int():
            return type_ in {int, float, Any} or (quantity and type_ is str)
        case float():
            return type_ in {float, Any} or (quantity and type_ is str) or (type_ is int and value.is_integer())
        case str():
            return type_ in {str, Any}
        case _:
            return type_ is Any


def _type_name(type_: object) -> str:
    return TYPE_NAMES.get(get_origin(type_) or type_, TYPE_NAMES[Mapping])


def _alternatives(annotation: object) -> Iterator[object]:
    """Yield the types that a JSON value can have: without outputs and awaitables, and str for enumerations."""
    if get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    elif get_origin(annotation) not in {pulumi.Output, Awaitable} and annotation is not NoneType:
        is_choice = get_origin(annotation) is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum))
        yield str if is_choice else annotation


def _hint(name: str, known: Mapping[str, object]) -> str:
    plain = {field.lower(): field for field in known}
    found = plain.get(name.replace("_", "").lower())
    close = [found] if found else difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else "remove it"
