"""Processes that outlive the command that starts them: recorded, recognized later, stopped in bounded time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

from sandbox.certificates import PRIVATE_FILE, PRIVATE_FOLDER, write_private

TERMINATE_SECONDS = 10.0  # from SIGTERM to SIGKILL
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02
SAME_START_SECONDS = 2.0  # a correction of the system clock changes the start time of running processes
LAST_LINES = 5
TAIL_BYTES = 16_384


class State(StrEnum):
    """The state of a process."""

    RUNNING = "running"
    STOPPED = "stopped"  # never started, or stopped on purpose
    CRASHED = "crashed"  # ended without being stopped


@dataclass(frozen=True)
class Service:
    """A process to run. It is restarted if its arguments, its environment or one of its `inputs` (files) change."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()
    port: int | None = None

    def fingerprint(self) -> str:
        """A digest of the arguments, the environment and the content of the inputs."""
        digest = hashlib.sha256(json.dumps([self.argv, sorted(self.environment.items())]).encode())
        for file in self.inputs:
            digest.update(file.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Report:
    """The status of one process. `last_lines` are the end of its log if it crashed."""

    name: str
    state: State
    log: Path
    pid: int | None = None
    port: int | None = None
    memory_bytes: int | None = None
    started: float | None = None  # seconds since 1970
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Record:
    pid: int
    created: float
    fingerprint: str
    port: int | None


class Supervisor:
    """Starts, recognizes and stops the processes of one sandbox folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` has a record of each process in `run/` and its log in `logs/`."""
        self._run = folder / "run"
        self._logs = folder / "logs"

    def start(self, service: Service) -> None:
        """Start a process in its own session, so that neither Ctrl-C nor a closed terminal ends it."""
        for needed in (self._run, self._logs):
            needed.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        log = self.log(service.name)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        try:
            process = subprocess.Popen(
                service.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**base_environment(), **service.environment},
                cwd=Path(__file__).parent.parent,
            )
        finally:
            os.close(output)
        try:  # the start time tells it from a later process with the same pid
            created = psutil.Process(process.pid).create_time()
            record = _Record(process.pid, created, service.fingerprint(), service.port)
            write_private(self._record_file(service.name), json.dumps(asdict(record)).encode())
        except BaseException:  # Ctrl-C, a full disk: a process without a record could not be stopped later
            process.kill()
            raise

    def is_current(self, service: Service) -> bool:
        """Whether a process runs and was started with the inputs of `service`."""
        record = self._read(service.name)
        return record is not None and record.fingerprint == service.fingerprint() and _process(record) is not None

    def state(self, name: str) -> State:
        """The state of a process."""
        record = self._read(name)
        if record is None:
            return State.STOPPED
        return State.RUNNING if _process(record) else State.CRASHED

    def report(self, name: str) -> Report:
        """The status of a process."""
        record = self._read(name)
        process = _process(record) if record else None
        if record is None:
            return Report(name, State.STOPPED, self.log(name))
        if process is None:
            return Report(
                name, State.CRASHED, self.log(name), record.pid, record.port, last_lines=self.last_lines(name)
            )
        try:
            memory = process.memory_info().rss
        except psutil.Error:
            memory = None
        return Report(name, State.RUNNING, self.log(name), record.pid, record.port, memory, record.created)

    def stop(self, names: Iterable[str], *, force: bool = False) -> None:
        """Stop processes together: SIGTERM, then SIGKILL for those that do not end; with `force`, SIGKILL at once."""
        names = list(names)
        found = [process for name in names if (record := self._read(name)) and (process := _process(record))]
        if not force:
            found = _signalled(found, psutil.Process.terminate, TERMINATE_SECONDS)
        _signalled(found, psutil.Process.kill, KILL_SECONDS)
        for name in names:
            self._record_file(name).unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def last_lines(self, name: str, count: int = LAST_LINES) -> tuple[str, ...]:
        """The last lines of a log."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-count:]

    def _record_file(self, name: str) -> Path:
        return self._run / f"{name}.json"

    def _read(self, name: str) -> _Record | None:
        try:
            return _Record(**json.loads(self._record_file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _signalled(
    processes: list[psutil.Process], signal: Callable[[psutil.Process], None], timeout: float
) -> list[psutil.Process]:
    """Send a signal, wait up to `timeout` seconds, and return the processes that still run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            signal(process)
    deadline = time.monotonic() + timeout
    while (alive := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return alive


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended. An ended one may stay a zombie forever, if process 1 does not reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def base_environment() -> dict[str, str]:
    """The environment of every process, without proxies, credentials and settings of the user who starts it."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


def _process(record: _Record) -> psutil.Process | None:
    """The running process of a record; None if it has ended, even if its pid now belongs to another process."""
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) < SAME_START_SECONDS
        return process if same and runs(process) else None
    except psutil.Error:
        return None
