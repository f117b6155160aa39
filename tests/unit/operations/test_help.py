"""The help of the commands in a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from operations.__main__ import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_has_for_each_command_one_line_that_is_not_cut_off() -> None:
    text = help_of()
    assert max(map(len, text.splitlines())) <= 80
    listed = dict(re.findall(r"^  (\w+) {2,}(\S.*)$", text, flags=re.MULTILINE))
    assert listed == {name: command.help.splitlines()[0] for name, command in COMMANDS.items()}
    assert all(re.fullmatch(r"[A-Z].*[a-z]\.", line) for line in listed.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_into_the_terminal(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("}...", "").replace("]...", "")
