"""Domain types of the configuration: each validates once and says what is wrong and what would be right."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, EmailStr

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_SUFFIX = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


def quantity_value(text: str) -> Decimal:
    """A Kubernetes quantity as a number: bytes for memory and storage, cores for CPU.

    Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        guess = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtTpP])(?:i?[bB])?\s*", text)
        hint = f'; did you mean "{guess[1]}{guess[2].upper()}i"?' if guess else '; write it like "50Gi" or "500m"'
        raise ValueError(f"is not a Kubernetes quantity{hint}")
    return Decimal(match[1]) * _SUFFIX.get(match[2], Decimal(1))


def _bytes(text: str) -> str:
    value = quantity_value(text)
    if text.endswith("m"):
        raise ValueError('counts thousandths of a byte; did you mean "' + text[:-1] + 'Mi"?')
    if value < 1024**2:
        raise ValueError('is less than "1Mi"; add the unit, as in "50Gi"')
    return text


def _cpu(text: str) -> str:
    if not 0 < quantity_value(text) <= 1000:  # noqa: PLR2004  # no node has more cores
        raise ValueError('is not a number of cores; write it like "500m" or "2"')
    return text


def _version(text: str) -> str:
    match = _VERSION.fullmatch(text)
    if match is None:
        found = re.search(r"\d+\.\d+\.\d+", text)
        hint = f'did you mean "{found[0]}"?' if found else 'name one exactly, as in "4.16.0": floating tags move'
        raise ValueError(f"is not a Langfuse release; {hint}")
    if int(match[1]) not in {3, 4}:
        raise ValueError("is not a supported Langfuse release; 3.x and 4.x are")
    return text


def _host(text: str) -> str:
    bare = re.sub(r"^[a-z]+://", "", text).split("/")[0].split(":")[0]
    labels = text.split(".")
    if text != bare or len(text) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        plausible = bare != text and all(_DNS_LABEL.fullmatch(label) for label in bare.split("."))
        hint = f'did you mean "{bare}"?' if plausible else "use lower-case letters, digits, '-' and '.'"
        raise ValueError(f"is not a host name (no scheme, port or path); {hint}")
    return text


def _dns_label(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError("is not a Kubernetes name: at most 63 lower-case letters, digits and '-'")
    return text


def _gateway(text: str) -> str:
    parts = text.split("/")
    if len(parts) != 2 or not all(_DNS_LABEL.fullmatch(part) for part in parts):  # noqa: PLR2004  # namespace and name
        raise ValueError('is not `namespace/name` of a Gateway, as in "istio-system/public"')
    return text


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(f'has {len(fields)} fields, a schedule has 5, as in "15 2 * * *"')
    for field, (name, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.split(","):
            match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
            numbers = [int(number) for number in match.groups()[:2] if number] if match else []
            if match is None or any(not low <= number <= high for number in numbers) or numbers != sorted(numbers):
                raise ValueError(f'has "{field}" as {name}, which takes {low} to {high}')
    return text


ByteQuantity = Annotated[str, AfterValidator(_bytes)]
CpuQuantity = Annotated[str, AfterValidator(_cpu)]
Version = Annotated[str, AfterValidator(_version)]
Host = Annotated[str, AfterValidator(_host)]
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
Schedule = Annotated[str, AfterValidator(_cron)]
GatewayName = Annotated[str, AfterValidator(_gateway)]
Email = EmailStr
