"""The rendered public routes. tests/edge tests them with Envoy and a browser."""

from typing import Any

import pytest

from components.langfuse import Langfuse
from components.network.ingress.component import ingress_kind
from components.schema.environment import Settings
from components.settings.load import parse
from components.settings.warnings import warnings
from tests.unit.configuration import HOST, only_problem, settings
from tests.unit.program import recorded
from tests.unit.recorder import Recording, record

EXTERNAL: dict[str, Any] = {
    "credentials": {"source": "existing", "secret": "langfuse-credentials"},
    "objectStore": {
        "mode": "external",
        "region": "eu-central-1",
        "buckets": {purpose: f"their-{purpose}" for purpose in ("events", "media", "exports", "backups")},
    },
}


def stack(**ingress: object) -> Recording:
    return recorded("dev", {"host": HOST, "ingress": ingress})


def space(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def labels(**found: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": found}}


def routes(recording: Recording, name: str = "langfuse") -> dict[str, dict[str, Any]]:
    return {route["name"]: route for route in recording.one("VirtualService", name).inputs["spec"]["http"]}


def test_one_host_serves_web_and_the_files_of_signed_links() -> None:
    found = routes(stack())
    assert list(found) == ["internal", "buckets", "web"]
    assert {match["uri"]["prefix"] for match in found["buckets"]["match"]} == {
        "/langfuse-dev-media/",
        "/langfuse-dev-exports/",
    }
    destination = found["web"]["route"][0]["destination"]
    assert destination == {"host": "langfuse-web", "port": {"number": 3000}}, "right whatever the domain of the cluster"


def test_files_can_have_their_own_host() -> None:
    recording = stack(bucketHost="files.example.net", gateway="edge/public")
    assert list(routes(recording)) == ["internal", "web"]
    spec = recording.one("VirtualService", "langfuse-buckets").inputs["spec"]
    assert (spec["hosts"], spec["gateways"]) == (["files.example.net"], ["edge/public"])
    assert routes(recording, "langfuse-buckets") == {"buckets": routes(stack())["buckets"]}


def test_an_external_store_has_no_route() -> None:
    assert list(routes(recorded("dev", {"host": HOST, **EXTERNAL}))) == ["internal", "web"]


def external(**store: str) -> dict[str, object]:
    return {**EXTERNAL, "objectStore": {**EXTERNAL["objectStore"], **store}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"ingress": {"bucketHost": "langfuse.example.com"}},
            'ingress.bucketHost: "langfuse.example.com" is the UI\'s host',
        ),
        (
            {"ingress": {"bucketHost": "files.example.net", "tls": False}},
            'ingress.bucketHost: "files.example.net" needs https',
        ),
        (
            {**EXTERNAL, "ingress": {"bucketHost": "files.example.net"}},
            'ingress.bucketHost: "files.example.net" has no effect on an external store',
        ),
        (
            external(publicEndpoint="https://langfuse.example.com"),
            'objectStore.publicEndpoint: "https://langfuse.example.com" is the UI\'s host',
        ),
    ],
)
def test_an_unusable_host_for_files_is_refused(config: dict[str, object], message: str) -> None:
    assert message in only_problem(config)


@pytest.mark.parametrize(
    "config",
    [
        {"ingress": {"bucketHost": "files.example.net"}},
        {"ingress": {"kind": "none", "bucketHost": "langfuse.example.com"}},
        {"ingress": {"kind": "none", "bucketUrl": "http://localhost:9000"}},
        external(publicEndpoint="https://s3.example.com"),
        {**external(publicEndpoint="https://langfuse.example.com"), "ingress": {"kind": "none"}},
    ],
)
def test_a_usable_host_for_files_is_accepted(config: dict[str, object]) -> None:
    settings(config)


