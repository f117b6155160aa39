"""Kubernetes quantities: `500m`, `1Gi`, `2e3`.

The project has no other parser: the configuration and the stand-in for the Kubernetes provider use this one. It follows
ParseQuantity in k8s.io/apimachinery/pkg/api/resource/quantity.go; `parse_quantity` of the `kubernetes` package accepts
text that the API server refuses, such as `NaN`, `1_000` and `5K`.
"""

import re
from decimal import ROUND_UP, Context, Decimal

_QUANTITY = re.compile(r"([+-]?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("num", start=-3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_NANO = Decimal("1e-9")
_DECIMALS = 9
_LARGEST_BINARY = Decimal(2**63 - 1)
_MOST_DIGITS = 1000
_EXACT = Context(prec=4 * _MOST_DIGITS)


def parse_quantity(value: str | float) -> Decimal | None:
    """The exact value in cores or bytes. None for what the API server refuses, and for a suffix without a number."""
    text = value if isinstance(value, str) else str(value)
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > _MOST_DIGITS:
        return None
    sign, whole, fraction, exponent, suffix = match.groups()
    scale = Decimal(1).scaleb(int(exponent)) if exponent else _SUFFIXES.get(suffix, Decimal(1))
    number = _EXACT.multiply(Decimal(f"{whole or 0}.{fraction}" if fraction else whole or 0), scale)
    if -int(number.as_tuple().exponent) > _DECIMALS:  # the API server counts in billionths
        number = number.quantize(_NANO, rounding=ROUND_UP, context=_EXACT)
    if suffix and suffix.endswith("i"):
        number = min(number, _LARGEST_BINARY)
    return -number if sign == "-" else number
