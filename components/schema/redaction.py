"""Removes credentials from messages: those about the configuration, and those of other programs."""

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

HIDDEN: Final = "[secret]"

SHORTEST: Final = 6
"""Shorter values are more often ordinary words than secrets. Hiding them would make messages unreadable."""

SHORTEST_LINE: Final = 16
"""Each line of a multi-line secret, such as a private key, is hidden if it has at least this length."""

_USERINFO: Final = re.compile(
    r"(?<=://)[^\s\"'`]*@|(?<![^\s\"'`,(=])[^\s\"'`:@/,(=]*:[^\s\"'`/@][^\s\"'`]*@(?!sha256:)"
)
"""User name and password in a URL, up to the last `@`: a password may contain an `@` that is not encoded. The scheme
may be missing: `user:password@host`. The digest of an image follows an `@` too: `repository:tag@sha256:...`."""

_PRIVATE_KEY: Final = re.compile(r"AGE-(SECRET-KEY|PLUGIN)-[\w-]*", re.IGNORECASE)
"""An identity of age, which somebody may paste where its recipient belongs."""

_USERINFO_WITH_SPACES: Final = re.compile(r"(?<=://).*(?=@)", re.DOTALL)

_CREDENTIAL: Final = re.compile(
    r"(extraEnv|patches|credentials\.values|clients\.[^.]+\.(publicKey|secretKey))\b(?!.*\.(source|epoch)$).*"
    r"|.*(password|passphrase|secrets?|token|credential|salt|smtpUrl|webhook|license|key|keyId|(\.|_)auth|\.ca)"
    r"|.*(password|secrets?|smtpUrl|license\.key|keyId|\.ca)\.(?!(source|epoch)$).*",
    re.IGNORECASE,
)
"""Paths of keys that contain a credential, or the source of one: some users paste the credential itself there."""


class Redaction:
    """Hides values in all usual encodings, and the user name and password of every URL."""

    def __init__(self, secrets: Collection[str] = (), public: Collection[str] = ()) -> None:
        """Hide `secrets`, except those that are part of a text in `public`, such as a name."""
        forms = {form for secret in secrets for form in _forms(secret) if not any(form in text for text in public)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return _USERINFO.sub(f"{HIDDEN}@", _PRIVATE_KEY.sub(HIDDEN, text))


def of_configuration(config: Mapping[str, object], secret: Collection[str]) -> Redaction:
    """A redaction of the values of secret keys, and of all user names and passwords in URLs.

    Args:
        config: The configuration, by key.
        secret: Keys that Pulumi keeps encrypted.
    """
    found = [text for key in secret for text in _texts(config.get(key))]
    found += [match[0] for text in _texts(config) for match in _USERINFO_WITH_SPACES.finditer(text)]
    return Redaction(found)


def shown(path: Sequence[str], value: object) -> str:
    """A value of the configuration as JSON for a message, with credentials hidden."""
    hidden = hide(path, value)
    return HIDDEN if hidden == HIDDEN else json.dumps(hidden, default=str)


def hide(path: Sequence[str], value: object) -> object:
    """A value with everything hidden that is probably a credential, judging by the name of its key."""
    if isinstance(value, Mapping):
        return {key: hide([*path, str(key)], item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide(path, item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    key = ".".join(part for part in path if not part.isdigit())
    return HIDDEN if _CREDENTIAL.fullmatch(key) or "\n" in str(value) else value


def _texts(value: object) -> Iterator[str]:
    """All texts in a value, including the keys of maps."""
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
        # In the state, the data of a Secret is in base64.
        decoded = base64.b64decode(secret, validate=True).decode()
    except ValueError:
        return
    if len(decoded) >= SHORTEST:
        yield decoded
