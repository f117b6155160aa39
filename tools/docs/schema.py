"""Renders `stacks/schema.json`, the JSON Schema by which editors complete and check stack files.

The program itself checks more: domain types such as quantities, and rules that join several keys.
"""

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from components.schema.environment import PROJECT, Settings
from tools.docs.fields import keys, required_keys

FILE = "schema.json"

SECURE: JsonValue = {
    "type": "object",
    "description": "A value that `pulumi config set --secret` encrypted.",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
TEXT_OF_BOOLEAN: JsonValue = {"enum": ["true", "false"], "description": "As `pulumi config set` writes it."}


def render() -> str:
    """The schema as JSON."""
    return json.dumps(schema(), indent=2) + "\n"


def schema() -> Mapping[str, JsonValue]:
    """The schema. Keys with a default in a profile or a scale are not required."""
    models = Settings.model_json_schema(by_alias=True)
    required = required_keys()
    definitions: dict[str, JsonValue] = {
        name: _partial(definition, required.get(name, set())) for name, definition in models["$defs"].items()
    }
    config = {f"{PROJECT}:{key.name}": _top_level(models["properties"][key.name]) for key in keys(Settings)}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stack file",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": config,
                "patternProperties": {f"^(?!{PROJECT}:)": {"description": "Configuration of a provider."}},
                "additionalProperties": False,
                "required": [f"{PROJECT}:{name}" for name in sorted(required[Settings.__name__])],
            }
        },
        "required": ["config"],
        "$defs": {**definitions, "Secure": SECURE},
    }


def _partial(node: JsonValue, required: set[str]) -> JsonValue:
    """A model's schema with only the required keys of a stack file, and without keywords that only pydantic uses."""
    if isinstance(node, list):
        return [_partial(item, set()) for item in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, JsonValue] = {}
    for name, value in node.items():
        if name in {"required", "discriminator", "title", "default"}:
            continue
        if name == "properties":
            members = cast("dict[str, JsonValue]", value)
            result[name] = {member: _partial(item, set()) for member, item in members.items()}
        else:
            result["anyOf" if name == "oneOf" else name] = _partial(value, set())
    options = result.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        left = [option for option in options if option != {"type": "null"}]
        del result["anyOf"]
        result = {**cast("dict[str, JsonValue]", left[0]), **result} if len(left) == 1 else {**result, "anyOf": left}
    if required:
        result["required"] = cast("list[JsonValue]", sorted(required))
    return result


def _top_level(node: JsonValue) -> JsonValue:
    value = cast("dict[str, JsonValue]", _partial(node, set()))
    description = value.pop("description", None)
    options = cast("list[JsonValue]", value["anyOf"]) if set(value) == {"anyOf"} else [value]
    if value.get("type") == "boolean":
        options = [value, TEXT_OF_BOOLEAN]
    described: dict[str, JsonValue] = {"description": description} if description else {}
    return {**described, "anyOf": [*options, {"$ref": "#/$defs/Secure"}]}
