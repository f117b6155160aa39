"""What a credential must look like. Pure: `problem` says what is wrong with a value and never shows it.

Formats are what Langfuse and the stores take without harm: it pastes passwords unencoded into connection URLs, and
checks of ENCRYPTION_KEY only the length at start (web/src/env.mjs), so that other characters fail at the first use.
"""

import re
from dataclasses import dataclass

SHIPPED = {
    *("changeme", "change-me", "clickhouse", "langfuse", "miniosecret", "minio", "minioadmin", "mysalt", "mysecret"),
    *("myredissecret", "password", "postgres", "postgrespassword", "redis", "secret", "test", "admin", "default"),
}
"""Values that stand in examples and images, Langfuse's docker-compose.yml and chart among them."""

LEAST_DIFFERENT = 8
"""Different characters in a key. Random ones of 32 characters have more; repeated ones have not."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A rule for a value and its description."""

    pattern: str
    """Regular expression that the whole value matches. If it has a group, that is what must be random."""
    rule: str
    """The rule in words: completes "is not"."""
    varied: bool = True
    """Whether few different characters show that nobody chose them at random."""

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, without the value; None if nothing is."""
        if value.strip().lower() in SHIPPED:
            return "is a default that everybody knows"
        if value != value.strip():
            return "begins or ends with white space"
        match = re.fullmatch(self.pattern, value)
        if match is None:
            return f"is not {self.rule}"
        if self.varied and len(set(match[match.lastindex or 0])) < LEAST_DIFFERENT:
            return f"is not random: it has fewer than {LEAST_DIFFERENT} different characters"
        return None


_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

PASSWORD = Format(pattern="[A-Za-z0-9]{16,}", rule="16 or more letters and digits, which need no encoding in a URL")
USER_PASSWORD = Format(pattern=".{8,}", rule="8 or more characters", varied=False)
LONG_SECRET = Format(pattern=r"\S{32,}", rule="32 or more characters")
ENCRYPTION_KEY = Format(pattern="[0-9a-fA-F]{64}", rule="64 hexadecimal digits, as `openssl rand -hex 32` makes them")
PUBLIC_KEY = Format(pattern=f"pk-lf-{_UUID}", rule="`pk-lf-` and a UUID")
SECRET_KEY = Format(pattern=f"sk-lf-{_UUID}", rule="`sk-lf-` and a UUID")
ACCESS_KEY_ID = Format(
    pattern=r"[A-Za-z0-9._-]{3,128}", rule="3 or more letters, digits, '-', '_' and '.'", varied=False
)
OBJECT_ENCRYPTION_KEY = Format(
    pattern="[A-Za-z0-9._-]+:([A-Za-z0-9+/]{43}=)",
    rule="a name, ':' and 32 bytes in base64, as in `langfuse:$(openssl rand -base64 32)`",
)
SECRET_ACCESS_KEY = Format(pattern=r"[A-Za-z0-9/+=_-]{16,}", rule="16 or more characters of base64")
LICENSE_KEY = Format(
    pattern="langfuse_(?:ee|pro)_.+", rule="a licence key: it begins with `langfuse_ee_` or `langfuse_pro_`"
)
SMTP_URL = Format(
    pattern=r"smtps?://\S+|ses://[a-z0-9-]+", rule="a mail URL: `smtps://USER:PASSWORD@HOST:465` or `ses://REGION`"
)
CLIENT_SECRET = Format(pattern=r"\S+", rule="a client secret", varied=False)
