"""Kubernetes quantities: `0.5` and `500m`, `1024Mi` and `1Gi` are the same amount."""

from __future__ import annotations

from decimal import ROUND_UP, Context, Decimal, InvalidOperation
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
NANO: Final = Decimal("1e-9")
KILO: Final = Decimal(1000)
KIBI: Final = Decimal(1024)
DECIMAL: Final = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
EXPONENTS: Final = ("e-9", "e-6", "e-3", "", *(f"e{3 * number}" for number in range(1, 7)))
BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
DIGITS: Final = Context(prec=60)


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


def canonical(value: Property) -> str | None:
    """Return the one spelling of an amount (Quantity.String in apimachinery), None for what is no quantity."""
    number = amount(value)
    if number is None:
        return None
    number = number.quantize(NANO, rounding=ROUND_UP, context=DIGITS)
    written = str(value).strip()
    binary = written.endswith("i") and number == number.to_integral_value() and abs(number) >= KIBI
    steps, base = (BINARY, KIBI) if binary else (EXPONENTS if _has_exponent(written) else DECIMAL, KILO)
    if not binary:
        number = number / NANO  # counted in the smallest unit, and then in larger ones as long as nothing is lost
    place = 0
    while number and number % base == 0 and place + 1 < len(steps):
        number, place = number / base, place + 1
    return f"{int(number)}{steps[place]}" if number else "0"


def _has_exponent(written: str) -> bool:
    head, mark, tail = written.replace("E", "e").partition("e")
    return bool(mark and head and tail.lstrip("+-").isdigit())
