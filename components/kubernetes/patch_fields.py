"""Checks the fields of `patches` against the types of Kubernetes' API, before anything is asked of a cluster.

The API server drops a field that it does not know, so a misspelt patch would change nothing and fail nowhere. The
types are those of pulumi_kubernetes, which are generated from the API's specification. Custom resources have no types
there: only the API server knows their CRDs, and refuses unknown fields in updates, not when it creates an object.
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
"""Modules of pulumi_kubernetes with the kinds that the program makes."""

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
"""Fields that take a number beside a text, as `cpu: 2`: those of type Quantity in api/openapi-spec/swagger.json."""

SHAPES: Final[Mapping[object, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    Sequence: "a list",
    Mapping: "a map",
    NoneType: "null",
}


def field_problems(kind: str, patch: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield `path: rule; fix` for each field that objects of a kind don't have, and for each value of another type.

    Values are not shown: one may be a credential. Yields nothing for a kind that is not one of Kubernetes' own.
    """
    for version in API_VERSIONS:
        fields = getattr(importlib.import_module(f"pulumi_kubernetes.{version}"), f"{kind}InitArgs", None)
        if fields is not None:
            yield from _map_problems(fields, patch, "", kind.lower())
            return


def _map_problems(fields: type, given: Mapping[str, JsonValue], path: str, explained: str) -> Iterator[str]:
    """`explained` is the path without indices, as `kubectl explain` takes it."""
    known = _types.input_type_types(fields)  # by name in JSON; private, but what the generated classes are made for
    for name, value in given.items():
        here = f"{path}.{name}" if path else name
        if name not in known:
            yield f"{here}: is not a field; {_hint(name, known)} (kubectl explain {explained})"
        elif value is not None:  # null removes the field
            quantity = f"{fields.__name__.removesuffix('Args')}.{name}" in QUANTITIES
            yield from _problems(known[name], value, here, f"{explained}.{name}", quantity=quantity)


def _problems(
    expected: object, value: JsonValue, path: str, explained: str, *, quantity: bool = False
) -> Iterator[str]:
    types = list(_alternatives(expected))
    for type_ in types:
        origin = get_origin(type_)
        if isinstance(value, dict) and isinstance(type_, type) and _types.is_input_type(type_):
            yield from _map_problems(type_, value, path, explained)
        elif isinstance(value, dict) and origin is Mapping:
            for key, item in value.items():
                if item is not None:
                    yield from _problems(get_args(type_)[1], item, f"{path}.{key}", explained, quantity=quantity)
        elif isinstance(value, list) and origin is Sequence:
            yield from _list_problems(get_args(type_)[0], value, path, explained)
        elif not _is_scalar(value, type_, quantity=quantity):
            continue
        return
    wanted = " or ".join(dict.fromkeys(_shape(type_) for type_ in types))
    fix = "; put it in quotes" if str in types and isinstance(value, (bool, int, float)) else ""
    yield f"{path}: must be {wanted}, not {_shape(type(value))}{fix} (kubectl explain {explained})"


def _list_problems(expected: object, given: Sequence[JsonValue], path: str, explained: str) -> Iterator[str]:
    by_key = path.rsplit(".", maxsplit=1)[-1] in MERGE_KEYS
    for index, item in enumerate(given):
        if by_key and isinstance(item, dict):
            item = {key: value for key, value in item.items() if key != DELETE}  # noqa: PLW2901  # it is no field
        yield from _problems(expected, item, f"{path}.{index}", explained)


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


def _shape(type_: object) -> str:
    return SHAPES.get(get_origin(type_) or type_, SHAPES[Mapping])


def _alternatives(annotation: object) -> Iterator[object]:
    """Yield the types that JSON can have: no outputs and awaitables, and text for what is one of several texts."""
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
