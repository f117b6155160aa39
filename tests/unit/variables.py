"""The environment variables that releases of Langfuse read, extracted from their source code."""

import json
from pathlib import Path
from typing import Final

LISTS: Final = {"3.225.4": "3.225.4", "3.225.9": "3.225.4", "4.16.0": "4.16.0", "4.82.0": "4-2026-11"}
"""The list for each release: extracted from its source code, or from that of the closest release available."""


def names_read(version: str, program: str) -> set[str]:
    """The names of the variables that web or worker of a release reads."""
    file = Path(__file__).parent / "data" / f"langfuse-env-{LISTS[version]}.json"
    listed: dict[str, list[str]] = json.loads(file.read_text())["names"]
    return {name for part, found in listed.items() if program in part or part == "shared" for name in found}
