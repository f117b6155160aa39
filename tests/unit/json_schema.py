"""Validates a value against the JSON Schema of stack files. Keywords that this schema does not use are an error."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples", "format"}
TYPES: Mapping[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
SIMPLE: Mapping[str, tuple[type, Callable[[Any, Any], bool]]] = {
    "type": (object, lambda value, name: type(value) is TYPES[name]),
    "enum": (object, lambda value, known: value in known),
    "const": (object, lambda value, one: bool(value == one)),
    "required": (dict, lambda value, names: set(names) <= value.keys()),
    "minimum": (int, lambda value, bound: bool(value >= bound)),
    "maximum": (int, lambda value, bound: bool(value <= bound)),
    "exclusiveMinimum": (int, lambda value, bound: bool(value > bound)),
    "exclusiveMaximum": (int, lambda value, bound: bool(value < bound)),
    "minLength": (str, lambda value, bound: len(value) >= bound),
    "maxLength": (str, lambda value, bound: len(value) <= bound),
    "minItems": (list, lambda value, bound: len(value) >= bound),
    "maxItems": (list, lambda value, bound: len(value) <= bound),
    "minProperties": (dict, lambda value, bound: len(value) >= bound),
    "pattern": (str, lambda value, pattern: re.search(pattern, value) is not None),
}
"""Keywords that constrain values of one type and contain no schema."""

MEMBERS = {"properties", "patternProperties", "additionalProperties"}


def problems(value: object, schema: Schema, root: Schema, path: str = "") -> Iterator[str]:
    """The violations of a value: draft 7, but keywords next to `$ref` apply as well, as in editors."""
    unknown = schema.keys() - ANNOTATIONS - SIMPLE.keys() - MEMBERS - {"$ref", "anyOf", "items"}
    assert not unknown, f"the schema of stack files uses {unknown}, which this validator does not implement"
    for word in SIMPLE.keys() & schema.keys():
        kind, fits = SIMPLE[word]
        if isinstance(value, kind) and not fits(value, schema[word]):
            yield f"{path}: {word} is {schema[word]}"
    if "$ref" in schema:
        yield from problems(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    if "anyOf" in schema and all(any(problems(value, option, root, path)) for option in schema["anyOf"]):
        yield f"{path}: fits none of {len(schema['anyOf'])}"
    if "items" in schema and isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], root, f"{path}.{number}")
    if isinstance(value, dict):
        yield from _members(value, schema, root, path)


def _members(value: Mapping[str, object], schema: Schema, root: Schema, path: str) -> Iterator[str]:
    rest = schema.get("additionalProperties", True)
    for name, member in value.items():
        rules = [rule for key, rule in schema.get("properties", {}).items() if key == name]
        rules += [rule for pattern, rule in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
        if not rules and rest is False:
            yield f"{path}.{name}: is not a known key"
        for rule in rules or ([rest] if isinstance(rest, dict) else []):
            yield from problems(member, rule, root, f"{path}.{name}")
