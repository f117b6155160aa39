"""Resources as the engine sends them: protobuf structs with marks for what is secret, unknown or a file.

The SDK reads them in four passes (json_format, deserialize.py, proxy.py, and ours over its proxies); this is one.
"""

from typing import Final

from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import deserialize, proxy

from langfuse_policies.fields import UNKNOWN, Value
from langfuse_policies.resources import Resource

_UNKNOWNS: Final = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))


def resource_of(sent: analyzer_pb2.AnalyzeRequest | analyzer_pb2.AnalyzerResource) -> Resource:
    """One resource that is to be judged, by itself or as part of the stack."""
    parent = sent.parent if isinstance(sent, analyzer_pb2.AnalyzerResource) else sent.options.parent
    return Resource(
        type=sent.type,
        name=sent.name,
        props=_mapping(sent.properties),
        urn=sent.urn,
        protect=sent.options.protect,
        ignore_changes=tuple(sent.options.ignoreChanges),
        parent=parent,
    )


def _mapping(struct: struct_pb2.Struct) -> Value:
    fields = struct.fields
    if deserialize.SPECIAL_SIG_KEY not in fields:
        return {key: _value(value) for key, value in fields.items()}
    if fields[deserialize.SPECIAL_SIG_KEY].string_value == deserialize.SPECIAL_SECRET_SIG:
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
