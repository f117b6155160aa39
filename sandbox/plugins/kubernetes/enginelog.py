"""Messages to the person who runs Pulumi, through the engine's log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import grpc

from sandbox.plugins.pulumirpc import engine_pb2, engine_pb2_grpc

TIMEOUT_SECONDS: Final = 10.0


class EngineLog:
    """The engine that started this plugin. A message that can't be delivered is dropped: the engine is gone."""

    def __init__(self, address: str) -> None:
        """`address` is host:port of the engine; without one, messages are dropped."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def send(
        self, urn: str, severity: engine_pb2.LogSeverity.ValueType, message: str, *, ephemeral: bool = False
    ) -> None:
        """Show a message next to a resource; an ephemeral one only while the resource is worked on."""
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return


class Reporter:
    """Tells about one operation on one resource, with secret values hidden and repetitions left out."""

    def __init__(self, log: EngineLog, urn: str, scrub: Callable[[str], str]) -> None:
        """Report on the resource with this URN."""
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
        """Show a message that stays."""
        self._log.send(self._urn, engine_pb2.INFO, self.scrub(message))

    def status(self, message: str) -> None:
        """Show what is being waited for; the empty message clears it."""
        if message != self._status:
            self._status = message
            self._log.send(self._urn, engine_pb2.INFO, self.scrub(message), ephemeral=True)
