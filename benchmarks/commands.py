"""Runs one command at a time and tells what it took: bounded, and ended with everything it started."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.errors import BenchmarkError

TIMEOUT_SECONDS = 900.0  # a slow machine needs a tenth of it
INTERRUPT_SECONDS = 15.0  # Pulumi cancels what its providers wait for, then ends them
LAST_LINES = 20


@dataclass(frozen=True)
class Cost:
    """What a command took, in seconds. `cpu` counts the user and system time of every process that it waited for."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Done:
    """A command that ended well."""

    stdout: str
    cost: Cost


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str = "", is_private: bool = False
) -> Done:
    """Run a command to its end.

    Args:
        words: The command.
        folder: Where it runs.
        environment: All of its environment.
        stdin: What it reads: the way for secrets, which must be neither in its words nor in a file.
        is_private: Whether its output must not be shown when it fails.

    Raises:
        BenchmarkError: it failed or took too long.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches it through `_end` alone, once
    )
    before = _children_cpu()
    try:
        stdout, stderr = process.communicate(stdin, TIMEOUT_SECONDS)
    except BaseException as error:
        _end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchmarkError(f"`{_shown(words)}` did not end within {TIMEOUT_SECONDS:.0f} s") from None
        raise
    cost = Cost(time.monotonic() - start, _children_cpu() - before)
    if process.returncode:
        output = stderr if is_private else stdout + stderr
        last = "\n    ".join(line for line in output.splitlines()[-LAST_LINES:])
        raise BenchmarkError(f"`{_shown(words)}` exited with {process.returncode}:\n    {last}")
    return Done(stdout, cost)


def _shown(words: Sequence[str]) -> str:
    return " ".join([Path(words[0]).name, *words[1:]])


def _children_cpu() -> float:
    """CPU seconds of all child processes that have ended, and of those that these have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a command; kill what is left of it and of its children after a while."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGINT)
    try:
        process.wait(INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in family:
        try:
            child.kill()  # psutil refuses when the pid belongs to another process by now
        except psutil.NoSuchProcess:
            continue
