"""Resources as the engine sends them: protobuf structs with marks for what is secret, unknown or a file.

The marks are those of the engine (sdk/go/common/resource/properties.go and plugin/rpc.go).
"""

from collections.abc import Mapping
from typing import Final

from google.protobuf import struct_pb2

from langfuse_policies.engine.protocol import analyzer_pb2
from langfuse_policies.facts.fields import UNKNOWN, Value
from langfuse_policies.facts.resources import Resource

#: A key that marks a mapping as something else, and what it says of a secret.
_MARK: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # says only that a value is one
#: What stands for a value that is known only once the resources are made, by the value's type.
_UNKNOWNS: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


def resource_of(sent: analyzer_pb2.AnalyzeRequest | analyzer_pb2.AnalyzerResource) -> Resource:
    """One resource that is to be judged, by itself or as part of the stack."""
    return Resource(
        type=sent.type,
        name=sent.name,
        props=_mapping(sent.properties),
        urn=sent.urn,
        protect=sent.options.protect,
        ignore_changes=tuple(sent.options.ignoreChanges),
        parent=sent.options.parent,
    )


def with_metadata(properties: struct_pb2.Struct, added: Mapping[str, Mapping[str, str]]) -> struct_pb2.Struct | None:
    """The properties with these labels and annotations; None where what they belong to is not known yet."""
    changed = struct_pb2.Struct()
    changed.CopyFrom(properties)
    metadata = _writable(changed.fields["metadata"])
    for where, entries in added.items():
        place = None if metadata is None else _writable(metadata.fields[where])
        if place is None:
            return None
        for key, value in entries.items():
            place.fields[key].string_value = value
    return changed


def _writable(value: struct_pb2.Value) -> struct_pb2.Struct | None:
    """The mapping that a value is, also a secret one; a new one where there is nothing."""
    if value.WhichOneof("kind") in (None, "null_value"):
        value.struct_value.SetInParent()
    if value.WhichOneof("kind") != "struct_value":
        return None
    fields = value.struct_value.fields
    if _MARK not in fields:
        return value.struct_value
    return _writable(fields["value"]) if fields[_MARK].string_value == _SECRET else None


def _mapping(struct: struct_pb2.Struct) -> Value:
    fields = struct.fields
    if _MARK not in fields:
        return {key: _value(value) for key, value in fields.items()}
    if fields[_MARK].string_value == _SECRET:
        return _value(fields["value"])
    return "<asset>"  # or an archive: rules don't read them


def _value(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            text = value.string_value
            return UNKNOWN if text in _UNKNOWNS else text
        case "struct_value":
            return _mapping(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None
