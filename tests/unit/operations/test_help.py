"""The command line: its help in a terminal of 80 columns, and what it loads at start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from operations.__main__ import app

ROOT = Path(__file__).parents[3]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_has_for_each_command_one_line_that_is_not_cut_off() -> None:
    command = [sys.executable, "-m", "operations", "--help"]  # in tests, click takes the two columns of the margin too
    text = subprocess.check_output(command, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, text=True)
    assert max(map(len, text.splitlines())) <= 80
    listed = dict(re.findall(r"^  (\w[\w-]*) {2,}(\S.*)$", text, flags=re.MULTILINE))
    assert listed == {name: command.help.splitlines()[0] for name, command in COMMANDS.items()}
    assert all(re.fullmatch(r"[A-Z].*[a-z]\.", line) for line in listed.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_into_the_terminal(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("}...", "").replace("]...", "")


def test_commands_start_without_loading_pulumi_kubernetes() -> None:
    loaded = "import sys, operations.__main__; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pulumi_kubernetes" not in finished.stdout
