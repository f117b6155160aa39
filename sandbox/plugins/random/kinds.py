"""The kinds of random value: their inputs, checks, generation and import.

Names and semantics are those of the official provider's schema, version 4.21.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.properties import Properties, Property, whole_number
from sandbox.plugins.random.bcrypt import bcrypt_hash
from sandbox.plugins.random.characters import KINDS, MINIMUMS, draw


@dataclass(frozen=True)
class Value:
    """A new or imported value: its id, its inputs, and the outputs in addition to the inputs."""

    id: str
    inputs: Properties
    outputs: Properties


class Kind:
    """One resource type. Every input except `keepers` has a type in `fields`; those without a default are required."""

    fields: ClassVar[Mapping[str, type]] = {}
    defaults: ClassVar[Mapping[str, Property]] = {}
    computed: ClassVar[tuple[str, ...]] = ("result",)
    secret: ClassVar[frozenset[str]] = frozenset()

    def problems(self, inputs: Properties) -> list[tuple[str, str]]:
        """Return (input, reason) for each invalid value among complete inputs of the right types."""
        return []

    def generate(self, inputs: Properties) -> Value:
        """Return a new value for valid inputs."""
        raise NotImplementedError

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id. Raises PluginError for an invalid id."""
        raise NotImplementedError


class String(Kind):
    """RandomString: a string, which is also its id."""

    fields: ClassVar[Mapping[str, type]] = {
        "length": int,
        "overrideSpecial": str,
        "number": bool,
        **dict.fromkeys(KINDS, bool),
        **dict.fromkeys(MINIMUMS.values(), int),
    }
    defaults: ClassVar[Mapping[str, Property]] = {
        "overrideSpecial": None,
        "number": None,
        **dict.fromkeys(KINDS, True),
        **dict.fromkeys(MINIMUMS.values(), 0),
    }

    def problems(self, inputs: Properties) -> list[tuple[str, str]]:
        """Return the invalid inputs."""
        length = whole_number(inputs["length"])
        minimums = {kind: whole_number(inputs[MINIMUMS[kind]]) for kind in KINDS}
        found = [(MINIMUMS[kind], f"{least} is below 0") for kind, least in minimums.items() if least < 0]
        if length < 1:
            found.append(("length", f"{length} is below 1"))
        elif length < sum(minimums.values()):
            least = sum(minimums.values())
            found.append(
                ("length", f"{length} is below the sum of minLower, minUpper, minNumeric, minSpecial: {least}")
            )
        if not any(inputs[kind] for kind in KINDS):
            found.append(("special", "at least one of lower, upper, numeric, special must be true"))
        if inputs["number"] is not None and inputs["number"] != inputs["numeric"]:
            found.append(("number", "differs from `numeric`, which replaces it; set only numeric"))
        return found

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        result = draw(inputs)
        return Value(result, inputs, {"result": result})

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        if not import_id:
            raise PluginError("the import id of a random string is the string itself; it is empty")
        return Value(import_id, {**self.defaults, "length": len(import_id)}, {"result": import_id})


class Password(String):
    """RandomPassword: a secret string and its bcrypt hash; its id is `none`."""

    computed: ClassVar[tuple[str, ...]] = ("result", "bcryptHash")
    secret: ClassVar[frozenset[str]] = frozenset(computed)

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        return self._hidden(super().generate(inputs))

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        return self._hidden(super().parse(import_id))

    def _hidden(self, value: Value) -> Value:
        outputs = {**value.outputs, "bcryptHash": bcrypt_hash(str(value.outputs["result"]))}
        return Value("none", value.inputs, outputs)


class Bytes(Kind):
    """RandomBytes: secret bytes as base64 and hexadecimal digits.

    The id is the base64 form in plain text, as with the official provider (pulumi-random, provider/resources.go). Use
    RandomPassword for values that must not be readable in an exported state.
    """

    fields: ClassVar[Mapping[str, type]] = {"length": int}
    computed: ClassVar[tuple[str, ...]] = ("base64", "hex")
    secret: ClassVar[frozenset[str]] = frozenset(computed)

    def problems(self, inputs: Properties) -> list[tuple[str, str]]:
        """Return the invalid inputs."""
        return _at_least_one("length", inputs)

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        return self._of(secrets.token_bytes(whole_number(inputs["length"])), inputs)

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        content = _decode(import_id, "the import id of random bytes is their base64 form")
        return self._of(content, {"length": len(content)})

    def _of(self, content: bytes, inputs: Properties) -> Value:
        text = base64.b64encode(content).decode()
        return Value(text, inputs, {"base64": text, "hex": content.hex()})


