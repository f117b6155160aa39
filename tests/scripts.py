"""The shell scripts that pods run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SCRIPTS: Final[Mapping[str, Path]] = {
    path.name: path for path in sorted((Path(__file__).parents[1] / "components").rglob("scripts/*.sh"))
}
"""Paths by file name. Names are unique, since a pod mounts all of its scripts in one folder."""
