"""The processes that the language host starts. Each leads a process group, so that a stop ends its children too."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, TypeAlias

from sandbox.plugins.errors import PluginError

if TYPE_CHECKING:
    import grpc

Child: TypeAlias = subprocess.Popen[bytes]
Stream: TypeAlias = Literal["stdout", "stderr"]
INTERRUPT_GRACE_SECONDS: Final = 3.0  # the engine kills the language host itself after 5 s
CHUNK_BYTES: Final = 65536


class Children:
    """Starts child processes and stops them: interrupts the whole group first, kills it after a grace period."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
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
        """Start a command that is stopped if the engine's call ends before it does.

        Raises PluginError if the command can't be executed or the host is being cancelled.
        """
        stream = subprocess.PIPE if pipe_output else None
        with self._lock:
            if self._stopped:
                raise PluginError("cancelled", code="CANCELLED")
            try:
                child = subprocess.Popen(
                    command,
                    env=environment,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    process_group=0,
                )
            except OSError as error:
                raise PluginError(
                    f"can't execute {command[0]}: {error.strerror}; "
                    "if it belongs to a virtual environment, remove that and run `pulumi install`"
                ) from error
            self._running.add(child)
        if not call.add_callback(lambda: self.stop(child)):  # the call has already ended
            self.stop(child)
        return child

    def wait(self, child: Child) -> int:
        """Wait until a child ends and return its exit code, negative for a signal."""
        try:
            return child.wait()
        finally:
            with self._lock:
                self._running.discard(child)
                self._interrupted.discard(child)

    def stop(self, child: Child) -> None:
        """Interrupt a child's group without waiting; kill it if it still runs after the grace period."""
        if self._interrupt(child):
            timer = threading.Timer(INTERRUPT_GRACE_SECONDS, _kill_if_running, [child])
            timer.daemon = True
            timer.start()

    def cancel(self) -> None:
        """Stop every child without waiting, and refuse to start others."""
        for child in self._close():
            self.stop(child)

    def stop_all(self) -> None:
        """Stop every child, refuse to start others, and return when all have ended."""
        running = self._close()
        for child in running:
            self._interrupt(child)
        for child in running:
            try:
                child.wait(INTERRUPT_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)

    def _close(self) -> list[Child]:
        """Refuse to start other children; return those that run."""
        with self._lock:
            self._stopped = True
            return list(self._running)

    def _interrupt(self, child: Child) -> bool:
        """Interrupt a running child once: a second interrupt would hit its handling of the first."""
        with self._lock:
            if child in self._interrupted or child.poll() is not None:
                return False
            self._interrupted.add(child)
        _signal_group(child, signal.SIGINT)
        return True


def output_of(child: Child) -> Iterator[tuple[Stream, bytes]]:
    """Yield the output of a child, as it arrives, until both of its streams are closed."""
    if child.stdout is None or child.stderr is None:
        raise ValueError("its output is not piped")
    chunks: queue.Queue[tuple[Stream, bytes]] = queue.Queue()
    readers: list[tuple[Stream, IO[bytes]]] = [("stdout", child.stdout), ("stderr", child.stderr)]
    for name, stream in readers:
        threading.Thread(target=_read, args=[name, stream, chunks], daemon=True).start()
    closed = 0
    while closed < len(readers):
        name, chunk = chunks.get()
        if chunk:
            yield name, chunk
        else:
            closed += 1


def _read(name: Stream, stream: IO[bytes], chunks: queue.Queue[tuple[Stream, bytes]]) -> None:
    with stream:
        while chunk := os.read(stream.fileno(), CHUNK_BYTES):
            chunks.put((name, chunk))
    chunks.put((name, b""))


def _kill_if_running(child: Child) -> None:
    if child.poll() is None:
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: Child, number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
