"""What `operations health` says about the objects of a route: with the conditions that controllers write."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from typer.testing import CliRunner

from operations import cluster
from operations.__main__ import app
from operations.pulumi import Pulumi
from operations.routes import problems
from tests.unit.program import recorded

Json = dict[str, Any]

GATEWAY_API = {"ingress": {"kind": "gateway-api", "gateway": "gateways/public", "certificate": {"issuer": "acme"}}}
NGINX = {"ingress": {"kind": "ingress", "controller": "nginx", "certificate": {"issuer": "acme"}}}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = condition("Ready", "True")


class Cluster:
    """Objects of a stack as the API server has them, with what controllers add."""

    def __init__(self, config: Mapping[str, Any], *others: Json) -> None:
        self.objects = [
            copy.deepcopy(item.inputs) for item in recorded("dev", config) if item.custom and "kind" in item.inputs
        ]
        self.live = {self.key(item): copy.deepcopy(item) for item in (*self.objects, *others)}

    @staticmethod
    def key(item: Mapping[str, Any]) -> tuple[str, str, str]:
        return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]

    def set(self, kind: str, name: str, **fields: object) -> None:
        for key in [key for key in self.live if key[0] == kind and key[2] == name]:
            self.live[key] |= fields

    def get(self, wanted: Mapping[str, Any]) -> Json | None:
        return self.live.get(self.key(wanted))

    @property
    def problems(self) -> list[str]:
        return list(problems(self.objects, self.get))


def gateway(name: str, **fields: object) -> Json:
    namespace, _, own = name.partition("/")
    return {"kind": "Gateway", "metadata": {"namespace": namespace, "name": own}, **fields}


def route(*conditions: Json, listener: str = "https") -> Json:
    reference = {"namespace": "gateways", "name": "public", "sectionName": listener}
    return {"parents": [{"parentRef": reference, "conditions": conditions}]}


ACCEPTED = condition("Accepted", "True"), condition("ResolvedRefs", "True")


@pytest.mark.parametrize(
    ("status", "listeners", "certificate", "expected"),
    [
        (route(*ACCEPTED), [], [READY], []),
        ({}, [], [READY], ["HTTPRoute langfuse-dev/langfuse: Gateway gateways/public, listener https: no controller"]),
        (
            route(condition("Accepted", "False", "NotAllowedByListeners", "no listener admits it"), ACCEPTED[1]),
            [],
            [READY],
            ["listener https: Accepted is False (NotAllowedByListeners, no listener admits it)"],
        ),
        (
            route(*ACCEPTED, listener="other"),
            [],
            [READY],
            ["listener https: no controller has answered"],
        ),
        (
            route(*ACCEPTED),
            [
                {"name": "https", "conditions": [condition("ResolvedRefs", "False", "InvalidCertificateRef")]},
                {"name": "https", "conditions": [condition("Conflicted", "False", "NoConflicts")]},
                {"name": "http", "conditions": [condition("Programmed", "False")]},
            ],
            [READY],
            ["listener https: ResolvedRefs is False (InvalidCertificateRef)"],
        ),
        (
            route(*ACCEPTED),
            [],
            [condition("Ready", "False", "DoesNotExist", "Issuing"), condition("Issuing", "True")],
            ["Certificate gateways/langfuse-dev-tls: Ready is False (DoesNotExist, Issuing)"],
        ),
        (route(*ACCEPTED), [], [], ["Certificate gateways/langfuse-dev-tls: cert-manager has not answered"]),
    ],
)
def test_a_route_of_the_gateway_api(
    status: Json, listeners: Sequence[Json], certificate: Sequence[Json], expected: Sequence[str]
) -> None:
    found = Cluster(GATEWAY_API, gateway("gateways/public", status={"listeners": listeners}))
    found.set("HTTPRoute", "langfuse", status=status)
    found.set("Certificate", "langfuse-dev-tls", status={"conditions": certificate})
    assert len(found.problems) == len(expected), found.problems
    assert all(part in whole for part, whole in zip(expected, found.problems, strict=True)), found.problems


def test_a_gateway_that_does_not_exist() -> None:
    found = Cluster(GATEWAY_API)
    assert "HTTPRoute langfuse-dev/langfuse: the Gateway gateways/public does not exist" in found.problems
    assert Cluster({}).problems == [
        "VirtualService langfuse-dev/langfuse: the Gateway istio-system/public does not exist"
    ]


@pytest.mark.parametrize(
    ("hosts", "serves"),
    [
        (["*"], True),
        (["*/dev.example.com"], True),
        (["langfuse-dev/*.example.com"], True),
        (["other/*", "*.example.org"], False),
        (["./*"], False),
        (["example.com", "*.dev.example.com"], False),
    ],
)
def test_a_gateway_of_istio_has_to_serve_the_host(hosts: list[str], *, serves: bool) -> None:
    found = Cluster({}, gateway("istio-system/public", spec={"servers": [{"hosts": hosts}]}))
    expected = "VirtualService langfuse-dev/langfuse: the Gateway istio-system/public does not serve dev.example.com"
    assert found.problems == ([] if serves else [expected])


def test_ingresses_without_a_controller_or_certificate() -> None:
    found = Cluster(NGINX)
    for text in (
        "Ingress langfuse-dev/langfuse: no controller of the default class has reported an address",
        "Ingress langfuse-dev/langfuse: cert-manager has not created the Certificate langfuse-dev-tls",
    ):
        assert any(text in line for line in found.problems), found.problems
    pending = [condition("Ready", "False", "DoesNotExist", "waits for the challenge")]
    certificate = {"metadata": {"namespace": "langfuse-dev", "name": "langfuse-dev-tls"}}
    issuing = Cluster(NGINX, {"kind": "Certificate", **certificate, "status": {"conditions": pending}})
    for name in ("langfuse", "langfuse-internal", "langfuse-buckets"):
        issuing.set("Ingress", name, status={"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    assert {line.partition(": ")[2] for line in issuing.problems} == {
        "Certificate langfuse-dev-tls: Ready is False (DoesNotExist, waits for the challenge)"
    }


def test_an_object_that_somebody_deleted() -> None:
    found = Cluster(NGINX)
    del found.live["Ingress", "langfuse-dev", "langfuse"]
    assert "Ingress langfuse-dev/langfuse: does not exist" in found.problems


def test_health_says_why_nobody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Cluster({})
    outputs = {"url": "http://127.0.0.1:9", "versions": {"langfuse": "4.82.0"}}
    monkeypatch.setattr(Pulumi, "outputs", lambda _: outputs)
    monkeypatch.setattr(Pulumi, "objects", lambda _: found.objects)
    monkeypatch.setattr(cluster.Cluster, "of", lambda _: found)
    result = CliRunner().invoke(app, ["health", "--stack", "dev", "--attempts", "1"])
    assert result.exit_code != 0
    assert "the Gateway istio-system/public does not exist" in result.output
