"""Requests over a real connection: responses, errors, retries, watches, unreachable servers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest.mock import Mock

import grpc
import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.api import Api, ApiError, UnreachableError
from sandbox.plugins.kubernetes.checkpoint import store, to_object
from sandbox.plugins.kubernetes.discovery import Discovery, NoSuchKindError
from sandbox.plugins.kubernetes.informers import Cancellation, Informers
from sandbox.plugins.kubernetes.kubeconfig import Target
from sandbox.plugins.kubernetes.objects import Kind, Object
from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.properties import decode, encode
from sandbox.plugins.pulumirpc import provider_pb2
from tests.http_server import QuietHandler, http_server

Answer = tuple[int, dict[str, str], str]
RESOURCES = {
    "resources": [{"name": "things", "kind": "Thing", "namespaced": True}, {"name": "things/status", "kind": "Thing"}]
}


@dataclass
class Server:
    """Returns the responses of each path in turn and repeats the last one."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    port: int = 0

    def kubeconfig(self) -> Object:
        cluster: Object = {"server": f"http://127.0.0.1:{self.port}"}
        return {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "TOKEN"}}],
            "current-context": "x",
        }

    def api(self) -> Api:
        return Api(Target(self.kubeconfig(), ""))

    def asked(self, part: str) -> int:
        return sum(part in path for _, path, _ in self.seen)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(QuietHandler):
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

    with http_server(Handler) as state.port:
        yield state


def test_answers_warnings_and_credentials(server: Server) -> None:
    headers = {"Warning": '299 - "unknown field \\"spec.x\\""'}
    server.answers["/a"] = [(200, headers, '{"kind": "A"}')]
    warnings: list[str] = []
    assert server.api().request("POST", "/a", query={"dryRun": "All"}, body={"b": 1}, warn=warnings.append) == {
        "kind": "A"
    }
    assert warnings == ['unknown field "spec.x"']
    assert server.seen == [("POST", "/a?dryRun=All", '{"b": 1}')]


def test_an_error_response_keeps_its_causes(server: Server) -> None:
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


def test_requests_to_a_busy_server_are_retried(server: Server) -> None:
    server.answers["/a"] = [
        (429, {"Retry-After": "0"}, "{}"),
        (503, {"Retry-After": "0"}, "{}"),
        (200, {}, '{"ok": true}'),
    ]
    assert server.api().request("POST", "/a", body={}) == {"ok": True}
    assert server.asked("/a") == 3


def test_an_unreachable_server_is_an_error_with_a_fix() -> None:
    with pytest.raises(UnreachableError) as failure:
        Server(port=9).api().request("GET", "/version")
    assert "http://127.0.0.1:9" in failure.value.message
    assert "refused" in failure.value.message
    assert "KUBECONFIG" in failure.value.message


def test_kinds_are_requested_once_and_again_if_missing(server: Server) -> None:
    discovery, thing = Discovery(server.api()), Kind("example.com", "v1", "Thing")
    with pytest.raises(NoSuchKindError):
        discovery.find(thing)
    server.answers["/apis/example.com/v1"] = [(200, {}, json.dumps(RESOURCES))]
    for _ in range(2):
        found = discovery.find(thing)
        assert found.item("ns", "a") == "/apis/example.com/v1/namespaces/ns/things/a"
        assert found.collection("") == "/apis/example.com/v1/things"
    assert server.asked("/apis/example.com/v1") == 2


def test_an_informer_watches_and_lists_again_after_an_error(server: Server) -> None:
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


def test_an_update_without_changes_sends_no_requests(server: Server) -> None:
    urn, context = "urn:pulumi:s::p::kubernetes:core/v1:Secret::it", Mock(spec=grpc.ServicerContext)
    provider = KubernetesProvider("")
    variables = {"kubernetes:config:kubeconfig": json.dumps(server.kubeconfig())}
    provider.Configure(provider_pb2.ConfigureRequest(variables=variables), context)
    given = encode({"metadata": {"name": "it"}, "stringData": {"a": "b", "empty": ""}})
    inputs = provider.Check(provider_pb2.CheckRequest(urn=urn, news=given), context).inputs
    plain = to_object(decode(inputs))
    live: Object = {**plain, "metadata": {"name": "it", "namespace": "default", "uid": "u"}, "type": "Opaque"}
    state = encode(store(plain, live, decode(inputs), "v1", "manager"))
    again = provider.Check(provider_pb2.CheckRequest(urn=urn, olds=inputs, news=given), context).inputs
    request = provider_pb2.DiffRequest(urn=urn, id="default/it", olds=state, news=again, old_inputs=inputs)
    assert provider.Diff(request, context).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert server.seen == []

    changed = encode({**decode(again), "type": "kubernetes.io/tls"})
    answer = provider.Diff(provider_pb2.DiffRequest(urn=urn, id="default/it", olds=state, news=changed), context)
    assert list(answer.replaces) == ["type"]
    assert answer.deleteBeforeReplace


def test_starting_the_plugin_does_not_import_the_client_library() -> None:
    code = "import sandbox.plugins.kubernetes.provider, sys; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_object_that_can_not_be_watched_is_kept_in_state(server: Server) -> None:
    urn, context = "urn:pulumi:s::p::kubernetes:apps/v1:Deployment::it", Mock(spec=grpc.ServicerContext)
    made: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "it", "namespace": "ns"}}
    root, deployments = "/apis/apps/v1", {"name": "deployments", "kind": "Deployment", "namespaced": True}
    server.answers = {
        "/version": [(200, {}, "{}")],
        root: [(200, {}, json.dumps({"resources": [deployments]})), (403, {}, '{"message": "forbidden"}')],
        f"{root}/namespaces/ns/deployments": [(201, {}, json.dumps(made)), (403, {}, '{"message": "forbidden"}')],
    }
    provider = KubernetesProvider("")
    variables = {"kubernetes:config:kubeconfig": json.dumps(server.kubeconfig())}
    provider.Configure(provider_pb2.ConfigureRequest(variables=variables), context)
    with pytest.raises(PluginError) as failure:
        provider.Create(provider_pb2.CreateRequest(urn=urn, properties=encode(made)), context)
    detail = failure.value.detail
    assert isinstance(detail, provider_pb2.ErrorResourceInitFailed)
    assert detail.id == "ns/it"
    assert "forbidden" in detail.reasons[0]
    assert decode(detail.properties)["__inputs"] == made
