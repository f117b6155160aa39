"""Kubernetes quantities: `0.5` and `500m`, `1024Mi` and `1Gi` are the same amount."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from sandbox.plugins.properties import Property

SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
# Fields of built-in kinds that hold a quantity, or a map of them.
FIELDS: Final = frozenset(
    {
        "allocatable",
        "averageValue",
        "capacity",
        "default",
        "defaultRequest",
        "hard",
        "limits",
        "max",
        "maxLimitRequestRatio",
        "min",
        "overhead",
        "podFixed",
        "requests",
        "sizeLimit",
        "divisor",
        "value",
    }
)


def is_quantity_path(path: tuple[str | int, ...]) -> bool:
    """Say whether the field at a path holds a quantity."""
    return any(step in FIELDS for step in path[-2:])


def amount(value: Property) -> Decimal | None:
    """Return the number that a quantity stands for, None for what is no quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    written = str(value).strip()
    digits = written.rstrip("numkKMGTPEi") if not _has_exponent(written) else written
    factor = SUFFIXES.get(written[len(digits) :])
    try:
        return Decimal(digits) * factor if factor is not None else None
    except InvalidOperation:
        return None


def same(left: Property, right: Property) -> bool:
    """Say whether two values are the same amount."""
    a, b = amount(left), amount(right)
    return a is not None and a == b


def _has_exponent(written: str) -> bool:
    head, mark, tail = written.replace("E", "e").partition("e")
    return bool(mark and head and tail.lstrip("+-").isdigit())
