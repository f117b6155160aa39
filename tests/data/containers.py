"""Runs the script of a rendered container as a process, and records its output and the command lines of its clients."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.kubernetes.files import SCRIPTS_PATH
from tests.data.rendered import Container, mounted_scripts
from tests.servers import NO_SYSTEM_CA

LIMIT_SECONDS = 1800
"""For those of a whole drill, on a machine that does other work as well."""
COMMAND_LINES = "command-lines"


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of a script."""

    code: int
    output: str
    """Standard output and standard error together, as `kubectl logs` shows them."""
    command_lines: str
    """The command lines of the clients that it started, as a process list shows them."""

    def leaks(self, values: Sequence[str]) -> list[str]:
        """The outputs that contain one of the values."""
        return [place for place in (self.output, self.command_lines) if any(value in place for value in values)]


def install_client(folder: Path, name: str, target: Path) -> None:
    """Add a program to a folder for PATH, with a wrapper that records its command lines."""
    folder.mkdir(exist_ok=True)
    wrapper = folder / name
    note = f"printf '%s ' {name} \"$@\" >> {shlex.quote(str(folder / COMMAND_LINES))}"
    wrapper.write_text(f'#!/bin/sh\n{note}\nexec {shlex.quote(str(target))} "$@"\n')
    wrapper.chmod(0o755)


def run(
    container: Container,
    environment: Mapping[str, str],
    clients: Path,
    *,
    user: str | None = None,
    kill_after: float | None = None,
) -> Run:
    """Run the script of a container with this environment only, with the clients in a folder, and as a user.

    If it runs for longer than `kill_after` seconds, it is killed with all of its processes, as a pod on a lost node.
    """
    shell, path, *arguments = container["command"]
    script = Path(path).name
    notes = clients / COMMAND_LINES
    notes.write_text("")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name, text in mounted_scripts(script).items():
            (Path(folder) / name).write_text(text)
        process = subprocess.Popen(
            [shell, f"{folder}/{script}", *(word.replace(SCRIPTS_PATH, folder) for word in arguments)],
            env={**NO_SYSTEM_CA, **environment, "PATH": f"{clients}:/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
            start_new_session=True,  # so that a client can end the pod: `kill -9 0`
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            if kill_after is None:
                raise
    return Run(code=process.returncode, output=output, command_lines=notes.read_text())
