"""A sign-in in front of the UI: a real oauth2-proxy with the rendered variables, behind the rendered routes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.edge.envoy import Certificate, gateway
from tests.edge.identity_provider import CLIENT_ID, Provider, identity_provider
from tests.edge.site import HOST, SERVICES, Stack
from tests.http_server import QuietHandler, http_server
from tests.servers import NO_SYSTEM_CA, answers, free_port, running, tool

PROXY = "langfuse-oauth2-proxy"
COOKIE_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  # of the test
CLIENT_SECRET = "of-the-test"  # noqa: S105
AUTHENTICATION = {
    "issuer": "https://sso.example.com",
    "clientId": CLIENT_ID,
    "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
    "emailDomains": ["example.com"],
}
LENIENT = {"unverifiedEmails": True, "groups": ["staff"], "groupsClaim": "roles", "scopes": ["email", "groups"]}
"""For a provider that does not verify addresses, and lists groups only with a scope, under another claim."""

KINDS: dict[str, dict[str, object]] = {
    "gateway-api": {"kind": "gateway-api", "gateway": "gateways/public"},
    "nginx": {"kind": "ingress", "controller": "nginx"},
    "traefik": {"kind": "ingress", "controller": "traefik"},
}


@dataclass(frozen=True, kw_only=True)
class Door:
    """The public host, with a sign-in in front of the UI."""

    port: int
    authority: Path
    provider: Provider
    lenient: bool

    def send(self, url: str, cookies: dict[str, str] | None = None, **headers: str) -> requests.Response:
        """Send a request to the gateway. Redirects are not followed."""
        sent = {"Host": HOST, **headers}
        if cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        path = url.removeprefix(f"https://{HOST}")
        return requests.get(
            f"https://127.0.0.1:{self.port}{path}",
            headers=sent,
            verify=str(self.authority),
            timeout=10,
            allow_redirects=False,
        )

    def sign_in(self) -> requests.Response:
        """Open the UI and sign in as the user of the provider, as a browser does."""
        opened = self.send("/project/x")
        assert opened.status_code == requests.codes.found
        answer = requests.get(str(opened.headers["Location"]), timeout=10, allow_redirects=False)
        assert answer.headers["Location"].startswith(f"https://{HOST}/oauth2/callback?")
        return self.send(answer.headers["Location"], {name: value for name, value in opened.cookies.items() if value})


@pytest.fixture(params=KINDS)
def door(request: pytest.FixtureRequest, certificate: Certificate, tmp_path: Path) -> Iterator[Door]:
    class Web(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  # named by the base class
            content = f"{self.path} {self.headers.get('Authorization')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    lenient = request.param == "traefik"
    authentication = AUTHENTICATION | (LENIENT if lenient else {})
    stack = Stack(ingress={**KINDS[request.param], "authentication": authentication})
    spec = stack.recording.one("Deployment", PROXY).inputs["spec"]["template"]["spec"]
    port = free_port()
    with identity_provider() as provider, http_server(Web) as web:
        variables = {item["name"]: item["value"] for item in spec["containers"][0]["env"] if "value" in item} | {
            "OAUTH2_PROXY_CLIENT_SECRET": CLIENT_SECRET,
            "OAUTH2_PROXY_COOKIE_SECRET": COOKIE_SECRET,
            "OAUTH2_PROXY_HTTP_ADDRESS": f"127.0.0.1:{port}",
            "OAUTH2_PROXY_OIDC_ISSUER_URL": provider.issuer,
            "OAUTH2_PROXY_UPSTREAMS": f"http://127.0.0.1:{web}/",
        }
        command: list[str | Path] = [tool("oauth2-proxy")]
        log = tmp_path / "oauth2-proxy.log"
        with running(command, variables | NO_SYSTEM_CA, lambda: answers(port), log=log):
            servers = dict.fromkeys(SERVICES.values(), web) | {f"{PROXY}.langfuse-dev.svc.cluster.local": port}
            with gateway(tmp_path, stack.routes, servers, certificate) as public:
                yield Door(port=public, authority=certificate.authority, provider=provider, lenient=lenient)


def test_users_of_the_provider_reach_the_ui(door: Door) -> None:
    if door.lenient:
        door.provider.claims = {"email_verified": False, "roles": ["staff"]}
    signed_in = door.sign_in()
    assert signed_in.status_code == requests.codes.found, signed_in.text
    session = {name: value for name, value in signed_in.cookies.items() if value}
    page = door.send("/project/x", session)
    assert (page.status_code, page.text) == (requests.codes.ok, "/project/x None")
    assert any(CLIENT_SECRET in asked or "Basic " in asked for asked in door.provider.secrets)


def test_others_do_not(door: Door) -> None:
    door.provider.email = "somebody@elsewhere.example"
    assert door.sign_in().status_code == requests.codes.forbidden
    door.provider.email = "owner@example.com"
    door.provider.claims = {"roles": ["guests"]} if door.lenient else {"email_verified": False}
    assert not door.sign_in().ok
    assert urlsplit(door.send("/").headers["Location"]).path == "/authorize"
    assert door.send("/api/trpc/traces.all").status_code == requests.codes.unauthorized
    assert door.send("/", {"__Host-langfuse-proxy": "forged"}).status_code == requests.codes.found


@pytest.mark.parametrize("path", ["/api/public/health", "/api/public/otel/v1/traces", "/api/public/ingestion"])
def test_the_public_api_is_left_to_its_keys(door: Door, path: str) -> None:
    answer = door.send(path, Authorization="Basic cGs6c2s=")
    assert (answer.status_code, answer.text) == (requests.codes.ok, f"{path} Basic cGs6c2s=")


def test_files_and_closed_paths_are_as_without_it(door: Door) -> None:
    assert door.send("/langfuse-dev-media/x?X-Amz-Signature=y").status_code == requests.codes.ok
    assert door.send("/api/admin/organizations").status_code in {404, 500, 503}
