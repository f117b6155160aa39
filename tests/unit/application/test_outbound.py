"""The addresses that the application calls, as its configuration names them."""

import pytest

from components.application.outbound import allowed_targets, called_endpoints
from components.settings.warnings import warnings
from components.stores.connections import Endpoint
from tests.unit.configuration import settings


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
