"""Takes secrets out of text that others wrote: messages of policies, of the engine and of Kubernetes."""

import base64
from collections.abc import Collection, Iterator
from typing import Final

HIDDEN: Final = "[secret]"

SHORTEST: Final = 6
"""Shorter values are ordinary words more often than secrets; hiding them would garble every message."""

SHORTEST_LINE: Final = 16
"""A line of a secret of several, such as a private key, counts by itself from this length."""


class Redaction:
    """Hides these values, however a message quotes them."""

    def __init__(self, secrets: Collection[str], public: Collection[str] = ()) -> None:
        """`public` are texts that anybody may see, such as names: what stands in one of them is no secret."""
        forms = {form for secret in secrets for form in _forms(secret) if not any(form in text for text in public)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text


def _forms(secret: str) -> Iterator[str]:
    for part in (secret, *(line for line in secret.splitlines() if len(line) >= SHORTEST_LINE)):
        for text in (part, part.strip()):
            if len(text) >= SHORTEST:
                yield text
                yield base64.b64encode(text.encode()).decode()
    try:
        # In state a Secret's data is base64 of what people would recognize.
        decoded = base64.b64decode(secret, validate=True).decode()
    except ValueError:
        return
    if len(decoded) >= SHORTEST:
        yield decoded
