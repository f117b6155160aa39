"""A recording endpoint that speaks the parts of Langfuse's public API that clients use.

It accepts events of the ingestion API and spans by OTLP over HTTP, as JSON and as protobuf. It has the answers and
the status codes of Langfuse: 207 for batches, 401 for other keys, and in `events_only` an error for each event of
version 3.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import QuietHandler, http_server

PUBLIC_KEY: Final = "pk-lf-11111111-1111-4111-8111-111111111111"
SECRET_KEY: Final = "sk-lf-22222222-2222-4222-8222-222222222222"  # noqa: S105  # of this server only
PROJECT: Final = "project-1"

VERSION_FOUR: Final = ("score-create", "sdk-log")
"""Events that Langfuse 4 accepts in the write mode `events_only` (processEventBatch.ts)."""


@dataclass
class Recorder:
    """What clients sent, and how the server behaves."""

    phase: str = "events_only"
    delay_seconds: float = 0.0
    """How long the server waits before each answer to sent events."""
    status: int = 0
    """The status of every answer to sent events; 0 for that of Langfuse."""
    text: str = ""
    """The body of every answer, if `status` is set."""
    stores: bool = True
    """Whether events can be read back: a worker runs."""
    spans: list[dict[str, Any]] = field(default_factory=list)
    """Spans with their attributes, those of their resource under `resource`, and the request's headers."""
    events: list[dict[str, Any]] = field(default_factory=list)
    batches: int = 0
    """Requests with events or spans, accepted or not."""
    deleted: list[str] = field(default_factory=list)

    def traces(self) -> set[str]:
        """The ids of all traces that can be read."""
        ids = {str(span["traceId"]) for span in self.spans}
        ids |= {str(one["body"].get("traceId") or one["body"]["id"]) for one in self.events}
        return (ids if self.stores else set()) - set(self.deleted)


@contextmanager
def langfuse(recorder: Recorder) -> Iterator[str]:
    """Run the server until the end of the block. Yields its URL."""

    class Handler(_Handler):
        record = recorder

    with http_server(Handler) as port:
        yield f"http://127.0.0.1:{port}"


class _Handler(QuietHandler):
    record: Recorder
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()

    def do_GET(self) -> None:  # noqa: N802  # named by the base class
        url = urlsplit(self.path)
        if not self._signed():
            return
        trace = parse_qs(url.query).get("traceId", [url.path.rpartition("/")[2]])[0]
        found = trace in self.record.traces()
        if url.path == "/api/public/projects":
            self._answer(200, {"data": [{"id": PROJECT, "name": "Project", "metadata": {}}]})
        elif url.path == "/api/public/v2/observations":
            self._answer(200, {"data": [{"traceId": trace}] if found else [], "meta": {}})
        elif url.path.startswith("/api/public/traces/") and self.record.phase != "events_only":
            self._answer(200, {"id": trace}) if found else self._answer(404, {"message": "Trace not found"})
        else:
            self._answer(404, {"message": "Not found"})

    def do_DELETE(self) -> None:  # noqa: N802  # ditto
        if self._signed():
            self.record.deleted.append(self.path.rpartition("/")[2])
            self._answer(200, {"message": "Trace deleted successfully"})

    def do_POST(self) -> None:  # noqa: N802  # ditto
        body = self._body()
        self.record.batches += 1
        time.sleep(self.record.delay_seconds)
        if self.record.status:
            self._answer(self.record.status, None)
        elif not self._signed():
            return
        elif self.path == "/api/public/ingestion":
            self._ingest(json.loads(body)["batch"])
        elif self.path == "/api/public/otel/v1/traces":
            self._spans(body)
        else:
            self._answer(404, {"message": "Not found"})

    def _ingest(self, batch: list[dict[str, Any]]) -> None:
        refused = [one for one in batch if self.record.phase == "events_only" and one["type"] not in VERSION_FOUR]
        accepted = [one for one in batch if one not in refused]
        self.record.events += accepted
        errors = [{"id": one["id"], "status": 400, "message": "Invalid request data"} for one in refused]
        self._answer(207, {"successes": [{"id": one["id"], "status": 201} for one in accepted], "errors": errors})

    def _spans(self, body: bytes) -> None:
        if "json" in self.headers.get("Content-Type", ""):
            found = json.loads(body)
        else:
            found = MessageToDict(ExportTraceServiceRequest.FromString(body))
        with self.lock:
            for resource in found.get("resourceSpans", []):
                of_resource = _attributes(resource.get("resource", {}))
                for span in (one for scope in resource["scopeSpans"] for one in scope["spans"]):
                    self.record.spans.append(
                        {
                            **span,
                            "traceId": _hexadecimal(span["traceId"]),
                            "attributes": _attributes(span),
                            "resource": of_resource,
                            "headers": dict(self.headers),
                        }
                    )
        self._answer(200, {})

    def _signed(self) -> bool:
        """Whether the keys are right; answers 401 if they are not."""
        pair = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {pair}":
            return True
        self._answer(401, {"message": "Invalid credentials. Confirm that you've configured the correct host."})
        return False

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            text = b"".join(iter(self._chunk, b""))
        else:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(text) if self.headers.get("Content-Encoding") == "gzip" else text

    def _chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return chunk

    def _answer(self, status: int, body: Any) -> None:  # noqa: ANN401  # JSON
        content = self.record.text.encode() if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _attributes(of: dict[str, Any]) -> dict[str, Any]:
    """Attributes by name. A value of OTLP is an object with one entry, which names its type."""
    return {one["key"]: next(iter(one["value"].values()), None) for one in of.get("attributes", [])}


def _hexadecimal(trace: str) -> str:
    """The id of a trace. OTLP as JSON has it as it is; protobuf's own JSON form has base64."""
    hexadecimal_digits = 32
    return trace if len(trace) == hexadecimal_digits else base64.b64decode(trace).hex()
