"""Commands of Pulumi that pages quote: it has them, with these options."""

import os
import re
import subprocess

import pytest

from tests.servers import tool
from tests.unit.docs.commands import Quoted, quoted

GROUPS = {"stack", "config", "state"}
"""Commands that have others."""


def names(one: Quoted) -> tuple[str, ...]:
    """The name of a command, which may be that of a group and of one of its commands."""
    plain = [word for word in one.words if not word.startswith("-")]
    return tuple(plain[: 2 if plain[0] in GROUPS else 1])


def options(one: Quoted) -> tuple[str, ...]:
    """The options of a command with their values, and its other arguments."""
    return one.words[len(names(one)) :]


def parsed(one: Quoted) -> str:
    """What Pulumi says about a command with `--help`: it refuses options that it does not know, and does nothing."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    command = [str(tool("pulumi")), *names(one), "--help", *options(one)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    named = not one.whole and "flag needs an argument" in done.stderr
    assert done.returncode == 0 or named, f"{one}: {done.stderr}"
    return done.stdout


@pytest.mark.long
def test_pulumi_has_every_command_and_option_of_the_documentation() -> None:
    commands = [one for one in quoted("pulumi") if one.words]
    different = {
        (names(one), tuple(word for word in options(one) if word.startswith("-")), one.whole): one for one in commands
    }
    assert len(different) > 10, "none was found"
    for one in different.values():
        known = re.findall(r"(?<=Usage:\n  pulumi ).*|(?<=Aliases:\n  ).*", parsed(one))
        assert not known or names(one)[-1] in re.findall(r"[\w-]+", " ".join(known)), f"{one}: no such command"
