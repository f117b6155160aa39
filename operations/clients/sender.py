"""Sends a trace from this machine, reads it back, and deletes it: the facts of `send.js` without Node or a pod."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import requests
from pydantic import JsonValue

from operations.clients.hops import NOT_FOUND, OK, Fact, Step

OTLP_PATH: Final = "/api/public/otel/v1/traces"
BATCH_PATH: Final = "/api/public/ingestion"
STEP_SECONDS: Final = 5
REQUEST_SECONDS: Final = 15
READ_SECONDS: Final = 60
NAME: Final = "langfuse-check"
SHOWN: Final = 300
"""Characters of an answer."""
ANSWERED: Final = 300
"""HTTP statuses from here on are no success."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to send, and with which keys."""

    url: str
    public_key: str
    secret_key: str
    environment: str | None = None


def send(target: Target, kind: str, trace: str, *, read_seconds: float = READ_SECONDS) -> list[Fact]:
    """Send a trace, up to the first step that fails.

    Args:
        target: Where to send.
        kind: The kind of a client, which decides what is sent.
        trace: The id of the trace: 32 hexadecimal digits.
        read_seconds: How long to wait until it can be read.
    """
    facts: list[Fact] = []
    for fact in _facts(target, kind, trace, read_seconds):
        facts.append(fact)
        if fact.step != "read" and (fact.error or fact.status >= ANSWERED):
            break  # a trace that can't be read yet is deleted all the same
    return facts


def _facts(target: Target, kind: str, trace: str, read_seconds: float) -> Iterator[Fact]:
    parts = urlsplit(target.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in getproxies() or proxy_bypass(host):
        yield _tried("dns", lambda: _resolved(host, port))
        yield _tried("connect", lambda: _connected(host, port))
        if parts.scheme == "https":
            yield _tried("tls", lambda: f"certificate until {certificate_end(host, port).isoformat()}")
    yield _asked("project", target, "GET", "/api/public/projects", read=lambda body: str(body["data"][0]["id"]))
    path, body, headers = content(kind, trace, target.environment)
    yield _asked("send", target, "POST", path, body=body, headers=headers, read=lambda answer: _accepted(answer, trace))
    yield _read_back(target, trace, read_seconds)
    path = f"/api/public/traces/{trace}"
    yield _asked("delete", target, "DELETE", path, read=lambda _: "the trace is deleted")


def erase(target: Target, trace: str) -> None:
    """Delete a trace, if Langfuse answers."""
    with contextlib.suppress(requests.RequestException):
        _request(target, "DELETE", f"/api/public/traces/{trace}")


def content(kind: str, trace: str, environment: str | None) -> tuple[str, Any, dict[str, str]]:
    """What a client of a kind sends: the path, the body and further headers."""
    now, span = datetime.now(UTC), trace[:16]
    if kind == "dify":  # events of version 3
        at = now.isoformat()
        common = {"name": NAME, **({"environment": environment} if environment else {})}
        bodies = {
            "trace-create": {"id": trace, "timestamp": at, **common},
            "span-create": {"id": span, "traceId": trace, "startTime": at, "endTime": at, **common},
        }
        batch = [
            {"id": f"{trace}-{type_}", "type": type_, "timestamp": at, "body": one} for type_, one in bodies.items()
        ]
        return BATCH_PATH, {"batch": batch}, {}
    stated = {"service.name": NAME, **({"langfuse.environment": environment} if environment else {})}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in stated.items()]
    nanoseconds = str(int(now.timestamp() * 1e9))
    times = {"startTimeUnixNano": nanoseconds, "endTimeUnixNano": nanoseconds}
    spans = [{"traceId": trace, "spanId": span, "name": NAME, "kind": 1, **times}]
    scopes = [{"scope": {"name": NAME}, "spans": spans}]
    # SDKs state the version of their spans (langfuse.com/integrations/native/opentelemetry, real-time ingestion).
    headers = {"x-langfuse-ingestion-version": "4"} if kind == "sdk" else {}
    return OTLP_PATH, {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scopes}]}, headers


def certificate_end(host: str, port: int) -> datetime:
    """When the certificate of a server ends, in UTC.

    Raises:
        OSError: There is no connection, or the certificate is not valid.
    """
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=STEP_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        found = encrypted.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)


def _resolved(host: str, port: int) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return ", ".join(dict.fromkeys(str(one[4][0]) for one in found))


def _connected(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=STEP_SECONDS) as connection:
        return f"port {port} at {connection.getpeername()[0]}"


def _tried(step: Step, attempt: Callable[[], str]) -> Fact:
    begun = time.monotonic()
    try:
        detail = attempt()
    except OSError as error:
        return Fact(step=step, error=_reason(error), seconds=time.monotonic() - begun)
    return Fact(step=step, detail=detail, seconds=time.monotonic() - begun)


def _reason(error: Exception) -> str:
    """The kind of an error. Its message may have the URL, but no header."""
    if isinstance(error, TimeoutError | requests.Timeout):
        return f"ETIMEDOUT: no answer within {STEP_SECONDS} s"
    if isinstance(error, ConnectionRefusedError):
        return "ECONNREFUSED: the connection is refused"
    return f"{type(error).__name__}: {error}"


def _asked(
    step: Step,
    target: Target,
    method: str,
    path: str,
    *,
    read: Callable[[Any], str],
    body: JsonValue = None,
    headers: dict[str, str] | None = None,
) -> Fact:
    try:
        answer = _request(target, method, path, body, headers)
    except requests.RequestException as error:
        return Fact(step=step, error=_reason(error))
    shown = answer.text
    if answer.status_code < ANSWERED:
        # Without the JSON of Langfuse, the beginning of the answer says what it is.
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError, AttributeError):
            shown = read(answer.json())
    return Fact(step=step, status=answer.status_code, detail=shown[:SHOWN])


def _request(
    target: Target, method: str, path: str, body: JsonValue = None, headers: dict[str, str] | None = None
) -> requests.Response:
    return requests.request(
        method,
        target.url + path,
        auth=(target.public_key, target.secret_key),  # not a header, which a file `.netrc` would replace
        headers=headers,
        json=body,
        timeout=REQUEST_SECONDS,
        allow_redirects=False,
    )


def _accepted(answer: Any, trace: str) -> str:  # noqa: ANN401  # JSON
    return json.dumps({"errors": answer["errors"]}) if answer.get("errors") else f"trace {trace}"


def _read_back(target: Target, trace: str, read_seconds: float) -> Fact:
    begun, status, error = time.monotonic(), 0, ""
    while True:
        try:
            status, error = _readable(target, trace), ""
        except (requests.RequestException, ValueError, KeyError) as failed:
            status, error = 0, _reason(failed)
        took = time.monotonic() - begun
        if status == OK:
            return Fact(step="read", status=status, detail="the trace is there", seconds=took)
        if took > read_seconds:
            error = error or f"the trace can't be read after {read_seconds:.0f} s"
            return Fact(step="read", status=status, error=error, seconds=took)
        time.sleep(1)


def _readable(target: Target, trace: str) -> int:
    """The status: by the API of version 4, or that of version 3 in phases that still have it."""
    now = _request(target, "GET", f"/api/public/v2/observations?traceId={trace}&fields=core&limit=1")
    if now.status_code == OK and now.json()["data"]:
        return OK
    before = _request(target, "GET", f"/api/public/traces/{trace}")
    if before.status_code == OK:
        return OK
    return NOT_FOUND if now.status_code == OK else now.status_code