class Id(Kind):
    """RandomId: bytes in four encodings with an optional prefix; the id is the URL-safe one without prefix."""

    fields: ClassVar[Mapping[str, type]] = {"byteLength": int, "prefix": str}
    defaults: ClassVar[Mapping[str, Property]] = {"prefix": None}
    computed: ClassVar[tuple[str, ...]] = ("b64Std", "b64Url", "dec", "hex")

    def problems(self, inputs: Properties) -> list[tuple[str, str]]:
        """Return the invalid inputs."""
        return _at_least_one("byteLength", inputs)

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        return self._of(secrets.token_bytes(whole_number(inputs["byteLength"])), inputs)

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        prefix, comma, text = import_id.rpartition(",")
        content = _decode(text, "the import id of a random id is its b64Url form, or `prefix,b64Url`")
        return self._of(content, {"byteLength": len(content), "prefix": prefix if comma else None})

    def _of(self, content: bytes, inputs: Properties) -> Value:
        prefix = str(inputs["prefix"] or "")
        url_safe = base64.urlsafe_b64encode(content).decode().rstrip("=")
        outputs: Properties = {
            "b64Std": prefix + base64.b64encode(content).decode(),
            "b64Url": prefix + url_safe,
            "dec": prefix + str(int.from_bytes(content, "big")),
            "hex": prefix + content.hex(),
        }
        return Value(url_safe, inputs, outputs)


class Integer(Kind):
    """RandomInteger: a number in a range that includes both ends."""

    fields: ClassVar[Mapping[str, type]] = {"min": int, "max": int, "seed": str}
    defaults: ClassVar[Mapping[str, Property]] = {"seed": None}

    def problems(self, inputs: Properties) -> list[tuple[str, str]]:
        """Return the invalid inputs."""
        low, high = whole_number(inputs["min"]), whole_number(inputs["max"])
        found = [("min", f"{low} is above max, {high}")] if low > high else []
        if inputs["seed"] is not None:
            found.append(("seed", "the stand-in provider does not support seeds; remove it or use the official plugin"))
        return found

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        low, high = whole_number(inputs["min"]), whole_number(inputs["max"])
        result = low + secrets.randbelow(high - low + 1)
        return Value(str(result), inputs, {"result": result})

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        try:
            result, low, high = (int(part) for part in import_id.split(","))
        except ValueError as error:
            raise PluginError("the import id of a random integer is `result,min,max`") from error
        return Value(str(result), {"min": low, "max": high, "seed": None}, {"result": result})


class Uuid(Kind):
    """RandomUuid: a UUID of version 4."""

    def generate(self, inputs: Properties) -> Value:
        """Return a new value."""
        result = str(uuid.uuid4())
        return Value(result, inputs, {"result": result})

    def parse(self, import_id: str) -> Value:
        """Return the value of an import id."""
        try:
            result = str(uuid.UUID(import_id))
        except ValueError as error:
            raise PluginError("the import id of a random UUID is the UUID itself") from error
        return Value(result, {}, {"result": result})


KINDS_BY_TOKEN: Final[Mapping[str, Kind]] = {
    "random:index/randomBytes:RandomBytes": Bytes(),
    "random:index/randomId:RandomId": Id(),
    "random:index/randomInteger:RandomInteger": Integer(),
    "random:index/randomPassword:RandomPassword": Password(),
    "random:index/randomString:RandomString": String(),
    "random:index/randomUuid:RandomUuid": Uuid(),
}


def _at_least_one(key: str, inputs: Properties) -> list[tuple[str, str]]:
    number = whole_number(inputs[key])
    return [(key, f"{number} is below 1")] if number < 1 else []


def _decode(text: str, rule: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    try:
        content = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PluginError(rule) from error
    if not content:
        raise PluginError(rule)
    return content
