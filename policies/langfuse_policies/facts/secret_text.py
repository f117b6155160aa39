"""Secrets in plain text, recognized by their names or by their form.

A name alone is not enough (`PASSWORD: $(POSTGRES_PASSWORD)` is correct), nor is a form alone (a checksum looks random).
Both are matched narrowly, because scripts and server configurations mention passwords often.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from langfuse_policies.facts.redaction import entropy, looks_random

_SECRET_NAME = re.compile(
    r"(?:PASS(?:WORD|WD|PHRASE)|(?:^|_)(?:PASS|PWD|SECRET|TOKEN|SALT|CREDENTIALS?|AUTH|AUTHORIZATION)"
    r"|(?:API|ACCESS|SECRET|PRIVATE|ENCRYPTION|SIGNING|MASTER|LICENSE|SESSION|ACCOUNT|SHARED|HMAC)_?KEY"
    r"|REQUIREPASS|MASTERAUTH)(?:_\d+)?$"
)
_DIGEST_NAME = re.compile(
    r"(?:^|_)(?:CHECKSUM|HASH|SHA\d*|DIGEST|REVISION|COMMIT|FINGERPRINT|VERSION|PUBLIC_KEY|ID|UID)(?:_|$)"
)
_DIGEST = re.compile(r"(?:sha\d{1,3}[:-])?[0-9a-f]{32,128}$")
_SWITCHES = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "required", "optional"})
#: References to variables, templates, printf; and placeholders of documentation.
_REFERENCE = re.compile(r"[$`{<%*@(\\:]|\.\.\.|x{3,}|X{3,}|\*{3,}")
_SCHEME = re.compile(r"^(?:bearer|basic)\s+", re.I)  # of a header, before the credential
_PATH = re.compile(r"(?:file:)?\.{0,2}/[\w./-]*$")

_FORMS = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
    r"|\b(?:"  # once for all forms: a search takes a twentieth of the time
    r"AKIA[A-Z0-9]{16}\b|ASIA[A-Z0-9]{16}\b"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|glpat-[\w-]{20}"
    r"|sk-lf-[0-9a-f]{8}-|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{24,}|sk_live_[A-Za-z0-9]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{35}|hvs\.[\w-]{24,}|npm_[A-Za-z0-9]{36}|dckr_pat_[\w-]{20,}"
    r"|AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{50}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # a JSON web token
    r")"
)
_IN_URL = re.compile(r"\b[a-z][a-z0-9+]{1,20}://[^\s/:@\"']{0,64}:(?P<value>[^\s@\"'/]{1,128})@")
_BEARER = re.compile(r"\b(?:[Bb]earer|[Bb]asic)\s{1,4}(?P<value>[A-Za-z0-9+/=._~-]{12,512})")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{20,512}$")
_AGE_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}$")  # a public key (c2sp.org/age)
_TOKEN_BITS = 3.0  # per character: of 32 random hexadecimal digits nearly all have more

_NAME = r"(?P<name>[A-Za-z][\w.-]{1,60})"
_QUOTED = r"(?:\"(?P<double>[^\"\n]{1,256})\"|'(?P<single>[^'\n]{1,256})')"
_ASSIGNMENTS = (
    re.compile(rf"(?<![\w$.]){_NAME}[ \t]?=[ \t]?(?:{_QUOTED}|(?P<bare>[^\s\"',;&|)]{{1,256}}))"),  # shell, ini, flags
    re.compile(rf"^[ \t]*-?[ \t]*{_NAME}:[ \t]+(?:{_QUOTED}|(?P<bare>[^\s\"',#]{{1,256}}))[ \t]*$", re.M),  # YAML
    re.compile(rf"[\"']{_NAME}[\"'][ \t]?:[ \t]?{_QUOTED}"),  # JSON
    re.compile(rf"<{_NAME}>(?P<bare>[^<>\s]{{1,256}})</"),  # XML
    re.compile(
        rf"(?:^|[ \t])--?{_NAME}[ \t]+(?:{_QUOTED}|(?P<bare>[^\s\"',;&|-][^\s\"',;&|]{{0,255}}))"
    ),  # --flag value
    re.compile(r"^[ \t]*(?P<name>requirepass|masterauth)[ \t]+(?P<bare>\S{1,256})", re.M),  # Redis
)
_SQL = re.compile(r"\b(?:password|identified(?: with \w{1,32})? by) +'(?P<value>[^'\n]{1,256})'", re.I)
_LOGIN = re.compile(r"(?:^|[ \t])(?:-[A-Za-z]{0,8}u|--user)[= \t]{1,2}[\"']?[\w.@-]{1,64}:(?P<value>[^\s\"']{1,128})")
_ALIAS = re.compile(r"\bmc alias set(?: +\S{1,128}){3} +[\"']?(?P<value>[^\s\"']{1,128})")
_PROGRAM = re.compile(r"\.(?:py|js|mjs|ts|lua|go|rb|java)$")
_EXPRESSION = re.compile(r"[(\[]|^[A-Za-z_]\w*(?:\.\w+)+$")

_once = lru_cache(maxsize=4096)  # most labels and annotations of a stack are the same on all its resources


def names_secret(name: str) -> bool:
    """Whether a value under this name is a secret; `PASSWORD_FILE` and `ACCESS_KEY_ID` are not."""
    return _SECRET_NAME.search(_snake(name)) is not None


def literal(value: str) -> bool:
    """Whether it is a value: not a switch, a path, or a reference to a value elsewhere."""
    value = _SCHEME.sub("", value.strip().strip("\"'"), count=1)
    return value.lower() not in _SWITCHES and not _REFERENCE.match(value) and not _PATH.match(value)


@_once
def secret_under(name: str, value: str) -> bool:
    """Whether this is a secret in plain text, by its name or its form."""
    digest = _DIGEST_NAME.search(_snake(name)) is not None
    if names_secret(name) and literal(value) and not (digest and _DIGEST.match(value)):
        return not (value.isdigit() and _counts(name))
    return has_secret_form(value) or (not digest and random_token(value))


def has_secret_form(text: str) -> bool:
    """Whether a text contains a token of a known form, a URL with a password, or the value of a login header."""
    if _FORMS.search(text):
        return True
    if "://" in text and any(literal(match["value"]) for match in _IN_URL.finditer(text)):
        return True
    return any(entropy(match["value"]) > _TOKEN_BITS and _mixed(match["value"]) for match in _BEARER.finditer(text))


def random_token(text: str) -> bool:
    """Whether the whole text is one random word, like a key."""
    text = text.strip()
    if not _TOKEN.match(text) or _UUID.match(text) or _AGE_RECIPIENT.match(text):
        return False
    return looks_random(text) and entropy(text) > _TOKEN_BITS


@_once
def assigns_secret(text: str, *, file_name: str = "") -> bool:
    """Whether a command, script or configuration gives a secret-like name a value in plain text."""
    program = _PROGRAM.search(file_name) is not None
    if any(literal(match["value"]) and not match["value"].isdigit() for match in _logins(text)):
        return True
    for pattern in _ASSIGNMENTS:
        for match in pattern.finditer(text):
            if not names_secret(match["name"]):
                continue
            found = match.groupdict()
            quoted, bare = found.get("double") or found.get("single"), found.get("bare")
            if bare is not None and (program or _EXPRESSION.search(bare)):
                continue
            value = quoted or bare or ""
            if literal(value) and not (value.isdigit() and _counts(match["name"])):
                return True
    return False


def _logins(text: str) -> Iterator[re.Match[str]]:
    yield from _SQL.finditer(text)
    yield from _LOGIN.finditer(text)
    yield from _ALIAS.finditer(text)


def _counts(name: str) -> bool:
    """Whether a number under this name may be a setting, such as a number of tokens."""
    return not re.search(r"PASS|SECRET|SALT", _snake(name))


def _mixed(text: str) -> bool:
    return any(character.isdigit() for character in text) or text.endswith("=")


@_once
def _snake(name: str) -> str:
    """`secretAccessKey`, `secret-access-key` and `x.secret_access_key` as SECRET_ACCESS_KEY."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", spaced).upper()