def test_hsts_is_sent_only_with_tls() -> None:
    def headers(**ingress: object) -> set[str]:
        found = routes(stack(**ingress)).values()
        return {name for route in found for name in route.get("headers", {}).get("response", {}).get("set", {})}

    assert "strict-transport-security" in headers()
    assert "strict-transport-security" not in headers(tls=False)
    assert "headers" not in routes(stack(tls=False))["web"]


GATEWAY_API: dict[str, Any] = {"kind": "gateway-api", "gateway": "gateways/public"}
NGINX: dict[str, Any] = {"kind": "ingress", "controller": "nginx"}
TRAEFIK: dict[str, Any] = {"kind": "ingress", "controller": "traefik"}
OTHER: dict[str, Any] = {
    "kind": "ingress",
    "controller": "other",
    "bucketHost": "files.example.net",
    "proxy": {"namespace": "haproxy"},
}
CERTIFICATE = {"issuer": "letsencrypt"}


def test_a_route_of_the_gateway_api_uses_the_https_listener() -> None:
    spec = stack(**GATEWAY_API).one("HTTPRoute").inputs["spec"]
    (parent,) = spec["parentRefs"]
    assert (parent["namespace"], parent["name"], parent["sectionName"]) == ("gateways", "public", "https")
    assert spec["hostnames"] == ["langfuse.example.com"]


