"""The formats of credentials. The message about an invalid value never contains the value.

The formats are those that Langfuse and the stores accept and use correctly. Langfuse inserts passwords into connection
URLs without encoding them. Of ENCRYPTION_KEY it checks only the length at start (web/src/env.mjs); other characters
fail at the first use.
"""

import re
from dataclasses import dataclass

SHIPPED = {
    *("changeme", "change-me", "clickhouse", "langfuse", "miniosecret", "minio", "minioadmin", "mysalt", "mysecret"),
    *("myredissecret", "password", "postgres", "postgrespassword", "redis", "secret", "test", "admin", "default"),
}
"""Default values of examples and images, for example of Langfuse's docker-compose.yml and Helm chart."""

MINIMUM_DISTINCT = 8
"""Distinct characters that a key must have. Random keys of 32 characters have more; repeated characters do not."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """The format of a value, with its description."""

    pattern: str
    """Regular expression that matches the whole value. If it has a group, only the group must be random."""
    rule: str
    """The format in words. Completes the sentence "is not ..."."""
    random: bool = True
    """Whether the value must look random: it must have enough distinct characters."""

    def check(self, value: str) -> str | None:
        """Why a value is invalid, without the value itself; None if it is valid."""
        if value.strip().lower() in SHIPPED:
            return "is a well-known default"
        if value != value.strip():
            return "begins or ends with whitespace"
        match = re.fullmatch(self.pattern, value)
        if match is None:
            return f"is not {self.rule}"
        if self.random and len(set(match[match.lastindex or 0])) < MINIMUM_DISTINCT:
            return f"is not random: it has fewer than {MINIMUM_DISTINCT} distinct characters"
        return None


_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

PASSWORD = Format(pattern="[A-Za-z0-9]{16,}", rule="16 or more letters and digits, which need no encoding in a URL")
COOKIE_SECRET = Format(pattern="[A-Za-z0-9]{32}", rule="32 letters and digits")
USER_PASSWORD = Format(pattern=".{8,}", rule="8 or more characters", random=False)
LONG_SECRET = Format(pattern=r"\S{32,}", rule="32 or more characters")
ENCRYPTION_KEY = Format(pattern="[0-9a-fA-F]{64}", rule="64 hexadecimal digits, as `openssl rand -hex 32` prints them")
PUBLIC_KEY = Format(pattern=f"pk-lf-{_UUID}", rule="`pk-lf-` and a UUID")
SECRET_KEY = Format(pattern=f"sk-lf-{_UUID}", rule="`sk-lf-` and a UUID")
ACCESS_KEY_ID = Format(
    pattern=r"[A-Za-z0-9._-]{3,128}", rule="3 or more letters, digits, '-', '_' and '.'", random=False
)
OBJECT_ENCRYPTION_KEY = Format(
    pattern="[A-Za-z0-9._-]+:([A-Za-z0-9+/]{43}=)",
    rule="a name, ':' and 32 bytes in base64, as in `langfuse:$(openssl rand -base64 32)`",
)
SECRET_ACCESS_KEY = Format(pattern=r"[A-Za-z0-9/+=_-]{16,}", rule="16 or more characters of base64")
LICENSE_KEY = Format(
    pattern="langfuse_(?:ee|pro)_.+", rule="a license key, which begins with `langfuse_ee_` or `langfuse_pro_`"
)
SMTP_URL = Format(
    pattern=r"smtps?://\S+|ses://[a-z0-9-]+",
    rule="a mail URL such as `smtps://USER:PASSWORD@HOST:465` or `ses://REGION`",
)
CLIENT_SECRET = Format(pattern=r"\S+", rule="a client secret", random=False)
