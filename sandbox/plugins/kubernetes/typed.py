"""Objects of Kubernetes' own kinds as Go's types write them.

The official provider reads what a program says into the types of k8s.io/api and writes it out again before it compares
or sends it (`Normalize` in clients/unstructured.go). Then fields that a type does not have are gone, and empty values
of optional fields; quantities have one spelling.

types.json, which types.go writes, has for each field its shape, with `?` where `omitempty` leaves an empty value out.
Pointers have no `?`: their empty values are written.
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
    """A value has another type than its field."""


def typed(obj: Object) -> Object:
    """Return an object as its type writes it: itself where it has no type here, or a value of another shape."""
    kind = _tables().kinds.get(f"{text(obj, 'apiVersion')}/{text(obj, 'kind')}")
    if kind is None:
        return obj
    try:
        return _struct(obj, kind)
    except _MismatchError:
        return obj


def _struct(given: Property, name: str) -> Object:
    if not isinstance(given, dict):
        raise _MismatchError
    fields, written = _tables().types[name], {}
    for key, value in given.items():
        shape = fields.get(key)
        if shape is None or value is None:
            continue
        item = _value(value, shape.rstrip(OMITTED))
        if not shape.endswith(OMITTED) or item not in ("", [], {}, 0, False):
            written[key] = item
    return written


def _value(given: Property, shape: str) -> Property:
    if shape == "any":
        return given
    if shape == "quantity":
        return _quantity(given)
    if shape.startswith(LIST):
        if not isinstance(given, list):
            raise _MismatchError
        return [_value(item, shape.removeprefix(LIST)) for item in given]
    if shape.startswith(MAP):
        if not isinstance(given, dict):
            raise _MismatchError
        return {key: _value(item, shape.removeprefix(MAP)) for key, item in given.items()}
    if shape not in SCALARS:
        return _struct(given, shape)
    if not isinstance(given, SCALARS[shape]) or isinstance(given, bool) != (shape == "bool"):
        raise _MismatchError
    if isinstance(given, float) and not given.is_integer():
        raise _MismatchError
    return int(given) if shape == "int" else given  # type: ignore[arg-type]  # a number, as was just asked


def _quantity(given: Property) -> str:
    written = quantity.canonical(given)
    if written is None:
        raise _MismatchError
    return written


def version() -> str:
    """Return the version of k8s.io/api that the types are of."""
    return _tables().version


@cache
def _tables() -> _Tables:
    return _Tables(**json.loads(Path(__file__).with_name("types.json").read_text()))
