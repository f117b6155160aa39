"""The processes that the language host starts: each leads a process group, so that nothing of it outlives a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.spares import Spare, suits

if TYPE_CHECKING:
    import grpc

Child: TypeAlias = subprocess.Popen[bytes] | Spare
INTERRUPT_GRACE_SECONDS: Final = 3.0  # the engine kills the language host itself after 5 s


class Children:
    """Starts child processes and stops them: an interrupt first, a kill for the whole group after a grace period."""

    def __init__(self, spares: list[Spare]) -> None:
        self._lock = threading.Lock()
        self._spares = spares
        self._running: set[Child] = set()
        self._interrupted: set[Child] = set()
        self._stopped = False

    def start(
        self,
        command: Sequence[str],
        call: grpc.ServicerContext,
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
        pipe_output: bool = False,
    ) -> Child:
        """Start a command that is stopped when the engine's call ends before it does.

        Raises PluginError if it can't be executed or the host is being cancelled.
        """
        with self._lock:
            if self._stopped:
                raise PluginError("cancelled", code="CANCELLED")
            try:
                child = self._start(command, environment, directory, pipe_output=pipe_output)
            except OSError as error:
                raise PluginError(
                    f"can't execute {command[0]}: {error.strerror}; "
                    "if it belongs to a virtual environment, remove that and run `pulumi install`"
                ) from error
            self._running.add(child)
        if not call.add_callback(lambda: self.stop(child)):  # the call has ended meanwhile
            self.stop(child)
        return child

    def wait(self, child: Child) -> int:
        """Wait for a child to end and return its exit code, negative for a signal."""
        try:
            return child.wait()
        finally:
            with self._lock:
                self._running.discard(child)
                self._interrupted.discard(child)

    def stop(self, child: Child) -> None:
        """Interrupt a child's group without waiting; kill it if it is there after the grace period."""
        if self._interrupt(child):
            timer = threading.Timer(INTERRUPT_GRACE_SECONDS, _kill_if_running, [child])
            timer.daemon = True
            timer.start()

    def stop_all(self) -> None:
        """Stop every child and start no other one; return when they are gone."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for child in running:
            self._interrupt(child)
        for child in running:
            try:
                child.wait(INTERRUPT_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path | None, *, pipe_output: bool
    ) -> Child:
        if self._spares and suits(command, environment):
            spare = self._spares.pop()
            spare.run(command[1:], environment=environment, directory=directory, pipe_output=pipe_output)
            return spare
        stream = subprocess.PIPE if pipe_output else None
        return subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,
        )

    def _interrupt(self, child: Child) -> bool:
        """Interrupt a child that runs, once: a second interrupt would hit its handling of the first."""
        with self._lock:
            if child in self._interrupted or child.poll() is not None:
                return False
            self._interrupted.add(child)
        _signal_group(child, signal.SIGINT)
        return True

    def cancel(self) -> None:
        """Stop every child without waiting, and start no other one."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for child in running:
            self.stop(child)


def _kill_if_running(child: Child) -> None:
    if child.poll() is None:
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: Child, number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
