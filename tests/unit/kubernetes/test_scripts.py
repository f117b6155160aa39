"""The shell scripts that pods run: portable, strict and without findings of shellcheck."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts import SCRIPTS

FILES = SCRIPTS.values()
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("script", FILES, ids=lambda script: script.name)
def test_scripts_are_posix_and_strict(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert lines[1].startswith("# "), "the first comment must say what the script does"
    assert "set -eu" in lines


def test_shellcheck_finds_nothing() -> None:
    checker = Path(sys.executable).with_name("shellcheck")
    finished = subprocess.run(
        [checker, "--shell=sh", *FILES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout == ""


def test_every_script_is_used_by_a_component() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "components").rglob("*.py"))
    assert [script.name for script in FILES if f'"{script.name}"' not in sources] == []
