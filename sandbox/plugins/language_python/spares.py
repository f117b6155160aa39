"""Processes that wait for a Python file to run: copies of the language host, which has imported gRPC and protobuf.

Each policy pack and each program needs both, and an interpreter needs a quarter of a second to import them. The engine
waits for that once for each pack and then for the program, one after the other. Copies are made before the host has
threads, for no copy has them; when all are used, or the file is for another interpreter, one is started as usual.
`ps` shows copies with the host's command line.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

COUNT: Final = 3 if sys.platform == "linux" else 0
"""Two policy packs and the program. Elsewhere the system's own libraries may not work in a copy."""
STDIN, STDOUT, STDERR = range(3)
PACKAGE: Final = __name__.split(".")[0]
ROOT: Final = Path(__file__).resolve().parents[3]
READ_AT_START: Final = ("PYTHON", "GRPC_", "LD_")
"""Variables that are too late for a process that runs already."""
COLLECTION: Final = (700, 10, 10)
"""Python's own thresholds of garbage collection; the host's are others (start.py)."""


class Spare:
    """A process that waits for its file. Once it has one, this is what the language host uses of a subprocess.Popen."""

    def __init__(self, others: Sequence[Spare]) -> None:
        """Make one; `others` are those that there are already."""
        job, self._job = _pipe()
        self.stdout, stdout = _pipe()
        self.stderr, stderr = _pipe()
        self.returncode: int | None = None
        self._ended = threading.Event()
        self.pid = os.fork()
        if not self.pid:
            for spare in (self, *others):
                spare.close()
            _wait_for_file(job, stdout, stderr)
        os.setpgid(self.pid, self.pid)  # an interrupt from the terminal is the host's to pass on
        for stream in (job, stdout, stderr):
            stream.close()

    def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], directory: Path | None, pipe_output: bool
    ) -> None:
        """Run a Python file, which is the first of the arguments; output that is not piped is the host's own."""
        if not pipe_output:
            self.stdout.close()
            self.stderr.close()
        job = {
            "arguments": arguments,
            "environment": dict(environment),
            "directory": str(directory or "."),
            "pipe_output": pipe_output,
        }
        with self._job as stream:
            stream.write(json.dumps(job).encode())
        threading.Thread(target=self._reap, daemon=True).start()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired("python", timeout or 0)
        return self.returncode

    def close(self) -> None:
        """Close the host's ends of the pipes; a process that still waits ends then."""
        for stream in (self._job, self.stdout, self.stderr):
            stream.close()

    def _reap(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()


def make_spares() -> list[Spare]:
    """Make copies of this process, which must not have started a thread. A copy never returns from here."""
    spares: list[Spare] = []
    gc.freeze()  # what collections don't look at is not copied by them
    for _ in range(COUNT):
        spares.append(Spare(spares))
    return spares


def suits(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Say whether a copy of this process can do what a command would: run a Python file with this interpreter."""
    interpreter, file = command[:2]
    return (
        interpreter == sys.executable
        and file.endswith(".py")
        and _read_at_start(environment) == _read_at_start(os.environ)
    )


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb"), os.fdopen(writer, "wb")


def _wait_for_file(job: BinaryIO, stdout: BinaryIO, stderr: BinaryIO) -> NoReturn:
    with job:
        text = job.read()
    if not text:  # the host has ended
        os._exit(0)
    given = json.loads(text)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), STDIN)
    for pipe, stream in ((stdout, STDOUT), (stderr, STDERR)):
        with pipe:
            if given["pipe_output"]:
                os.dup2(pipe.fileno(), stream)
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["directory"])
    _forget_the_host()
    sys.argv = given["arguments"]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


def _forget_the_host() -> None:
    """Leave nothing that an interpreter of its own would not have, but for modules of installed packages."""
    gc.set_threshold(*COLLECTION)
    sys.path.remove(str(ROOT))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]
