"""Messages to the user, through the engine's log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import grpc

from sandbox.plugins.pulumirpc import engine_pb2, engine_pb2_grpc

TIMEOUT_SECONDS: Final = 10.0


class EngineLog:
    """The log of the engine that started this plugin. Messages that can't be delivered are dropped."""

    def __init__(self, address: str) -> None:
        """`address` is host:port of the engine; if it is empty, messages are dropped."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def send(
        self, urn: str, severity: engine_pb2.LogSeverity.ValueType, message: str, *, ephemeral: bool = False
    ) -> None:
        """Show a message for a resource; an ephemeral one only during the operation."""
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return


class Reporter:
    """Shows messages about an operation on a resource. Hides secret values and skips repeated messages."""

    def __init__(self, log: EngineLog, urn: str, scrub: Callable[[str], str]) -> None:
        """`scrub` hides secret values in a message."""
        self._log, self._urn, self.scrub = log, urn, scrub
        self._status = ""
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def warn(self, message: str) -> None:
        """Show a warning once."""
        with self._lock:
            if message in self._warned:
                return
            self._warned.add(message)
        self._log.send(self._urn, engine_pb2.WARNING, self.scrub(message))

    def info(self, message: str) -> None:
        """Show a permanent message."""
        self._log.send(self._urn, engine_pb2.INFO, self.scrub(message))

    def status(self, message: str) -> None:
        """Show the current status; an empty message clears it."""
        if message != self._status:
            self._status = message
            self._log.send(self._urn, engine_pb2.INFO, self.scrub(message), ephemeral=True)
