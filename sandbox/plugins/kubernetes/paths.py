"""Property paths of the engine: `spec.ports[0].name`, `metadata.labels["app.kubernetes.io/name"]`."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from sandbox.plugins.errors import PluginError

Path: TypeAlias = "tuple[str | int, ...]"
WILDCARD: Final = "*"
STEP: Final = re.compile(r'\.?(?P<name>[^.\[\]"]+)|\[(?P<index>\d+|\*)\]|\["(?P<quoted>(?:[^"\\]|\\.)*)"\]')
QUOTED: Final = frozenset('."[]')


def parse(written: str) -> Path:
    """Parse a path. Raises PluginError if it is invalid."""
    steps: list[str | int] = []
    position = 0
    while position < len(written):
        found = STEP.match(written, position)
        if found is None:
            raise PluginError(f'"{written}" is not a property path, such as spec.ports[0] or metadata.labels["a.b"]')
        position = found.end()
        if found["index"] is not None:
            steps.append(found["index"] if found["index"] == WILDCARD else int(found["index"]))
        else:
            steps.append(found["name"] or re.sub(r"\\(.)", r"\1", found["quoted"] or ""))
    return tuple(steps)


def render(path: Path) -> str:
    """Format a path."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif QUOTED & set(step):
            escaped = step.replace('"', '\\"')
            written += f'["{escaped}"]'
        else:
            written += f".{step}" if written else step
    return written


def covers(pattern: Path, path: Path) -> bool:
    """Return whether a path is at or below a pattern, in which `*` matches any step."""
    return len(pattern) <= len(path) and all(
        want in (WILDCARD, step) for want, step in zip(pattern, path, strict=False)
    )
