"""Tokens that Istio's gateway requires: the rendered policies as Envoy's filters, in front of the rendered routes.

istiod makes these filters (istio.io/istio, pilot/pkg/security/authn/policy_applier.go and pilot/pkg/security/authz).
Fields that are not translated are an error.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.edge.envoy import Certificate, gateway, only
from tests.edge.identity_provider import key_set, signed
from tests.edge.site import HOST, SERVICES, Stack
from tests.http_server import QuietHandler, http_server

Json = dict[str, Any]

ISSUER, AUDIENCE, HEADER = "https://cloud.google.com/iap", "/projects/1/global/backendServices/2", "x-token"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "accounts.google.com:1"}
JWT = "envoy.filters.http.jwt_authn"
TYPE = "type.googleapis.com/envoy.extensions.filters.http"


def token_filter(spec: Json, keys: Mapping[str, object]) -> Json:
    """Checks the tokens of requests that have one."""
    only(spec, "selector", "jwtRules")
    (rule,) = spec["jwtRules"]
    only(rule, "issuer", "audiences", "fromHeaders", "jwksUri")
    provider = {
        "issuer": rule["issuer"],
        "audiences": rule["audiences"],
        "from_headers": rule["fromHeaders"],
        "local_jwks": {"inline_string": json.dumps(keys)},
        "payload_in_metadata": "payload",
    }
    requirements = [{"provider_name": "origins-0"}, {"allow_missing": {}}]
    config = {
        "@type": f"{TYPE}.jwt_authn.v3.JwtAuthentication",
        "providers": {"origins-0": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": requirements}}}],
    }
    return {"name": JWT, "typed_config": config}


def deny_filter(spec: Json) -> Json:
    """Denies requests by their host, path and token."""
    only(spec, "selector", "action", "rules")
    assert spec["action"] == "DENY"
    (rule,) = spec["rules"]
    only(rule, "from", "to")
    (source,), (target,) = rule["from"], rule["to"]
    only(source["source"], "notRequestPrincipals")
    only(target["operation"], "hosts", "notPaths")
    hosts = [{"header": {"name": ":authority", "string_match": text(host)}} for host in target["operation"]["hosts"]]
    paths = [{"url_path": {"path": text(path)}} for path in target["operation"]["notPaths"]]
    permissions = [{"or_rules": {"rules": hosts}}, {"not_rule": {"or_rules": {"rules": paths}}}]
    (principal,) = source["source"]["notRequestPrincipals"]
    policy = {
        "permissions": [{"and_rules": {"rules": permissions}}],
        "principals": [{"not_id": {"and_ids": {"ids": claims(principal)}}}],
    }
    config = {"@type": f"{TYPE}.rbac.v3.RBAC", "rules": {"action": "DENY", "policies": {"tokens": policy}}}
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def claims(principal: str) -> list[Json]:
    """A principal is issuer and subject."""
    issuer, _, subject = principal.rpartition("/")
    assert subject == "*"
    any_text = {"safe_regex": {"regex": ".+"}}
    return [
        {"metadata": {"filter": JWT, "path": [{"key": "payload"}, {"key": key}], "value": {"string_match": match}}}
        for key, match in (("iss", {"exact": issuer}), ("sub", any_text))
    ]


def text(pattern: str) -> Json:
    """A text that may end with `*`."""
    return {"prefix": pattern[:-1]} if pattern.endswith("*") else {"exact": pattern}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The gateway, and the key of the issuer."""

    port: int
    authority: Path
    key: rsa.RSAPrivateKey

    def send(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        """Send a request with its path as it is."""
        sent = {"Host": HOST, **({HEADER: token} if token else {}), **headers}
        request = requests.Request("GET", "https://127.0.0.1", headers=sent).prepare()
        request.url = f"https://127.0.0.1:{self.port}{path}"
        with requests.Session() as session:
            return session.send(request, verify=str(self.authority), timeout=10, allow_redirects=False)


@pytest.fixture(scope="module")
def gate(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    class Web(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  # named by the base class
            content = f"{self.path} {self.headers.get(HEADER)} {self.headers.get('Authorization')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    tokens = {"issuer": ISSUER, "audiences": [AUDIENCE], "header": HEADER}
    stack = Stack(ingress={"proxy": {"labels": {"istio": "public"}}, "authentication": {"tokens": tokens}})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    checks = stack.recording.one("RequestAuthentication").inputs["spec"]
    denies = stack.recording.one("AuthorizationPolicy", "langfuse-dev-sign-in-tokens").inputs["spec"]
    filters = [token_filter(checks, key_set(key)), deny_filter(denies)]
    with http_server(Web) as web:
        servers = dict.fromkeys(SERVICES.values(), web)
        with gateway(tmp_path_factory.mktemp("gate"), stack.routes, servers, certificate, filters) as port:
            yield Gate(port=port, authority=certificate.authority, key=key)


def test_a_token_of_the_issuer_leads_to_the_ui_and_stays_at_the_gateway(gate: Gate) -> None:
    answer = gate.send("/project/x", signed(CLAIMS, gate.key))
    assert (answer.status_code, answer.text) == (requests.codes.ok, "/project/x None None")


@pytest.mark.parametrize(
    "changed", [{"aud": "/projects/2"}, {"iss": "https://elsewhere.example"}, {"exp": 1}, {"sub": ""}], ids=str
)
def test_other_tokens_do_not(gate: Gate, changed: Mapping[str, object]) -> None:
    refused = {requests.codes.unauthorized, requests.codes.forbidden}
    assert gate.send("/project/x", signed({**CLAIMS, **changed}, gate.key)).status_code in refused


def test_a_forged_token_does_not(gate: Gate) -> None:
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert gate.send("/project/x", signed(CLAIMS, forger)).status_code == requests.codes.unauthorized


@pytest.mark.parametrize(
    "path", ["/", "/api/trpc/traces.all", "/api/auth/session", "/api/publicity", "/api/public/../trpc/x", "//x"]
)
def test_without_a_token_nothing_of_the_ui_is_reached(gate: Gate, path: str) -> None:
    assert gate.send(path).status_code == requests.codes.forbidden
    assert gate.send(path, Host=f"{HOST}:443").status_code == requests.codes.forbidden


@pytest.mark.parametrize("keys", ["Basic cGs6c2s=", "Bearer pk-lf-1234"])
@pytest.mark.parametrize(
    "path", ["/api/public/health", "/api/public/ready", "/api/public/otel/v1/traces", "/api/public/mcp"]
)
def test_the_public_api_is_left_to_its_keys(gate: Gate, path: str, keys: str) -> None:
    answer = gate.send(path, Authorization=keys)
    assert (answer.status_code, answer.text) == (requests.codes.ok, f"{path} None {keys}")


def test_signed_links_and_closed_paths_are_as_without_it(gate: Gate) -> None:
    assert gate.send("/langfuse-dev-media/x?X-Amz-Signature=y").status_code == requests.codes.ok
    assert gate.send("/api/admin/organizations", signed(CLAIMS, gate.key)).status_code == requests.codes.not_found
