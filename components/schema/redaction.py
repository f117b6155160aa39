"""Keeps credentials out of messages: our own about the configuration, and those that others wrote."""

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

HIDDEN: Final = "[secret]"

SHORTEST: Final = 6
"""Shorter values are ordinary words more often than secrets; hiding them would garble every message."""

SHORTEST_LINE: Final = 16
"""A line of a secret of several, such as a private key, counts by itself from this length."""

_USERINFO: Final = re.compile(r"(?<=://)[^\s\"'`]*@")
"""Name and password in a URL, to the last `@`: people forget to encode one in a password."""

_USERINFO_WITH_SPACES: Final = re.compile(r"(?<=://).*(?=@)", re.DOTALL)

_CREDENTIAL: Final = re.compile(
    r"(extraEnv|patches|credentials\.values)\b(?!.*\.(source|epoch)$).*"
    r"|.*(password|passphrase|secret|token|credential|salt|smtpUrl|webhook|license|key|keyId|(\.|_)auth|\.ca)",
    re.IGNORECASE,
)
"""Paths of keys that hold a credential, or the place of one, which is where people paste the credential itself."""


class Redaction:
    """Hides these values, however a message quotes them, and what stands before the `@` of any URL."""

    def __init__(self, secrets: Collection[str] = (), public: Collection[str] = ()) -> None:
        """`public` are texts that anybody may see, such as names: what stands in one of them is no secret."""
        forms = {form for secret in secrets for form in _forms(secret) if not any(form in text for text in public)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return _USERINFO.sub(f"{HIDDEN}@", text)


def of_configuration(config: Mapping[str, object], secret: Collection[str]) -> Redaction:
    """Hides the values of secret keys and every name and password in a URL.

    Args:
        config: What is configured, by key.
        secret: Keys that Pulumi keeps encrypted.
    """
    found = [text for key in secret for text in _texts(config.get(key))]
    found += [match[0] for text in _texts(config) for match in _USERINFO_WITH_SPACES.finditer(text)]
    return Redaction(found)


def shown(path: Sequence[str], value: object) -> str:
    """A value of the configuration as a message may quote it: JSON, with credentials hidden."""
    hidden = hide(path, value)
    return HIDDEN if hidden == HIDDEN else json.dumps(hidden, default=str)


def hide(path: Sequence[str], value: object) -> object:
    """A value without what is probably a credential by the name of its key."""
    if isinstance(value, Mapping):
        return {key: hide([*path, str(key)], item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide(path, item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    key = ".".join(part for part in path if not part.isdigit())
    return HIDDEN if _CREDENTIAL.fullmatch(key) or "\n" in str(value) else value


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, keys of maps included."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _forms(secret: str) -> Iterator[str]:
    for part in (secret, *(line for line in secret.splitlines() if len(line) >= SHORTEST_LINE)):
        for text in {part, part.strip()}:
            if len(text) >= SHORTEST:
                yield text
                yield json.dumps(text)[1:-1]
                yield base64.b64encode(text.encode()).decode()
    try:
        # In state a Secret's data is base64 of what people would recognize.
        decoded = base64.b64decode(secret, validate=True).decode()
    except ValueError:
        return
    if len(decoded) >= SHORTEST:
        yield decoded
