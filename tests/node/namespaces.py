"""Private mount and network namespaces for tests, which leave the machine as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class Namespaces:
    """Namespaces that live as long as one process."""

    def __init__(self, pid: int, kinds: tuple[str, ...]) -> None:
        self.pid = pid
        self._enter = ("nsenter", f"--target={pid}", "--wd", *(f"--{kind}" for kind in kinds), "--")

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command in them and return its output."""
        done = subprocess.run(
            [*self._enter, *command], input=text, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a process in them, with pipes for its input and output."""
        return subprocess.Popen([*self._enter, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def python(self, code: str) -> str:
        """Run Python code in them and return its output."""
        return self.run(sys.executable, "-c", code)


@contextmanager
def private(*kinds: str) -> Iterator[Namespaces]:
    """New namespaces of kinds such as `mount` and `net`, until the process that holds them is killed."""
    unshare = ["unshare", *(f"--{kind}" for kind in kinds), "sh", "-c", "echo; exec sleep infinity"]
    with subprocess.Popen(unshare, stdout=subprocess.PIPE, cwd=CHECKOUT) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()  # the namespaces exist
            yield Namespaces(holder.pid, kinds)
        finally:
            holder.kill()
