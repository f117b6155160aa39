"""Labels that select pods."""

import re
from typing import Annotated

from pydantic import AfterValidator

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL.pattern}")


def _label_key(text: str) -> str:
    if not _LABEL_KEY.fullmatch(text):
        raise ValueError('is not a label key; write it like "app.kubernetes.io/name"')
    return text


def _label_value(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("is not a label value: at most 63 letters, digits, '-', '_' and '.'")
    return text


LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
