"""Runs a container of the rendered stack as a process: its script, its environment, its output, its command lines."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.data.rendered import Container
from tests.scripts import SCRIPTS
from tests.servers import NO_AUTHORITIES

LIMIT_SECONDS = 90
COMMAND_LINES = "command-lines"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a script did."""

    code: int
    output: str
    """Standard output and standard error together, as `kubectl logs` shows them."""
    command_lines: str
    """What a process list would have shown of the clients that it started."""

    def leaks(self, values: Sequence[str]) -> list[str]:
        """Where one of the values could have been read."""
        return [place for place in (self.output, self.command_lines) if any(value in place for value in values)]


def client(folder: Path, name: str, target: Path) -> None:
    """Make a program callable from `folder` in a way that notes the command line, which any process list shows."""
    folder.mkdir(exist_ok=True)
    wrapper = folder / name
    note = f"printf '%s ' {name} \"$@\" >> {shlex.quote(str(folder / COMMAND_LINES))}"
    wrapper.write_text(f'#!/bin/sh\n{note}\nexec {shlex.quote(str(target))} "$@"\n')
    wrapper.chmod(0o755)


def run(container: Container, environment: Mapping[str, str], clients: Path) -> Run:
    """Run a container's script with this environment alone, and with the clients that `client` put in a folder."""
    shell, script, *arguments = container["command"]
    notes = clients / COMMAND_LINES
    notes.write_text("")
    finished = subprocess.run(
        [shell, str(SCRIPTS[Path(script).name]), *arguments],
        env={**NO_AUTHORITIES, **environment, "PATH": f"{clients}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Run(code=finished.returncode, output=finished.stdout, command_lines=notes.read_text())
