"""Resource properties between the wire (protobuf Struct) and Python, keeping secrets and unknowns.

A secret arrives as `Secret(value)`, a value that a preview can't know yet as `UNKNOWN`; both may stand at any depth.
Assets, archives and resource references stay the plain objects that the wire has, signature included.
Numbers are doubles on the wire: a whole one becomes an `int`, as Kubernetes and people expect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from google.protobuf import struct_pb2

# sdk/go/common/resource/{properties.go,sig/sig.go} and plugin/rpc.go name these.
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
EXACT_INTEGERS: Final = 2.0**53  # beyond it, doubles skip integers


@final
class Unknown:
    """The type of `UNKNOWN`, a value that only a real update will know."""

    def __repr__(self) -> str:
        """Name the constant."""
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@final
@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in state; its text form never shows the value."""

    value: Property = field(repr=False)


Property: TypeAlias = "bool | int | float | str | Sequence[Property] | Mapping[str, Property] | Secret | Unknown | None"
Properties: TypeAlias = dict[str, Property]


def decode(properties: struct_pb2.Struct) -> Properties:
    """Return the properties of a request."""
    return {key: decode_value(value) for key, value in properties.fields.items()}


def encode(properties: Mapping[str, Property]) -> struct_pb2.Struct:
    """Return the properties as the engine expects them in a response."""
    return struct_pb2.Struct(fields={key: encode_value(value) for key, value in properties.items()})


def decode_value(value: struct_pb2.Value) -> Property:
    """Return one value of a request."""
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
    """Return one value as the wire has it. Raises TypeError for what the wire can't carry."""
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
    """Return the value with every `Secret` wrapper taken off; unknowns stay."""
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
    """Return a value that is known to be an integer. Raises TypeError otherwise."""
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
        if len(value) != len(like):  # items may have moved: a secret one could be any of them
            return Secret(value) if any(contains_secret(item) for item in like) else value
        return [conceal(item, twin) for item, twin in zip(value, like, strict=True)]
    return value


def contains_unknown(value: Property) -> bool:
    """Say whether any part of the value is not known yet."""
    return _any(value, lambda part: isinstance(part, Unknown))


def contains_secret(value: Property) -> bool:
    """Say whether any part of the value is secret."""
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
