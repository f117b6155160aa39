"""`operations clients check`: what its two senders meet, and which hop is blamed."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from operations.clients import sender
from operations.clients.check import SCRIPT
from operations.clients.hops import Fact, Place, Result, results
from tests.data.certificates import certificates, https_server
from tests.langfuse_server import PROJECT, PUBLIC_KEY, SECRET_KEY, Recorder, langfuse
from tests.servers import free_port, program

TRACE = "0123456789abcdef0123456789abcdef"
Send = Callable[..., list[Fact]]


def by_node(url: str, kind: str, *, secret_key: str = SECRET_KEY, **variables: str) -> list[Fact]:
    """Run the script of the pod with the variables of the client's ConfigMap and Secret."""
    basic = base64.b64encode(f"{PUBLIC_KEY}:{secret_key}".encode()).decode()
    of_kind: Mapping[str, str] = {
        "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": secret_key,
        "LANGFUSE_BASE_URL": url,
        "LANGFUSE_OTEL_HOST": url,
        "LANGFUSE_TRACING_ENVIRONMENT": "tests",
    }
    if kind == "otel":
        of_kind = {
            "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
            "LANGFUSE_SECRET_KEY": secret_key,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/api/public/otel/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization=Basic%20{basic}",
            "OTEL_RESOURCE_ATTRIBUTES": "langfuse.environment=tests",
        }
    limits = {"CHECK_PATIENCE_SECONDS": "0", "CHECK_READ_SECONDS": "1"}
    done = subprocess.run(
        [program("node", package="nodejs"), "--eval", SCRIPT.read_text()],
        env={"PATH": os.environ["PATH"], "CHECK_KIND": kind, "CHECK_TRACE": TRACE, **limits, **of_kind, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert secret_key not in done.stdout + done.stderr
    return [Fact.model_validate_json(line) for line in done.stdout.splitlines()]


def by_python(url: str, kind: str, *, secret_key: str = SECRET_KEY, **_: str) -> list[Fact]:
    target = sender.Target(url=url, public_key=PUBLIC_KEY, secret_key=secret_key, environment="tests")
    facts = sender.send(target, kind, TRACE, read_seconds=1)
    assert secret_key not in json.dumps([fact.model_dump() for fact in facts])
    return facts


@pytest.fixture(params=[by_node, by_python])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


def judged(facts: list[Fact], *, namespace: str | None = "apps", project: str = PROJECT) -> list[Result]:
    where = {"namespace": namespace, "stack_namespace": "langfuse-prod", "phase": "events_only"}
    return results(facts, Place(client="gateway", project=project, **where))  # type: ignore[arg-type]


def failed(facts: list[Fact], **place: str) -> tuple[str, str]:
    """The hop that failed, and what to do."""
    last = judged(facts, **place)[-1]
    assert last.outcome == "failed", last
    return last.hop, last.fix


@pytest.mark.parametrize("kind", ["sdk", "litellm", "otel", "dify"])
def test_a_trace_is_sent_as_the_kind_sends_it_read_back_and_deleted(send: Send, kind: str) -> None:
    recorder = Recorder(phase="dual" if kind == "dify" else "events_only")
    with langfuse(recorder) as url:
        found = judged(send(url, kind))
    assert [(one.hop, one.outcome) for one in found] == [
        (hop, "ok") for hop in ("DNS", "network", "key", "write mode", "read back", "clean up")
    ]
    assert recorder.deleted == [TRACE]
    if kind == "dify":
        assert {one["body"]["environment"] for one in recorder.events} == {"tests"}
        return
    (span,) = recorder.spans
    assert span["resource"]["langfuse.environment"] == "tests"
    assert (span["headers"].get("x-langfuse-ingestion-version") == "4") == (kind == "sdk")


def test_faults_of_langfuse_are_told_apart(send: Send) -> None:
    def sent(recorder: Recorder, kind: str = "sdk", **options: str) -> list[Fact]:
        with langfuse(recorder) as url:
            return send(url, kind, **options)

    assert failed(sent(Recorder(), secret_key="sk-lf-other"))[0] == "key"  # noqa: S106  # no key at all
    hop, fix = failed(sent(Recorder()), project="search")
    assert (hop, "belong to project project-1, not to search" in fix) == ("key", True)
    hop, fix = failed(sent(Recorder(), "dify"))
    assert (hop, "langfuse:ingestion.phase to dual" in fix) == ("write mode", True)
    hop, fix = failed(sent(Recorder(stores=False)))
    assert (hop, "logs deployment/langfuse-worker" in fix) == ("read back", True)
    hop, fix = failed(sent(Recorder(status=403, text="RBAC: access denied")))
    assert (hop, "langfuse:mesh.outsideClients" in fix) == ("mesh", True)
    assert failed(sent(Recorder(status=503, text="upstream connect error or disconnect")))[0] == "mesh"
    assert failed(sent(Recorder(status=500, text="Internal Server Error")))[0] == "route"


def test_without_a_name_or_a_server_the_hop_before_langfuse_is_blamed(send: Send) -> None:
    hop, fix = failed(send("http://langfuse-web.invalid:3000", "sdk"))
    assert (hop, "get service langfuse-web" in fix or "DNS (UDP and TCP 53" in fix) == ("DNS", True)
    hop, fix = failed(send(f"http://127.0.0.1:{free_port()}", "sdk"))
    assert (hop, "no pod of web is ready" in fix) == ("network", True)


def test_a_connection_that_nobody_answers_is_blamed_on_network_rules(send: Send) -> None:
    """As a policy does it that drops packets: a server with a full queue of connections answers no new one."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(silent.getsockname())
        hop, fix = failed(send(f"http://127.0.0.1:{silent.getsockname()[1]}", "sdk"))
        for client in clients:
            client.close()
    assert (hop, "langfuse:clients.gateway.allowEgress" in fix) == ("network", True)


@contextmanager
def resetting() -> Iterator[int]:
    """A server that resets each connection, as a sidecar does with plain text (mutual TLS is strict)."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_reset_connection_is_blamed_on_the_mesh(send: Send) -> None:
    with resetting() as port:
        hop, fix = failed(send(f"http://127.0.0.1:{port}", "sdk"))
    assert (hop, "langfuse:mesh.outsideClients" in fix) == ("mesh", True)


def test_faults_of_the_certificate_are_blamed_on_tls(
    send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with certificates(tmp_path) as made, https_server(made) as url:
        hop, fix = failed(send(url, "sdk"))
        assert (hop, "trust the authority" in fix) == ("TLS", True)
        monkeypatch.setenv("SSL_CERT_FILE", str(made["ca"]))
        wrong_host = url.replace("localhost", "127.0.0.1")
        hop, fix = failed(send(wrong_host, "sdk", NODE_EXTRA_CA_CERTS=str(made["ca"])))
        assert (hop, "of another host" in fix) == ("TLS", True)
        trusted = judged(send(url, "sdk", NODE_EXTRA_CA_CERTS=str(made["ca"])))
        assert next(one for one in trusted if one.hop == "TLS").detail.startswith("certificate until 20")
    with langfuse(Recorder()) as plain:
        hop, fix = failed(send(plain.replace("http:", "https:"), "sdk"))
        assert (hop, "speaks no TLS" in fix) == ("TLS", True)
