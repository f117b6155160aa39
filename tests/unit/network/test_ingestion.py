"""The public API on pods of its own (`web.ingestion`)."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.unit.pods import container, variables
from tests.unit.program import recorded

INGESTION: Mapping[str, Any] = {
    "web": {"ingestion": {"replicas": 3, "resources": {"cpu": "1", "cpuLimit": "2", "memory": "2Gi"}}}
}


def of_virtual_service(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for route in spec["http"]:
        for match in route.get("match", [{"uri": {"exact": "/"}}]):
            for one in route.get("route", []):
                yield str(match["uri"].get("exact")), one["destination"]["host"]


def of_http_route(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for rule in spec["rules"]:
        for one in rule.get("backendRefs", []):
            yield from ((match["path"]["value"], one["name"]) for match in rule["matches"])


def of_ingress(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for rule in spec["rules"]:
        yield from ((path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"])


READERS = {"VirtualService": of_virtual_service, "HTTPRoute": of_http_route, "Ingress": of_ingress}


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "istio"},
        {"kind": "gateway-api", "gateway": "gateways/public"},
        {"kind": "ingress", "controller": "nginx"},
        {
            "kind": "ingress",
            "controller": "other",
            "proxy": {"namespace": "haproxy"},
            "bucketHost": "files.example.net",
        },
    ],
    ids=str,
)
def test_the_public_api_leads_to_its_own_pods(config: Mapping[str, object]) -> None:
    found: dict[str, str] = {}
    for item in recorded("prod", {**INGESTION, "ingress": config}):
        if item.custom and item.kind in READERS:
            found.update(READERS[item.kind](item.inputs["spec"]))
    assert found["/api/public"] == "langfuse-web-ingestion"
    assert found["/"] == "langfuse-web"


def test_pods_of_the_public_api_differ_from_those_of_the_ui_in_numbers_only() -> None:
    recording = recorded("prod", {**INGESTION, "clients": {"gateway": {"kind": "sdk", "namespace": "apps"}}})
    ui, api = (recording.one("Deployment", name) for name in ("langfuse-web", "langfuse-web-ingestion"))
    assert api.inputs["spec"]["replicas"] == 3
    assert {**variables(container(api)), "NODE_OPTIONS": ""} == {**variables(container(ui)), "NODE_OPTIONS": ""}
    assert str(variables(container(api))["NODE_OPTIONS"]).startswith("--max-old-space-size=1536")
    assert container(api)["readinessProbe"] == container(ui)["readinessProbe"]
    for kind in ("PodDisruptionBudget", "Service"):
        selector = recording.one(kind, api.name).inputs["spec"]["selector"]
        assert selector.get("matchLabels", selector) == api.inputs["spec"]["selector"]["matchLabels"]
    hosts = {item.inputs["data"].get("LANGFUSE_HOST") for item in recording.of("ConfigMap")} - {None}
    assert hosts == {"http://langfuse-web-ingestion.langfuse-prod.svc:3000"}
