"""Levels of a configuration file, as the engine applies them (pkg/resource/analyzer/config.go, applyConfig)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.packs import PACKS, REPORTS

ALL = "all"
"""The entry that holds for every policy without an entry of its own."""

Entry = str | dict[str, Any]

NAMES = (*POLICIES, *(f"{pack}-{report}" for pack in PACKS for report in REPORTS))
"""Every policy of both packs, also those that report on the run."""


def configured(file: Path) -> dict[str, Entry]:
    """Returns the entry of every policy, whether the file names it or not."""
    entries: dict[str, Entry] = json.loads(file.read_text())
    return {name: entries.get(name, entries[ALL]) for name in NAMES}


def level(entry: str | Mapping[str, Any]) -> str:
    """Returns the level that an entry sets."""
    return entry if isinstance(entry, str) else str(entry["enforcementLevel"])
