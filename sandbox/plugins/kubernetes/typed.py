"""Converts objects of built-in kinds to the form in which their Go types are serialized.

The official provider decodes inputs into the types of k8s.io/api and encodes them again before it compares or sends
them (`Normalize` in clients/unstructured.go). This removes unknown fields and empty optional values, and gives
quantities one form.

types.json has the shape of each field, with `?` if `omitempty` omits an empty value. Empty values of pointers are not
omitted. types.go generates the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from sandbox.plugins.kubernetes import quantity
from sandbox.plugins.kubernetes.objects import Object, text
from sandbox.plugins.properties import Property

SCALARS: Final[Mapping[str, tuple[type, ...]]] = {"bool": (bool,), "string": (str,), "int": (int, float)}
LIST: Final = "[]"
MAP: Final = "{}"
OMITTED: Final = "?"


class _Tables(NamedTuple):
    version: str
    kinds: Mapping[str, str]
    types: Mapping[str, Mapping[str, str]]


class _MismatchError(Exception):
    """A value does not have the type of its field."""


def typed(obj: Object) -> Object:
    """Return the serialized form of an object, or the object if its kind is unknown or a value has a wrong type."""
    kind = _tables().kinds.get(f"{text(obj, 'apiVersion')}/{text(obj, 'kind')}")
    if kind is None:
        return obj
    try:
        return _struct(obj, kind)
    except _MismatchError:
        return obj


def _struct(value: Property, name: str) -> Object:
    if not isinstance(value, dict):
        raise _MismatchError
    fields, written = _tables().types[name], {}
    for key, field in value.items():
        shape = fields.get(key)
        if shape is None or field is None:
            continue
        item = _value(field, shape.rstrip(OMITTED))
        if not shape.endswith(OMITTED) or item not in ("", [], {}, 0, False):
            written[key] = item
    return written


def _value(value: Property, shape: str) -> Property:
    if shape == "any":
        return value
    if shape == "quantity":
        return _quantity(value)
    if shape.startswith(LIST):
        if not isinstance(value, list):
            raise _MismatchError
        return [_value(item, shape.removeprefix(LIST)) for item in value]
    if shape.startswith(MAP):
        if not isinstance(value, dict):
            raise _MismatchError
        return {key: _value(item, shape.removeprefix(MAP)) for key, item in value.items()}
    if shape not in SCALARS:
        return _struct(value, shape)
    if not isinstance(value, SCALARS[shape]) or isinstance(value, bool) != (shape == "bool"):
        raise _MismatchError
    if isinstance(value, float) and not value.is_integer():
        raise _MismatchError
    return int(value) if shape == "int" else value  # type: ignore[arg-type]  # a number, as checked above


def _quantity(value: Property) -> str:
    written = quantity.canonical(value)
    if written is None:
        raise _MismatchError
    return written


def version() -> str:
    """Return the version of k8s.io/api that has these types."""
    return _tables().version


@cache
def _tables() -> _Tables:
    return _Tables(**json.loads(Path(__file__).with_name("types.json").read_text()))