def test_requests_take_up_to_ten_minutes() -> None:
    rules = stack(**GATEWAY_API).one("HTTPRoute").inputs["spec"]["rules"]
    assert {rule["timeouts"]["request"] for rule in rules if "backendRefs" in rule} == {"600s", "3600s"}
    annotations = stack(**NGINX).one("Ingress", "langfuse").inputs["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "600"
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"


def test_plain_http_is_redirected_by_a_route_of_its_own() -> None:
    recording = stack(**GATEWAY_API, redirectListeners=["http"])
    spec = recording.one("HTTPRoute", "langfuse-redirect").inputs["spec"]
    assert [parent["sectionName"] for parent in spec["parentRefs"]] == ["http"]
    assert [rule.get("backendRefs") for rule in spec["rules"]] == [None]


def test_a_gateway_without_timeouts_gets_none_and_the_output_says_so() -> None:
    recording = stack(**GATEWAY_API, timeouts=False)
    assert not any("timeouts" in rule for rule in recording.one("HTTPRoute").inputs["spec"]["rules"])
    assert "The gateway lets requests take up to 600 seconds" in left_to_operator(**GATEWAY_API, timeouts=False)


def left_to_operator(**ingress: object) -> list[str]:
    return list(ingress_kind(settings({"ingress": ingress})).left_to_operator())


@pytest.mark.parametrize(
    ("ingress", "namespace", "secret"),
    [
        ({}, "istio-system", "langfuse-dev-tls"),
        ({"gateway": "apps/public", "proxy": {"namespace": "gateways"}}, "gateways", "langfuse-dev-tls"),
        ({**GATEWAY_API, "proxy": {"namespace": "envoy-gateway-system"}}, "gateways", "langfuse-dev-tls"),
        ({"certificate": {**CERTIFICATE, "secret": "public-tls"}}, "istio-system", "public-tls"),
    ],
)
def test_a_certificate_is_where_the_gateway_reads_it(ingress: dict[str, Any], namespace: str, secret: str) -> None:
    """Istio's gateway reads it in the namespace of its pods, a Gateway of the Gateway API in its own."""
    recording = stack(**{"certificate": CERTIFICATE, "bucketHost": "files.example.net", **ingress})
    found = recording.one("Certificate").inputs
    assert (found["metadata"]["namespace"], found["spec"]["secretName"]) == (namespace, secret)
    assert found["spec"]["dnsNames"] == ["langfuse.example.com", "files.example.net"]
    assert found["spec"]["issuerRef"] == {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "letsencrypt"}


def test_an_ingress_asks_for_its_certificate_by_annotation() -> None:
    recording = stack(**NGINX, certificate={**CERTIFICATE, "issuerKind": "Issuer"})
    assert not recording.of("Certificate")
    for item in (item for item in recording.of("Ingress") if item.custom):
        assert item.inputs["metadata"]["annotations"]["cert-manager.io/issuer"] == "letsencrypt"
        assert item.inputs["spec"]["tls"] == [{"hosts": ["langfuse.example.com"], "secretName": "langfuse-dev-tls"}]


OUTSIDE_ISSUER = {"issuer": "internal", "issuerKind": "AWSPCAClusterIssuer", "issuerGroup": "awspca.cert-manager.io"}


def test_certificates_come_from_issuers_outside_of_cert_manager_too() -> None:
    spec = stack(**GATEWAY_API, certificate=OUTSIDE_ISSUER).one("Certificate").inputs["spec"]
    expected = {"group": "awspca.cert-manager.io", "kind": "AWSPCAClusterIssuer", "name": "internal"}
    assert spec["issuerRef"] == expected
    annotations = (
        stack(**NGINX, certificate=OUTSIDE_ISSUER).one("Ingress", "langfuse").inputs["metadata"]["annotations"]
    )
    found = {key: value for key, value in annotations.items() if key.startswith("cert-manager.io/")}
    assert found == {
        "cert-manager.io/issuer": "internal",
        "cert-manager.io/issuer-kind": "AWSPCAClusterIssuer",
        "cert-manager.io/issuer-group": "awspca.cert-manager.io",
    }


@pytest.mark.parametrize("ingress", [{"gateway": "edge/public"}, GATEWAY_API])
def test_the_outputs_name_the_certificate_that_the_gateway_refers_to(ingress: dict[str, Any]) -> None:
    assert any("langfuse-dev-tls" in line for line in left_to_operator(**ingress, certificate=CERTIFICATE))


CHALLENGES = "langfuse-certificate-challenges"
ALLOW_CHALLENGES = "langfuse-allow-certificate-challenges"


@pytest.mark.parametrize(
    "ingress",
    [
        {**NGINX, "certificate": CERTIFICATE},
        {**TRAEFIK, "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}},
    ],
)
def test_the_proxy_reaches_the_pods_that_answer_challenges_of_a_certificate(ingress: dict[str, Any]) -> None:
    """With an annotation, cert-manager starts them in this namespace, where everything is denied by default."""
    spec = stack(**ingress).one("NetworkPolicy", f"{ALLOW_CHALLENGES}-ingress").inputs["spec"]
    assert spec["podSelector"]["matchLabels"] == {"acme.cert-manager.io/http01-solver": "true"}
    (rule,) = spec["ingress"]
    assert rule["from"] == [space({"nginx": "ingress-nginx"}.get(ingress["controller"], "traefik"))]
    assert [port["port"] for port in rule["ports"]] == [8089]


@pytest.mark.parametrize("in_mesh", [True, False])
def test_challenges_are_answered_in_an_ambient_mesh_too(*, in_mesh: bool) -> None:
    """Ambient mode takes in every pod of the namespace, also those of cert-manager."""
    ingress = {**NGINX, "certificate": CERTIFICATE, "proxy": {"mesh": in_mesh}}
    found = recorded("dev", {"ingress": ingress, "mesh": {"mode": "ambient"}})
    solver = {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    plain = found.one("PeerAuthentication", CHALLENGES).inputs["spec"]
    assert (plain["selector"], plain["portLevelMtls"]) == (solver, {"8089": {"mode": "PERMISSIVE"}})
    allowed = found.one("AuthorizationPolicy", ALLOW_CHALLENGES).inputs["spec"]
    assert (allowed["selector"], allowed["rules"]) == (solver, [{"to": [{"operation": {"ports": ["8089"]}}]}])


@pytest.mark.parametrize("ingress", [NGINX, {"certificate": CERTIFICATE}, {**GATEWAY_API, "certificate": CERTIFICATE}])
def test_without_challenges_in_the_namespace_nothing_is_opened(ingress: dict[str, Any]) -> None:
    assert not [item for item in stack(**ingress) if "certificate-challenges" in item.name]


def test_an_unknown_controller_gets_one_ingress_for_everything() -> None:
    """Some have a load balancer for each Ingress, or refuse a second one for the same host."""
    recording = stack(**OTHER, certificate=CERTIFICATE)
    (spec,) = [item.inputs["spec"] for item in recording.of("Ingress") if item.custom]
    paths = {
        rule["host"]: {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
        for rule in spec["rules"]
    }
    assert paths == {
        "langfuse.example.com": {
            "/api/admin": "langfuse-closed",
            "/api/internal": "langfuse-closed",
            "/": "langfuse-web",
        },
        "files.example.net": dict.fromkeys(("/langfuse-dev-media", "/langfuse-dev-exports"), "langfuse-object-store"),
    }
    assert spec["tls"] == [{"hosts": ["langfuse.example.com", "files.example.net"], "secretName": "langfuse-dev-tls"}]


def test_an_ingress_has_class_and_annotations() -> None:
    recording = stack(**NGINX, className="internal", annotations={"nginx.ingress.kubernetes.io/proxy-body-size": "1g"})
    found = recording.one("Ingress", "langfuse").inputs
    assert found["spec"]["ingressClassName"] == "internal"
    assert found["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "1g"


def test_closed_paths_of_traefik_do_not_depend_on_a_service_without_pods() -> None:
    """Traefik ignores such a path, and the route to web would take its requests."""
    found = stack(**TRAEFIK)
    (paths,) = [rule["http"]["paths"] for rule in found.one("Ingress", "langfuse-internal").inputs["spec"]["rules"]]
    assert {path["backend"]["service"]["name"] for path in paths} == {"langfuse-web"}
    assert found.one("Middleware", "langfuse-internal").inputs["spec"]["ipAllowList"]["rejectStatusCode"] == 404


@pytest.mark.parametrize(
    ("ingress", "peers"),
    [
        ({}, [space("istio-system")]),
        ({"gateway": "edge/public"}, [space("edge")]),
        ({**GATEWAY_API, "proxy": {"labels": {"app": "gw"}}}, [{**space("gateways"), **labels(app="gw")}]),
        ({**GATEWAY_API, "proxy": {"ranges": ["35.191.0.0/16"]}}, [{"ipBlock": {"cidr": "35.191.0.0/16"}}]),
        (NGINX, [space("ingress-nginx")]),
        (TRAEFIK, [space("traefik")]),
        ({**TRAEFIK, "proxy": {"namespace": "kube-system"}}, [space("kube-system")]),
        (OTHER, [space("haproxy")]),
        ({"kind": "none"}, []),
    ],
)
def test_only_the_proxy_of_the_kind_may_enter(ingress: dict[str, Any], peers: list[object]) -> None:
    recording = stack(**ingress)
    for server, port in (("web", 3000), ("object-store", 9000)):
        rules = recording.one("NetworkPolicy", f"langfuse-allow-{server}-ingress").inputs["spec"].get("ingress", [])
        found = [
            peer
            for rule in rules
            if port in {item["port"] for item in rule["ports"]}
            for peer in rule["from"]
            if "namespaceSelector" in peer or "ipBlock" in peer
        ]
        assert found == peers


@pytest.mark.parametrize(
    ("cluster", "controller", "namespace"),
    [
        ({"preset": "k3s"}, TRAEFIK, "kube-system"),
        ({"preset": "k3s"}, {**TRAEFIK, "proxy": {"namespace": "edge"}}, "edge"),
        ({"preset": "openshift"}, {"kind": "ingress", "controller": "other"}, "openshift-ingress"),
        ({"controllers": {"nginx": "ingress"}}, NGINX, "ingress"),  # MicroK8s
    ],
)
def test_the_controller_is_where_the_kind_of_cluster_has_it(
    cluster: dict[str, Any], controller: dict[str, Any], namespace: str
) -> None:
    found = recorded("dev", {"cluster": cluster, "ingress": {**controller, "bucketHost": "files.example.com"}})
    rules = found.one("NetworkPolicy", "langfuse-allow-web-ingress").inputs["spec"]["ingress"]
    peers = [peer for rule in rules for peer in rule["from"]]
    assert [peer for peer in peers if "namespaceSelector" in peer] == [space(namespace)]


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        (GATEWAY_API, True),
        ({"kind": "ingress", "controller": "other"}, True),
        ({**GATEWAY_API, "proxy": {"namespace": "envoy-gateway-system"}}, False),
        (NGINX, False),
        ({}, False),
    ],
)
def test_load_balancers_of_the_cloud_may_enter_where_they_can_be_the_proxy(
    ingress: dict[str, Any], *, expected: bool
) -> None:
    given = {**ingress, **({"bucketHost": "files.example.com"} if ingress.get("kind") == "ingress" else {})}
    found = recorded("dev", {"cluster": {"preset": "gke"}, "ingress": given})
    rules = found.one("NetworkPolicy", "langfuse-allow-web-ingress").inputs["spec"]["ingress"]
    ranges = {peer["ipBlock"]["cidr"] for rule in rules for peer in rule["from"] if "ipBlock" in peer}
    assert ({"35.191.0.0/16", "130.211.0.0/22"} <= ranges) is expected
    assert bool(ranges) is expected
    left = " ".join(ingress_kind(settings({"cluster": {"preset": "gke"}, "ingress": given})).left_to_operator())
    assert ("Health checks of the load balancer" in left) is expected


@pytest.mark.parametrize("ingress", [NGINX, TRAEFIK, OTHER, {"kind": "none"}, GATEWAY_API])
def test_the_outputs_say_what_is_left_to_the_operator(ingress: dict[str, Any]) -> None:
    chosen = settings({"ingress": ingress})
    left = list(ingress_kind(chosen).left_to_operator())
    assert left
    shown = langfuse_outputs(chosen)
    assert shown["publicRoute"] == {"kind": ingress["kind"], "leftToOperator": left}
    assert all(line in str(shown["readme"]) for line in left)


@pytest.mark.parametrize("ingress", [{"kind": "none"}, OTHER])
def test_the_outputs_say_who_closes_internal_paths(ingress: dict[str, Any]) -> None:
    assert any("/api/admin and /api/internal" in line for line in left_to_operator(**ingress))


def langfuse_outputs(chosen: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    record(lambda: found.update(Langfuse("langfuse", chosen).outputs))
    return found


def test_with_a_port_forward_links_lead_to_this_machine() -> None:
    ingress = {"kind": "none", "publicUrl": "http://localhost:3000", "bucketUrl": "http://localhost:9000"}
    chosen = parse("dev", {"ingress": ingress})
    assert (chosen.host, chosen.public_url, chosen.bucket_url) == (
        "localhost",
        "http://localhost:3000",
        "http://localhost:9000",
    )


@pytest.mark.parametrize("ingress", [GATEWAY_API, NGINX, TRAEFIK, OTHER])
def test_signed_links_use_the_public_host_of_every_kind(ingress: dict[str, Any]) -> None:
    host = ingress.get("bucketHost", "langfuse.example.com")
    assert settings({"ingress": ingress}).bucket_url == f"https://{host}"


def test_callers_that_may_be_outside_the_mesh_are_warned_about() -> None:
    def shown(**config: object) -> list[str]:
        return [line for line in warnings(settings(config)) if line.startswith("mesh.outsideClients")]

    clients = {"network": {"webClients": ["apps"]}}
    (line,) = shown(**clients)
    assert "pods of apps can connect only if they are in the mesh" in line
    assert not shown(**clients, mesh={"outsideClients": []})
    assert not shown(**clients, mesh={"mode": "none"})
    assert not shown()


SIGN_IN: dict[str, Any] = {
    "issuer": "https://sso.example.com:8443/realms/main",
    "clientId": "langfuse",
    "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
}


def test_the_gateway_asks_an_authorizer_about_everything_but_the_public_api_and_files() -> None:
    recording = stack(proxy={"labels": {"istio": "public"}, "namespace": "edge"}, authentication={"provider": "sso"})
    found = recording.one("AuthorizationPolicy", "langfuse-dev-sign-in").inputs
    assert found["metadata"]["namespace"] == "edge"
    assert found["spec"]["selector"]["matchLabels"] == {"istio": "public"}
    assert (found["spec"]["action"], found["spec"]["provider"]) == ("CUSTOM", {"name": "sso"})
    (rule,) = found["spec"]["rules"]
    operation = rule["to"][0]["operation"]
    assert operation["hosts"] == ["langfuse.example.com", "langfuse.example.com:*"]
    assert operation["notPaths"] == [
        "/api/public",
        "/api/public/*",
        "/langfuse-dev-media/*",
        "/langfuse-dev-exports/*",
    ]


def test_an_authorizer_needs_the_labels_of_its_gateway() -> None:
    assert "ingress.proxy.labels: are required" in only_problem({"ingress": {"authentication": {"provider": "sso"}}})


TOKENS = {
    "issuer": "https://cloud.google.com/iap",
    "jwksUri": "https://www.gstatic.com/iap/verify/public_key-jwk",
    "audiences": ["/projects/1/global/backendServices/2"],
    "header": "X-Goog-IAP-JWT-Assertion",
}
EDGE = {"labels": {"istio": "public"}, "namespace": "edge"}


def test_the_gateway_requires_tokens_for_everything_but_the_public_api_and_files() -> None:
    recording = stack(proxy=EDGE, authentication={"tokens": TOKENS})
    checks = recording.one("RequestAuthentication").inputs
    denies = recording.one("AuthorizationPolicy", "langfuse-dev-sign-in-tokens").inputs
    for item in (checks, denies):
        assert item["metadata"]["namespace"] == "edge"
        assert item["spec"]["selector"] == {"matchLabels": {"istio": "public"}}
    assert checks["spec"]["jwtRules"] == [
        {
            "issuer": TOKENS["issuer"],
            "jwksUri": TOKENS["jwksUri"],
            "audiences": TOKENS["audiences"],
            "fromHeaders": [{"name": "x-goog-iap-jwt-assertion"}],
        }
    ]
    (rule,) = denies["spec"]["rules"]
    assert (denies["spec"]["action"], rule["from"]) == (
        "DENY",
        [{"source": {"notRequestPrincipals": ["https://cloud.google.com/iap/*"]}}],
    )
    asked = stack(proxy=EDGE, authentication={"provider": "sso", "tokens": TOKENS})
    (other,) = asked.one("AuthorizationPolicy", "langfuse-dev-sign-in").inputs["spec"]["rules"]
    assert rule["to"] == other["to"]


@pytest.mark.parametrize(
    ("authentication", "message"),
    [
        ({}, "ingress.authentication: asks for nothing; set provider or tokens"),
        ({"tokens": {**TOKENS, "header": "Authorization"}}, "is where SDKs send the keys of a project"),
        ({"tokens": {**TOKENS, "header": "x goog"}}, "is not the name of a header"),
        ({"tokens": {**TOKENS, "audiences": []}}, "ingress.authentication.tokens.audiences"),
        ({"tokens": {**TOKENS, "issuer": "cloud.google.com/iap"}}, "is not a URL"),
    ],
)
def test_tokens_that_would_check_nothing_or_too_much_are_refused(authentication: object, message: str) -> None:
    assert message in only_problem({"ingress": {"proxy": EDGE, "authentication": authentication}})


@pytest.mark.parametrize("ingress", [GATEWAY_API, NGINX])
def test_the_sign_in_proxy_is_between_the_route_and_web(ingress: dict[str, Any]) -> None:
    recording = stack(**ingress, authentication=SIGN_IN)

    def clients(server: str) -> set[str]:
        spec = recording.one("NetworkPolicy", f"langfuse-allow-{server}-ingress").inputs["spec"]
        peers = [peer for rule in spec["ingress"] for peer in rule["from"]]
        selectors = [peer["podSelector"] for peer in peers if "podSelector" in peer]
        return {name for item in selectors for one in item["matchExpressions"] for name in one["values"]}

    assert clients("web") == {"oauth2-proxy", "replay-events", "backup-before-upgrade"}
    assert clients("oauth2-proxy") == set()
    rules = recording.one("NetworkPolicy", "langfuse-allow-sign-in-proxy-egress").inputs["spec"]["egress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} >= {443, 8443}


def test_the_credentials_of_the_sign_in_proxy_are_references() -> None:
    recording = stack(**GATEWAY_API, authentication=SIGN_IN)
    (proxy,) = recording.one("Deployment", "langfuse-oauth2-proxy").inputs["spec"]["template"]["spec"]["containers"]
    refs = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in proxy["env"] if "valueFrom" in item}
    assert refs["OAUTH2_PROXY_CLIENT_SECRET"] == {"name": "sso", "key": "SECRET"}
    assert refs["OAUTH2_PROXY_COOKIE_SECRET"] == {"name": "langfuse-oauth2-proxy", "key": "cookie-secret"}
    urls = langfuse_outputs(settings({"ingress": {**GATEWAY_API, "authentication": SIGN_IN}}))["callbackUrls"]
    assert urls == {"ingress": "https://langfuse.example.com/oauth2/callback"}


def proxy_variables(**authentication: object) -> dict[str, Any]:
    recording = stack(**GATEWAY_API, authentication={**SIGN_IN, **authentication})
    (proxy,) = recording.one("Deployment", "langfuse-oauth2-proxy").inputs["spec"]["template"]["spec"]["containers"]
    return {item["name"].removeprefix("OAUTH2_PROXY_"): item.get("value") for item in proxy["env"]}


def test_providers_differ_in_scopes_claims_and_verified_addresses() -> None:
    found = proxy_variables(
        scopes=["email", "groups"], groupsClaim="cognito:groups", groups=["a", "/b c"], unverifiedEmails=True
    )
    assert found["SCOPE"] == "openid email groups"
    assert (found["OIDC_GROUPS_CLAIM"], found["ALLOWED_GROUPS"]) == ("cognito:groups", "a,/b c")
    assert found["INSECURE_OIDC_ALLOW_UNVERIFIED_EMAIL"] == "true"
    default = proxy_variables()
    assert default["SCOPE"] == "openid email profile"
    assert not {"ALLOWED_GROUPS", "INSECURE_OIDC_ALLOW_UNVERIFIED_EMAIL"} & default.keys()


@pytest.mark.parametrize(("key", "value"), [("groups", "cn=a,ou=b"), ("groups", ""), ("scopes", "openid email")])
def test_what_oauth2_proxy_would_divide_is_refused(key: str, value: str) -> None:
    message = only_problem({"ingress": {**GATEWAY_API, "authentication": {**SIGN_IN, key: [value]}}})
    assert f"ingress.authentication.{key}.0: " in message


def test_a_generated_secret_of_the_client_is_refused() -> None:
    without = {key: value for key, value in SIGN_IN.items() if key != "clientSecret"}
    message = only_problem({"ingress": {**GATEWAY_API, "authentication": without}})
    assert "ingress.authentication.clientSecret: is required" in message
