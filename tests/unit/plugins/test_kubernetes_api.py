"""Requests over a real connection: answers, refusals, retries, watches, and servers that do not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.plugins.kubernetes.api import Api, ApiError, UnreachableError
from sandbox.plugins.kubernetes.discovery import Discovery, NoSuchKindError
from sandbox.plugins.kubernetes.informers import Cancellation, Informers
from sandbox.plugins.kubernetes.kubeconfig import Target
from sandbox.plugins.kubernetes.objects import Kind, Object

Answer = tuple[int, dict[str, str], str]
RESOURCES = {
    "resources": [{"name": "things", "kind": "Thing", "namespaced": True}, {"name": "things/status", "kind": "Thing"}]
}


@dataclass
class Server:
    """Answers each path with its answers in turn, the last one again and again."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    port: int = 0

    def api(self) -> Api:
        cluster: Object = {"server": f"http://127.0.0.1:{self.port}"}
        content: Object = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "TOKEN"}}],
            "current-context": "x",
        }
        return Api(Target(content, ""))

    def asked(self, part: str) -> int:
        return sum(part in path for _, path, _ in self.seen)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            state.seen.append((self.command, self.path, self.rfile.read(length).decode()))
            answers = state.answers.get(self.path.split("?")[0], [(404, {}, '{"message": "not there"}')])
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PATCH = answer  # noqa: N815  # the library's names

        def log_message(self, *_: object) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = running.server_address[1]
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield state
    running.shutdown()
    running.server_close()


def test_answers_warnings_and_credentials(server: Server) -> None:
    headers = {"Warning": '299 - "unknown field \\"spec.x\\""'}
    server.answers["/a"] = [(200, headers, '{"kind": "A"}')]
    warnings: list[str] = []
    assert server.api().request("POST", "/a", query={"dryRun": "All"}, body={"b": 1}, warn=warnings.append) == {
        "kind": "A"
    }
    assert warnings == ['unknown field "spec.x"']
    assert server.seen == [("POST", "/a?dryRun=All", '{"b": 1}')]


def test_a_refusal_keeps_the_reasons(server: Server) -> None:
    status = {
        "message": "bad",
        "reason": "Invalid",
        "details": {"kind": "x", "causes": [{"field": "f", "message": "m"}]},
    }
    server.answers["/a"] = [(422, {}, json.dumps(status))]
    with pytest.raises(ApiError) as failure:
        server.api().request("GET", "/a")
    error = failure.value
    assert (error.status, error.reason, error.message, error.details_kind) == (422, "Invalid", "bad", "x")
    assert [(cause.field, cause.message) for cause in error.causes] == [("f", "m")]


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.answers["/a"] = [
        (429, {"Retry-After": "0"}, "{}"),
        (503, {"Retry-After": "0"}, "{}"),
        (200, {}, '{"ok": true}'),
    ]
    assert server.api().request("POST", "/a", body={}) == {"ok": True}
    assert server.asked("/a") == 3


def test_a_server_that_does_not_answer_is_named_with_the_fix() -> None:
    with pytest.raises(UnreachableError) as failure:
        Server(port=9).api().request("GET", "/version")
    assert "http://127.0.0.1:9" in failure.value.message
    assert "refused" in failure.value.message
    assert "KUBECONFIG" in failure.value.message


def test_kinds_are_asked_for_once_and_again_when_missing(server: Server) -> None:
    discovery, thing = Discovery(server.api()), Kind("example.com", "v1", "Thing")
    with pytest.raises(NoSuchKindError):
        discovery.find(thing)
    server.answers["/apis/example.com/v1"] = [(200, {}, json.dumps(RESOURCES))]
    for _ in range(2):
        found = discovery.find(thing)
        assert found.item("ns", "a") == "/apis/example.com/v1/namespaces/ns/things/a"
        assert found.collection("") == "/apis/example.com/v1/things"
    assert server.asked("/apis/example.com/v1") == 2


def test_an_informer_follows_what_happens_and_lists_again_when_it_lost_track(server: Server) -> None:
    def listed(*names: str) -> str:
        items = [{"metadata": {"name": name}} for name in names]
        return json.dumps(
            {"kind": "ThingList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items}
        )

    def event(kind: str, name: str) -> str:
        return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}) + "\n"

    path = "/apis/example.com/v1/namespaces/ns/things"
    lost = json.dumps({"type": "ERROR", "object": {"code": 410}}) + "\n"
    server.answers["/apis/example.com/v1"] = [(200, {}, json.dumps(RESOURCES))]
    server.answers[path] = [
        (200, {}, listed("a", "b")),
        (200, {}, event("ADDED", "c") + event("DELETED", "a") + lost),
        (200, {}, listed("b", "d")),
        (500, {}, "{}"),
    ]
    api = server.api()
    cancellation = Cancellation()
    informers = Informers(api, cancellation)
    informer = informers.of(Discovery(api).find(Kind("example.com", "v1", "Thing")), "ns")
    with informers.listening([informer]) as wake:
        while {item["metadata"]["name"] for item in informer.all()} != {"b", "d"}:  # type: ignore[call-overload,index]  # JSON
            assert wake.wait(10)
            wake.clear()
        assert informer.synced
        assert informer.get("b") is not None
        assert informer.get("a") is None
        cancellation.cancel()
        assert wake.wait(10)
    assert cancellation
