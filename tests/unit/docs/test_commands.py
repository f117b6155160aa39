"""Commands that pages quote: the program has them, with these options."""

import re
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from operations.__main__ import app
from sandbox.__main__ import app as sandbox
from tests.unit.docs.commands import quoted
from tools.docs.generated import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def parse(command: TyperCommand | TyperGroup, words: list[str]) -> None:
    """Parse the words with the parser of the program, which runs nothing.

    Raises:
        TyperException: There is no such command or option.
    """
    if not isinstance(command, TyperGroup):
        command.make_context("program", words)
    elif words:
        assert words[0] in command.commands, f"there is no command {words[0]}"
        inner = command.commands[words[0]]
        assert isinstance(inner, TyperCommand | TyperGroup)
        parse(inner, words[1:])


def problems(command: TyperCommand | TyperGroup, program: str) -> Iterator[str]:
    for one in quoted(program):
        try:
            parse(command, list(one.words))
        except (AssertionError, TyperException) as error:
            if one.whole or type(error).__name__ != "MissingParameter":
                yield f"{one}: {error}"


@pytest.mark.parametrize(("program", "app"), [("python -m operations", app), ("python -m sandbox", sandbox)])
def test_every_command_of_the_documentation_can_be_parsed(program: str, app: typer.Typer) -> None:
    assert len(quoted(program)) > 5, "none was found"
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    assert [*problems(command, program)] == []


def test_every_target_of_make_exists_and_takes_its_variables() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    taken = set(re.findall(r"\$[({](\w+)", MAKEFILE))
    found = quoted("make")
    assert len(found) > 10, "none was found"
    for one in found:
        for word in one.words:
            name, equals, _ = word.partition("=")
            assert name in (taken if equals else targets), str(one)
