"""Receives the engine's events over a local connection, with their time of arrival and without a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import events_pb2, events_pb2_grpc

UNCHANGED = frozenset({"same", "read", "refresh"})


@dataclass
class Events(events_pb2_grpc.EventsServicer):
    """The steps of one operation and their times, in `time.monotonic()` seconds."""

    started: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    """Number of resources by the kind of step."""

    def record(self, event: dict[str, object], now: float) -> None:
        """Record an event."""
        match event:
            case {"resourcePreEvent": {"metadata": {"urn": str(urn)}}}:
                self.started.setdefault(urn, now)
            case {"resOutputsEvent": {"metadata": {"urn": str(urn)}}}:
                self.ended[urn] = now
            case {"summaryEvent": {"resourceChanges": dict(changes)}}:
                self.changes = {str(what): int(number) for what, number in changes.items()}

    @property
    def changed(self) -> int:
        """The number of resources that have changed."""
        return sum(number for what, number in self.changes.items() if what not in UNCHANGED)

    @property
    def durations(self) -> dict[str, float]:
        """Seconds from the start to the end of each resource's step, by URN."""
        return {urn: self.ended[urn] - start for urn, start in self.started.items() if urn in self.ended}

    def StreamEvents(  # noqa: N802  # the protocol defines the name
        self, request_iterator: Iterator[events_pb2.EventRequest], context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Receive the events of one command."""
        del context
        for request in request_iterator:
            self.record(json.loads(request.event), time.monotonic())
        return empty_pb2.Empty()


@contextmanager
def listening() -> Iterator[tuple[str, Events]]:
    """Yield an address for `--event-log` and the events that it receives."""
    events = Events()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        events_pb2_grpc.add_EventsServicer_to_server(events, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"tcp://127.0.0.1:{port}", events
        finally:
            server.stop(grace=1).wait()
