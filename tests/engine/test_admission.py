"""The API server admits every object to a namespace that enforces PodSecurity's `restricted`."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.engine.kube import Kube
from tests.judges.admission import admission
from tests.judges.manifests import manifests
from tests.judges.verdicts import CONTROLS


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_is_admitted(kube: Kube, stack: str) -> None:
    objects = manifests(stack)
    verdicts = list(admission(objects, kube.kubeconfig))
    assert [one for one in verdicts if not one.passed] == []
    judged = {one.subject for one in verdicts if one.check in CONTROLS.values()}
    kinds = {"CronJob", "Deployment", "Job", "StatefulSet"}
    assert judged == {f"{one['kind']}/{one['metadata']['name']}" for one in objects if one["kind"] in kinds}


CERTIFICATE = {"certificate": {"issuer": "letsencrypt"}}
WAYS_IN: dict[str, dict[str, Any]] = {
    "istio": {
        "ingress": {
            "kind": "istio",
            "proxy": {"labels": {"istio": "ingressgateway"}},
            "authentication": {
                "provider": "sso",
                "tokens": {
                    "issuer": "https://sso.example.com",
                    "jwksUri": "https://sso.example.com/keys",
                    "audiences": ["langfuse"],
                    "header": "x-token",
                },
            },
            **CERTIFICATE,
        }
    },
    "gateway-api": {
        "ingress": {
            "kind": "gateway-api",
            "gateway": "gateways/public",
            "redirectListeners": ["http"],
            "bucketHost": "files.example.net",
            **CERTIFICATE,
        }
    },
    "nginx": {
        "ingress": {"kind": "ingress", "controller": "nginx", "proxy": {"mesh": False}, **CERTIFICATE},
        "mesh": {"mode": "sidecar", "revision": "1-27"},
    },
    "traefik": {"ingress": {"kind": "ingress", "controller": "traefik", "className": "traefik"}},
}


@pytest.mark.parametrize("name", WAYS_IN)
def test_the_objects_of_every_way_in_are_valid(kube: Kube, name: str) -> None:
    routes = ("Certificate", "HTTPRoute", "Ingress", "Middleware", "VirtualService")
    rules = ("PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication")
    objects = [
        one
        for one in manifests("dev", WAYS_IN[name])
        if one["kind"] in (*routes, *rules, "NetworkPolicy", "Service", "Sidecar")
    ]
    assert {one["kind"] for one in objects} & set(routes)
    assert [one for one in admission(objects, kube.kubeconfig) if not one.passed] == []


QUEUE_LENGTH = {"minReplicas": 1, "maxReplicas": 2, "queueLength": {}}


def test_keda_knows_every_field_of_its_objects(kube: Kube, namespace: str) -> None:
    """The API server drops fields that a custom resource does not have, without an error."""
    pools = {"evaluations": {"queues": ["eval-execution"], "autoscaling": QUEUE_LENGTH}}
    config = {"worker": {"autoscaling": QUEUE_LENGTH, "pools": pools}}
    objects = [one for one in manifests("dev", config) if one["apiVersion"] == "keda.sh/v1alpha1"]
    assert sorted(one["kind"] for one in objects) == ["ScaledObject"] * 2 + ["TriggerAuthentication"] * 2
    for one in objects:
        name = one["metadata"]["name"]
        kube.create({**one, "metadata": {"name": name}}, namespace)
        kept = kube.get(one["apiVersion"], one["kind"], name, namespace)
        assert kept is not None
        assert kept["spec"] == one["spec"]


def test_a_privileged_pod_is_refused_with_every_violated_control(kube: Kube) -> None:
    web = next(one for one in copy.deepcopy(manifests("dev")) if one["kind"] == "Deployment")
    pod = web["spec"]["template"]["spec"]
    pod["hostNetwork"] = True
    pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}})
    pod["securityContext"] = {}
    for container in pod["containers"]:
        container["securityContext"] = {}
    accounts = [one for one in manifests("dev") if one["kind"] == "ServiceAccount"]
    refused = {one.check for one in admission([*accounts, web], kube.kubeconfig) if not one.passed}
    assert refused == {
        "allowPrivilegeEscalation",
        "capabilities_restricted",
        "hostNamespaces",
        "hostPathVolumes",
        "hostPorts",  # in the host network, container ports are host ports
        "restrictedVolumes",
        "runAsNonRoot",
        "seccompProfile_restricted",
    }
