"""The shell scripts that ship with the program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SCRIPTS: Final[Mapping[str, Path]] = {
    path.name: path for path in sorted((Path(__file__).parents[1] / "components").rglob("scripts/*.sh"))
}
"""Path by name: a pod has all of its scripts in one folder, so no two have the same."""
