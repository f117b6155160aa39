"""The addresses that the application calls, as its configuration names them."""

from typing import Any

import pytest

from components.application.outbound import allowed_targets, called_endpoints, sign_in_proxy_environment
from components.settings.warnings import warnings
from components.stores.connections import Endpoint
from tests.unit.configuration import only_problem, settings
from tests.unit.pods import container, containers, variables
from tests.unit.program import recorded


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.monitoring.svc:4318", ("collector.monitoring.svc", 4318)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[fd12::f]:4318/v1", ("fd12::f", 4318)),
        ("HTTPS_PROXY", "http://proxy.example.org:3128", ("proxy.example.org", 3128)),
        ("HTTPS_PROXY", "proxy.example.org:3128", ("proxy.example.org", 3128)),
        ("HTTPS_PROXY", "[fd12::f]:3128", ("fd12::f", 3128)),
        ("LANGFUSE_INGESTION_MASKING_CALLBACK_URL", "https://mask.example.org/x", ("mask.example.org", 443)),
        ("REDIS_CONNECTION_STRING", "redis://cache.example.org", ("cache.example.org", 6379)),
    ],
)
def test_a_variable_with_an_address_is_called(name: str, value: str, found: tuple[str, int]) -> None:
    assert [(one.host, one.port) for one in called_endpoints({name: value})] == [found]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_PROXY", "db.example.org:5432"),
        ("HOSTNAME", "::"),
        ("NEXT_PUBLIC_POSTHOG_HOST", "https://posthog.example.org"),
        ("LANGFUSE_UI_SUPPORT_HREF", "https://help.example.org"),
        ("LANGFUSE_CACHE_PROMPT_TTL", "300"),
        ("TZ", "UTC"),
        ("SOME_TIME", "12:30"),
        ("SOME_TEXT", "not://a url: with:99999 words"),
    ],
)
def test_a_variable_without_an_address_is_not(name: str, value: str) -> None:
    assert called_endpoints({name: value}) == []


def test_a_host_can_have_its_port_in_another_variable() -> None:
    assert called_endpoints({"MY_HOST": "a.example.org", "MY_PORT": "99"}) == [Endpoint(host="a.example.org", port=99)]
    agent = called_endpoints({"DD_AGENT_HOST": "datadog", "DD_DOGSTATSD_PORT": "8200"})
    assert {(one.port, one.protocol) for one in agent} == {(8200, "UDP"), (8126, "TCP")}


def test_variables_can_allow_targets() -> None:
    variables = {
        "LANGFUSE_HTTP_EVAL_WHITELISTED_HOST": "judge.evaluators.svc, judge.example.org",
        "LANGFUSE_HTTP_EVAL_WHITELISTED_IPS": "10.0.0.7",
        "LANGFUSE_HTTP_EVAL_ALLOWED_PORTS": "443,8443",
    }
    *_, last = allowed_targets(settings({"extraEnv": variables}))
    assert (last.hosts, last.ips, last.ports) == (
        ["judge.evaluators.svc", "judge.example.org"],
        ["10.0.0.7"],
        [443, 8443],
    )


def test_an_address_in_a_secret_is_a_warning() -> None:
    def about(**variables: object) -> list[str]:
        return [text for text in warnings(settings({"extraEnv": variables})) if "has its address in a Secret" in text]

    secret = {"secret": "mine", "key": "value"}
    (found,) = about(HTTPS_PROXY=secret)
    assert found.startswith("extraEnv.HTTPS_PROXY: ")
    assert "network.egress" in found
    assert not about(AWS_SECRET_ACCESS_KEY=secret, HTTPS_PROXY="http://proxy.example.org:3128")


PROXY: dict[str, Any] = {"url": "http://proxy.example.com:3128", "exceptions": [".intranet.example.com", "10.0.0.0/8"]}
OFF_SITE = {"offSite": {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}}


def test_everything_that_calls_out_has_the_proxy_and_a_way_to_it() -> None:
    providers = {"google": {"clientId": "langfuse", "clientSecret": {"source": "existing", "secret": "s", "key": "k"}}}
    found = recorded("dev", {"network": {"proxy": PROXY}, "backups": OFF_SITE, "signIn": {"providers": providers}})
    web = variables(container(found.one("Deployment", "langfuse-web")))
    given = {name: web[name] for name in ("HTTPS_PROXY", "NO_PROXY", "AUTH_HTTPS_PROXY")}
    assert given["HTTPS_PROXY"] == given.pop("AUTH_HTTPS_PROXY") == PROXY["url"]
    direct = given["NO_PROXY"].split(",")
    assert {"localhost", ".svc", "langfuse-object-store", "langfuse-clickhouse", *PROXY["exceptions"]} <= {*direct}
    copies = containers(found.one("CronJob", "langfuse-backup-off-site"))
    for one in (container(found.one("Deployment", "langfuse-worker")), *copies):
        assert {name: variables(one).get(name) for name in given} == given, one["name"]
    spec = found.one("NetworkPolicy", "langfuse-allow-proxy-egress").inputs["spec"]
    clients = set(spec["podSelector"]["matchExpressions"][0]["values"])
    assert {"web", "worker", "first-start", "migrations", "backup-off-site"} <= clients
    assert {port["port"] for rule in spec["egress"] for port in rule.get("ports", [])} >= {3128}


@pytest.mark.parametrize(
    ("issuer", "proxied"),
    [
        ("https://sso.example.org", True),
        ("https://sso.intranet.example.com", False),
        ("https://10.1.2.3:8443", False),
        ("https://keycloak.identity.svc", False),
    ],
)
def test_the_sign_in_uses_the_proxy_unless_its_provider_is_an_exception(issuer: str, *, proxied: bool) -> None:
    secret = {"source": "existing", "secret": "s", "key": "k"}
    providers = {"keycloak": {"clientId": "langfuse", "clientSecret": secret, "issuer": issuer}}
    found = settings({"network": {"proxy": PROXY}, "signIn": {"providers": providers}})
    assert bool(sign_in_proxy_environment(found)) is proxied


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ({"url": "http://user:hunter2@proxy.example.com:3128"}, "network.proxy.url"),
        ({**PROXY, "exceptions": ["*.example.com"]}, "is not a host, a domain or an IP range"),
        ({**PROXY, "exceptions": ["https://example.com"]}, "is not a host, a domain or an IP range"),
        ({**PROXY, "exceptions": ["example.com:8080"]}, "is not a host, a domain or an IP range"),
        ({**PROXY, "exceptions": ["10.0.0.1/8"]}, "without host bits"),
    ],
)
def test_a_proxy_that_cannot_work_is_refused(proxy: dict[str, object], problem: str) -> None:
    error = only_problem({"network": {"proxy": proxy}})
    assert problem in error
    assert "hunter2" not in error


def test_a_variable_of_the_proxy_has_one_place() -> None:
    error = only_problem({"network": {"proxy": PROXY}, "extraEnv": {"NO_PROXY": ".example.com"}})
    assert "extraEnv.NO_PROXY: is set by langfuse:network.proxy; change that key" in error
