"""The engine's events, taken over a local connection: with the time of their arrival, and never in a file."""

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
    """What the engine did with each resource in one operation, and when. Times are `time.monotonic()` seconds."""

    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    """Number of resources by what happened to them."""

    def take(self, event: dict[str, object], now: float) -> None:
        """Note an event."""
        match event:
            case {"resourcePreEvent": {"metadata": {"urn": str(urn)}}}:
                self.began.setdefault(urn, now)
            case {"resOutputsEvent": {"metadata": {"urn": str(urn)}}}:
                self.ended[urn] = now
            case {"summaryEvent": {"resourceChanges": dict(changes)}}:
                self.changes = {str(what): int(number) for what, number in changes.items()}

    @property
    def changed(self) -> int:
        """How many resources did not stay as they were."""
        return sum(number for what, number in self.changes.items() if what not in UNCHANGED)

    @property
    def durations(self) -> dict[str, float]:
        """Seconds from the begin to the end of each resource's step, by URN."""
        return {urn: self.ended[urn] - began for urn, began in self.began.items() if urn in self.ended}

    # The name of the method is the protocol's.
    def StreamEvents(  # noqa: N802
        self, request_iterator: Iterator[events_pb2.EventRequest], context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Take the events of one command."""
        del context
        for request in request_iterator:
            self.take(json.loads(request.event), time.monotonic())
        return empty_pb2.Empty()


@contextmanager
def listening() -> Iterator[tuple[str, Events]]:
    """Yield an address for `--event-log` and what arrives there."""
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
