"""The canonical form of quantities in the API server: `0.5` becomes `500m`, `1024Mi` becomes `1Gi`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

from langfuse_policies.facts.quantities import parse_quantity

from sandbox.plugins.properties import Property

KILO: Final = 1000
KIBI: Final = 1024
DECIMAL: Final = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
EXPONENTS: Final = ("e-9", "e-6", "e-3", "", *(f"e{3 * number}" for number in range(1, 7)))
BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
EXACT: Final = Context(prec=4000)


def amount(value: Property) -> Decimal | None:
    """Return the value of a quantity, None for an invalid one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return parse_quantity(str(value).strip())


def canonical(value: Property) -> str | None:
    """Return the canonical form of a quantity (Quantity.String in apimachinery), None for an invalid one."""
    number = amount(value)
    if number is None:
        return None
    written = str(value).strip()
    steps: Sequence[str]
    if written.endswith("i") and number == int(number) and abs(number) >= KIBI:
        count, steps, base = int(number), BINARY, KIBI
    else:  # in billionths, then in the largest unit that needs no fraction
        count, steps, base = int(EXACT.scaleb(number, 9)), EXPONENTS if _has_exponent(written) else DECIMAL, KILO
    place = 0
    while count and count % base == 0 and place + 1 < len(steps):
        count, place = count // base, place + 1
    return f"{count}{steps[place]}" if count else "0"


def _has_exponent(written: str) -> bool:
    head, mark, tail = written.replace("E", "e").partition("e")
    return bool(mark and head and tail.lstrip("+-").isdigit())
