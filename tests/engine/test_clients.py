"""A stack with two clients: their namespaces, their keys, a rotation, and the removal of one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.matrix import small
from tests.engine.stacks import Stack, changed_resources, operate
from tests.engine.view import View, conditions

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(600)]

NAMESPACES = ("apps-gateway", "apps-search")


def clients(*, epoch: int = 1, kinds: Mapping[str, str]) -> dict[str, Any]:
    keys = {part: {"source": "generated", "epoch": epoch} for part in ("publicKey", "secretKey")}
    return {name: {"kind": kind, "namespace": f"apps-{name}", **keys} for name, kind in kinds.items()}


@pytest.fixture
def view(sandbox: Sandbox) -> Iterator[View]:
    view = View(sandbox, "langfuse-connected")
    yield view
    for namespace in (view.namespace, *NAMESPACES):
        View(sandbox, namespace).delete()


def keys(view: View, name: str) -> Mapping[str, str]:
    """The Secret of a client, decoded."""
    found = View(view.sandbox, f"apps-{name}").get("secret", f"langfuse-{name}")
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_clients_come_are_rotated_and_go(sandbox: Sandbox, view: View, tmp_path: Path) -> None:
    both = {"gateway": "litellm", "search": "otel"}
    config = {**small("managed"), "langfuse:clients": clients(kinds=both)}
    stack = Stack.new("connected", tmp_path / "connected", sandbox.environment(), config)
    view.kubectl("create", "namespace", NAMESPACES[0]).ok()
    refused = stack.up()
    assert refused.exit_code != 0
    assert (
        'langfuse:clients.search.namespace: the cluster has no namespace "apps-search"; create it (kubectl create '
        "namespace apps-search)" in refused.output
    )
    assert view.kubectl("--namespace", view.namespace, "get", "job/langfuse-clients").exit_code != 0

    view.kubectl("create", "namespace", NAMESPACES[1]).ok()
    stack.up().ok()
    assert conditions(view.get("job", "langfuse-clients"))["Complete"] == "True"
    before = keys(view, "gateway")
    assert before.keys() == {"LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"}
    same = base64.b64decode(view.get("secret", "langfuse-client-gateway")["data"]["secret-key"]).decode()
    assert (same == before["LANGFUSE_SECRET_KEY"]) is True
    assert "OTEL_EXPORTER_OTLP_TRACES_HEADERS" in keys(view, "search")
    assert {step.op for step in stack.up("--expect-no-changes").ok().steps} == {"same"}
    state = stack.export()
    shown = [key for name in both for key, value in keys(view, name).items() if value in state]
    assert shown == []

    look_at_the_objects(stack, view)

    changed = {**clients(kinds={"search": "otel"}), **clients(epoch=2, kinds={"gateway": "litellm"})}
    stack.configure({"langfuse:clients": changed})
    result = stack.up().ok()
    assert changed_resources(result) == {
        *(("RandomPassword", f"langfuse-client-gateway-{part}-key") for part in ("public", "secret")),
        *(("Secret", name) for name in ("langfuse-client-gateway", "langfuse-gateway")),
        ("Job", "langfuse-clients"),
    }
    rotated = keys(view, "gateway")["LANGFUSE_SECRET_KEY"] != before["LANGFUSE_SECRET_KEY"]
    assert rotated

    stack.configure({"langfuse:clients": clients(kinds={"search": "otel"})})
    stack.up().ok()
    left = View(sandbox, NAMESPACES[0])
    assert [item["metadata"]["name"] for item in left.objects("secrets")] == []
    assert conditions(view.get("job", "langfuse-clients"))["Complete"] == "True"


def look_at_the_objects(stack: Stack, view: View) -> None:
    """`operations clients list`, and the smoke tests that need no running pod."""
    where = ["--stack", stack.name, "--config-file", str(stack.file)]
    listed = json.loads(operate("clients", ["list", *where, "--json"], stack.environment).ok().stdout)
    assert {(one["name"], one["secret"], one["config_map"], one["keys"]) for one in listed} == {
        (name, True, True, "exist") for name in ("gateway", "search")
    }
    words = [*where, "--only", "workload_has or declared_image or jobs_of or backups"]
    green = operate("smoke", words, stack.environment).ok()
    assert " passed" in green.output
    view.kubectl("--namespace", view.namespace, "scale", "deployment/langfuse-worker", "--replicas=0").ok()
    red = operate("smoke", words, stack.environment)
    assert (red.exit_code, "pods: Deployment langfuse-worker is stopped" in red.output) == (1, True), red.output
    view.kubectl("--namespace", view.namespace, "scale", "deployment/langfuse-worker", "--replicas=1").ok()
