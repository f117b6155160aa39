"""Converts resource properties between protobuf Structs and Python values.

A secret becomes `Secret(value)`, a value that a preview does not know becomes `UNKNOWN`; both may be at any depth.
Assets, archives and resource references stay plain objects with their signature. Protobuf numbers are doubles; whole
ones become `int`, as Kubernetes expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from google.protobuf import struct_pb2

# From sdk/go/common/resource/{properties.go,sig/sig.go} and plugin/rpc.go.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # a type tag, not a credential
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_TOKENS: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        UNKNOWN_STRING,
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
EXACT_INTEGERS: Final = 2.0**53  # doubles can't represent every larger integer


@final
class Unknown:
    """The type of `UNKNOWN`, a value that only an update will know."""

    def __repr__(self) -> str:
        """Return the name of the constant."""
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@final
@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in state. Its `repr` does not show the value."""

    value: Property = field(repr=False)


Property: TypeAlias = "bool | int | float | str | Sequence[Property] | Mapping[str, Property] | Secret | Unknown | None"
Properties: TypeAlias = dict[str, Property]


def decode(properties: struct_pb2.Struct) -> Properties:
    """Convert the properties of a request."""
    return {key: decode_value(value) for key, value in properties.fields.items()}


def encode(properties: Mapping[str, Property]) -> struct_pb2.Struct:
    """Convert properties for a response."""
    return struct_pb2.Struct(fields={key: encode_value(value) for key, value in properties.items()})


def decode_value(value: struct_pb2.Value) -> Property:
    """Convert one value of a request."""
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWN_TOKENS else value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < EXACT_INTEGERS else number
        case "list_value":
            return [decode_value(item) for item in value.list_value.values]
        case "struct_value":
            return _decode_object(value.struct_value)
        case _:
            return None


def _decode_object(wire: struct_pb2.Struct) -> Property:
    fields = wire.fields
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else None
    if signature == SECRET_SIGNATURE:
        return Secret(decode_value(fields["value"]) if "value" in fields else None)
    if signature == OUTPUT_SIGNATURE:
        known = decode_value(fields["value"]) if "value" in fields else UNKNOWN
        return Secret(known) if "secret" in fields and fields["secret"].bool_value else known
    return {key: decode_value(item) for key, item in fields.items()}


def encode_value(value: Property) -> struct_pb2.Value:  # noqa: PLR0911  # one return per kind of value
    """Convert one value for a response. Raises TypeError for other types than those of `Property`."""
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Unknown():
            return struct_pb2.Value(string_value=UNKNOWN_STRING)
        case Secret(inner):
            tagged: Properties = {SIGNATURE: SECRET_SIGNATURE, "value": inner}
            return struct_pb2.Value(struct_value=encode(tagged))
        case Mapping():
            return struct_pb2.Value(struct_value=encode(value))
        case Sequence():
            items = [encode_value(item) for item in value]
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
        case _:
            raise TypeError(type(value).__name__)


def reveal(value: Property) -> Property:
    """Return the value without its `Secret` wrappers; unknown values stay."""
    match value:
        case Secret(inner):
            return reveal(inner)
        case Mapping():
            return {key: reveal(item) for key, item in value.items()}
        case list() | tuple():
            return [reveal(item) for item in value]
        case _:
            return value


def whole_number(value: Property) -> int:
    """Return a value that must be an integer. Raises TypeError if it is not."""
    if not isinstance(value, int):
        raise TypeError(type(value).__name__)
    return value


def conceal(value: Property, like: Property) -> Property:
    """Return the plain `value` with a `Secret` wrapper wherever `like` has one at the same path."""
    if isinstance(like, Secret):
        return value if isinstance(value, Secret) else Secret(value)
    if isinstance(value, Mapping) and isinstance(like, Mapping):
        return {key: conceal(item, like.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(like, list):
        if len(value) != len(like):  # items may have moved, so any of them may be the secret one
            return Secret(value) if any(contains_secret(item) for item in like) else value
        return [conceal(item, twin) for item, twin in zip(value, like, strict=True)]
    return value


def contains_unknown(value: Property) -> bool:
    """Return whether any part of the value is unknown."""
    return _any(value, lambda part: isinstance(part, Unknown))


def contains_secret(value: Property) -> bool:
    """Return whether any part of the value is secret."""
    return _any(value, lambda part: isinstance(part, Secret))


def _any(value: Property, test: Callable[[Property], bool]) -> bool:
    if test(value):
        return True
    match value:
        case Secret(inner):
            return _any(inner, test)
        case Mapping():
            return any(_any(item, test) for item in value.values())
        case list() | tuple():
            return any(_any(item, test) for item in value)
        case _:
            return False
