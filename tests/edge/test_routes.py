"""The rendered routes in Envoy, with servers behind it that send hostile answers."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from components.network.ingress.rules import FILE_POLICY
from tests.edge.conftest import STACKS
from tests.edge.envoy import Certificate, gateway
from tests.edge.site import HOST, SERVICES, Stack
from tests.http_server import QuietHandler, http_server
from tests.servers import free_port

HOSTILE = {
    "Content-Security-Policy": "default-src *; script-src * 'unsafe-inline'",
    "X-Content-Type-Options": "guess",
    "Set-Cookie": "__Secure-next-auth.session-token=theirs",
    "Content-Type": "text/html",
}
"""Headers that an object store could send, for example by overrides in a signed link."""

FILE = "/langfuse-dev-media/project/media/file.html?X-Amz-Signature=x"


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Web and the object store in one server. It records each request and answers with the requested status."""

    port: int
    requests: list[dict[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def hostile_servers() -> Iterator[Servers]:
    received: list[dict[str, str]] = []

    class Handler(QuietHandler):
        def _answer(self) -> None:
            received.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(int(self.headers.get("X-Wanted-Status", "200")))
            for name, value in HOSTILE.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _answer  # noqa: N815  # named by the base class

    with http_server(Handler) as port:
        yield Servers(port=port, requests=received)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Envoy with the routes of a stack."""

    kind: str
    port: int
    servers: Servers
    authority: Path
    file_host: str

    @property
    def is_nginx(self) -> bool:
        """Whether it is ingress-nginx, whose annotations only set headers of responses."""
        return self.kind.startswith("nginx")

    @property
    def adds_headers(self) -> bool:
        """Whether a header can be added to one of the same name. Controllers of Ingresses can only replace it."""
        return not self.is_nginx and self.kind != "traefik"

    def send(self, path: str, method: str = "GET", host: str = HOST, **headers: str) -> requests.Response:
        """Send a request. The path is sent unchanged; requests would normalize it."""
        session = requests.Session()
        request = session.prepare_request(requests.Request(method, "https://127.0.0.1/", headers=headers))
        request.url = f"https://127.0.0.1:{self.port}{path}"
        request.headers["Host"] = host
        return session.send(request, verify=str(self.authority), timeout=10, allow_redirects=False)


@pytest.fixture(scope="module", params=[name for name in STACKS if name != "without-headers"])
def edge(
    request: pytest.FixtureRequest, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    stack = STACKS[request.param]
    with hostile_servers() as servers:
        ports = dict.fromkeys(SERVICES.values(), servers.port)
        with gateway(tmp_path_factory.mktemp("envoy"), stack.routes, ports, certificate) as port:
            host = stack.bucket_host or HOST
            yield Edge(kind=request.param, port=port, servers=servers, authority=certificate.authority, file_host=host)


@pytest.mark.parametrize("status", [200, 206, 304, 403, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"])
def test_every_answer_with_a_file_has_only_the_headers_of_the_route(edge: Edge, method: str, status: int) -> None:
    answer = edge.send(FILE, method, edge.file_host, **{"X-Wanted-Status": str(status)})
    assert answer.status_code == status
    assert answer.headers["Content-Security-Policy"] == FILE_POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert edge.is_nginx or "Set-Cookie" not in answer.headers


def test_errors_of_the_gateway_have_the_headers_as_well(certificate: Certificate, tmp_path: Path) -> None:
    ports = dict.fromkeys(SERVICES.values(), free_port())
    with gateway(tmp_path, Stack().routes, ports, certificate) as port:
        edge = Edge(
            kind="one-host", port=port, servers=Servers(port=0), authority=certificate.authority, file_host=HOST
        )
        answer = edge.send(FILE)
    assert answer.status_code == requests.codes.service_unavailable
    assert answer.headers["Content-Security-Policy"] == FILE_POLICY


def test_credentials_of_the_user_are_sent_to_web_and_not_to_the_store(edge: Edge) -> None:
    credentials = {"Cookie": "__Secure-next-auth.session-token=x", "Authorization": "Basic cGs6c2s="}
    edge.servers.requests.clear()
    edge.send(FILE, host=edge.file_host, **credentials)
    edge.send("/api/public/traces", **credentials)
    to_store, to_web = edge.servers.requests
    assert edge.is_nginx or not {"cookie", "authorization"} & to_store.keys()
    assert (to_web["cookie"], to_web["authorization"]) == (credentials["Cookie"], credentials["Authorization"])


def test_the_store_receives_the_host_of_the_signed_link(edge: Edge) -> None:
    edge.servers.requests.clear()
    edge.send(FILE, host=edge.file_host)
    assert edge.servers.requests[0]["host"] == edge.file_host


def test_pages_keep_their_own_policy_and_upgrade_requests(edge: Edge) -> None:
    answer = edge.send("/project/x/traces")
    policies = answer.raw.headers.getlist("Content-Security-Policy")
    upgrade = ["upgrade-insecure-requests"] if edge.adds_headers else []
    assert policies == [HOSTILE["Content-Security-Policy"], *upgrade]
    assert edge.is_nginx or answer.headers["Strict-Transport-Security"].startswith(
        "max-age="
    )  # the controller sends it
    assert "Set-Cookie" in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/api/admin",
        "/api/admin/organizations",
        "/api/admin?x",
        "/api/%61dmin/organizations",
        "/api/./admin/organizations",
        "/api/public/../admin/organizations",
        "/api/internal/ai-gateway/v1/resolve",
    ],
)
def test_internal_paths_are_closed(edge: Edge, path: str) -> None:
    edge.servers.requests.clear()
    status = 503 if edge.is_nginx else 500 if edge.kind.startswith("gateway-api") else 404
    assert edge.send(path, "POST").status_code == status
    assert edge.servers.requests == []


def test_the_host_of_the_buckets_serves_only_files(edge: Edge) -> None:
    edge.servers.requests.clear()
    others = ["/", "/api/public/health", "/langfuse-dev-events/x", "/langfuse-dev-backups/x", "/langfuse-dev-mediax/y"]
    others += ["/langfuse-dev-media"] if edge.kind == "bucket-host" else []  # elsewhere, the store refuses it
    for path in others if edge.file_host != HOST else []:
        assert edge.send(path, host=edge.file_host).status_code == requests.codes.not_found, path
    assert edge.servers.requests == []


def test_an_unknown_host_is_not_found(edge: Edge) -> None:
    assert edge.send("/", host="other.example.com").status_code == requests.codes.not_found
