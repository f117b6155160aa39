"""Runs a command with a timeout and measures its cost. Stops it together with its children."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TIMEOUT_SECONDS = 900.0  # ten times what a slow machine needs
INTERRUPT_SECONDS = 15.0  # Pulumi first cancels the waits of its providers, then stops them
LAST_LINES = 20


class BenchmarkError(Exception):
    """The reason why a benchmark has no result; shown without a traceback."""


@dataclass(frozen=True)
class Cost:
    """The seconds that a command took. `cpu` includes user and system time of all processes that it waited for."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Done:
    """The result of a successful command."""

    stdout: str
    cost: Cost


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str = "", is_private: bool = False
) -> Done:
    """Run a command until it ends.

    Args:
        words: The command.
        folder: Its working directory.
        environment: Its whole environment.
        stdin: Its input. Secrets are passed this way, never in arguments or files.
        is_private: Do not show its output in errors.

    Raises:
        BenchmarkError: The command failed or timed out.
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
        start_new_session=True,  # so that only `_stop` passes Ctrl-C on, once
    )
    before = _children_cpu()
    try:
        stdout, stderr = process.communicate(stdin, TIMEOUT_SECONDS)
    except BaseException as error:
        _stop(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchmarkError(f"`{_shown(words)}` timed out after {TIMEOUT_SECONDS:.0f} s") from None
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
    """CPU seconds of all ended child processes and of the processes that these have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupt a command; after a grace period, kill it and its remaining children."""
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
            child.kill()  # psutil raises NoSuchProcess if the pid now belongs to another process
        except psutil.NoSuchProcess:
            continue
