"""Hides secret values in messages, because the API server quotes values that it rejects."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Final

from sandbox.plugins.properties import Property, Secret

SHORTEST: Final = 3  # shorter values would garble messages
HIDDEN: Final = "[secret]"


class Scrubber:
    """Replaces the secret values of properties in a text."""

    def __init__(self, *properties: Mapping[str, Property]) -> None:
        """Collect secret values and the data of Secret objects, in their base64-encoded and decoded forms too."""
        found: set[str] = set()
        for bag in properties:
            for value in _secrets(bag, hidden=False):
                found.update(_forms(value))
        self._values = sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)

    def __call__(self, message: str) -> str:
        """Return the message with every secret value hidden."""
        for value in self._values:
            message = message.replace(value, HIDDEN)
        return message


def _secrets(value: Property, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _secrets(value.value, hidden=True)
    elif isinstance(value, Mapping):
        is_secret = value.get("kind") == "Secret"
        for key, item in value.items():
            yield from _secrets(item, hidden=hidden or (is_secret and key in {"data", "stringData"}))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, hidden=hidden)
    elif hidden and isinstance(value, str):
        yield value
    elif hidden and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(value: str) -> Iterator[str]:
    yield value
    yield value.strip()
    yield json.dumps(value)[1:-1]
    yield base64.b64encode(value.encode()).decode()
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return
    yield decoded
    yield json.dumps(decoded)[1:-1]
