"""`doctor` with the real API server: for an administrator, and for somebody who may only read one namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.engine.kube import Kube
from tests.engine.stacks import Stack, operate

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

NAMESPACE = "langfuse-dev"
WEBHOOK = "doctor-test"


def outcomes(stack: Stack, **variables: str) -> dict[str, tuple[str, str]]:
    """The worst outcome of each check, with what was found."""
    words = ["--stack", stack.name, "--config-file", str(stack.file), "--json"]
    done = operate("doctor", words, {**stack.environment, **variables})
    order = ["ok", "skipped", "warning", "failed"]
    lines = sorted(json.loads(done.stdout), key=lambda line: order.index(line["outcome"]))
    return {line["check"]: (line["outcome"], line["detail"]) for line in lines}


@pytest.fixture
def webhook(kube: Kube) -> Iterator[None]:
    """A webhook of the namespace whose Service does not exist."""
    api = ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook: dict[str, Any] = {
        "name": "pods.example.com",
        "clientConfig": {"service": {"namespace": "nowhere", "name": "admit"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kube.create({"apiVersion": api[0], "kind": api[1], "metadata": {"name": WEBHOOK}, "webhooks": [hook]})
    yield
    kube.delete(*api, WEBHOOK)


def test_an_administrator_sees_what_is_missing(dev: Stack) -> None:
    found = outcomes(dev)
    assert {check for check, (outcome, _) in found.items() if outcome == "failed"} == {"gateway"}
    assert found["gateway"][1].endswith("the Gateway istio-system/public does not exist")
    assert {check for check, (outcome, _) in found.items() if outcome == "skipped"} == set()
    assert found["permissions"] == ("ok", "you may do all that an update does")
    assert found["admission of pods"] == ("ok", "the cluster admits the pod of every workload")


@pytest.mark.usefixtures("webhook")
def test_a_webhook_that_does_not_answer_is_named(dev: Stack) -> None:
    found = outcomes(dev)
    assert found["webhooks"] == (
        "failed",
        f"ValidatingWebhookConfiguration {WEBHOOK} must admit pods, and its Service nowhere/admit has no ready pod",
    )
    outcome, detail = found["admission of pods"]
    assert outcome == "failed"
    assert 'failed calling webhook "pods.example.com"' in detail


def test_somebody_who_may_only_read_learns_what_to_ask_for(dev: Stack, kube: Kube, tmp_path: Path) -> None:
    found = outcomes(dev, KUBECONFIG=str(reader(kube, tmp_path)))
    outcome, detail = found["permissions"]
    assert outcome == "failed"
    assert "create, patch, delete configmaps in langfuse-dev" in detail
    assert "; and " in detail
    assert found["room on nodes"][0] == found["storage classes"][0] == "skipped"


def reader(kube: Kube, folder: Path) -> Path:
    """The kubeconfig of a service account that may view the namespace."""
    name: dict[str, Any] = {"name": "doctor-reader", "namespace": NAMESPACE}
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name}, NAMESPACE)
    binding: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": name,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", **name}],
    }
    kube.create(binding, NAMESPACE)
    body: Any = {"spec": {"expirationSeconds": 3600}}
    made: Any = client.CoreV1Api(kube.client).create_namespaced_service_account_token(name["name"], NAMESPACE, body)
    content = yaml.safe_load(kube.kubeconfig.read_text())
    content["users"] = [{"name": one["name"], "user": {"token": made.status.token}} for one in content["users"]]
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file
