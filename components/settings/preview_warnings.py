"""What a preview warns about: configuration that works, and that its owner should change or check.

Each yields `key: what is wrong; what to do`.
"""

import json
from collections.abc import Callable, Iterator, Sequence

from components.application import extra_env
from components.schema.environment import Settings
from components.schema.values import release

FIRST_SAFE: dict[int, tuple[str, str]] = {
    3: ("3.225.9", "vulnerabilities in bundled libraries (CLEANSTART-2026-JF56527, CLEANSTART-2026-ZM21306)"),
    4: (
        "4.82.0",
        "a server-side request forgery through the base URL of a GitHub Enterprise sign-in (CVE-2026-134835)",
    ),
}
"""By major version of Langfuse: the oldest release without a published vulnerability, and what it mends."""


def known_vulnerabilities(settings: Settings) -> Iterator[str]:
    """Releases of Langfuse that a later one mends."""
    first_safe, mended = FIRST_SAFE[settings.major]
    if release(settings.version) < release(first_safe):
        yield f"version: {json.dumps(settings.version)} has {mended}; upgrade to {first_safe} or newer"


WARNINGS: Sequence[Callable[[Settings], Iterator[str]]] = (known_vulnerabilities, extra_env.warnings)


def warnings(settings: Settings) -> list[str]:
    """Everything to warn about."""
    return [warning for rule in WARNINGS for warning in rule(settings)]
