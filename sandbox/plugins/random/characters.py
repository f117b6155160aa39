"""Random strings of several kinds of character, for RandomPassword and RandomString."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Final

from sandbox.plugins.properties import Property, whole_number

KINDS: Final = ("lower", "upper", "numeric", "special")
MINIMUMS: Final = {kind: f"min{kind.capitalize()}" for kind in KINDS}
SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"


def draw(inputs: Mapping[str, Property]) -> str:
    """Return a new string for valid inputs: the minimum of each kind, then any of the allowed kinds, shuffled.

    As with the official provider, a minimum applies even to a kind that is not allowed.
    """
    characters = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": str(inputs["overrideSpecial"] or SPECIAL),
    }
    allowed = "".join(characters[kind] for kind in KINDS if inputs[kind])
    drawn = [secrets.choice(characters[kind]) for kind in KINDS for _ in range(whole_number(inputs[MINIMUMS[kind]]))]
    drawn += [secrets.choice(allowed) for _ in range(whole_number(inputs["length"]) - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)
