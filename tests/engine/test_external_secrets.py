"""A stack with its credentials in a secret store, and a replacement of the External Secrets operator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from components.credentials.registry import CREDENTIALS
from sandbox.controlplane import Sandbox
from tests.engine.secret_operator import MANAGED, SecretOperator
from tests.engine.stacks import Stack
from tests.engine.view import Json, View, conditions
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(300)]

NAME: Final = "kept-outside"
ENTRY: Final = f"langfuse/{NAME}"
OPERATOR_SECONDS: Final = 0.5
CONFIG: Final[Mapping[str, object]] = {
    "langfuse:profile": "preview",
    "langfuse:host": "langfuse.example.com",
    "langfuse:credentials": {"source": "external-secrets", "secretStore": {"name": "vault", "path": ENTRY}},
}


def value(name: str, *, version: int = 1) -> str:
    """A value in the format of its credential."""
    digits = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    return digits if name == "ENCRYPTION_KEY" else digits[:40]


def contents(*, version: int = 1) -> Mapping[str, Mapping[str, str]]:
    """The content of the secret store."""
    return {ENTRY: {name: value(name, version=version) for name in map(str.upper, CREDENTIALS)}}


@pytest.fixture(scope="module")
def view(sandbox: Sandbox) -> View:
    return View(sandbox, f"langfuse-{NAME}")


@pytest.fixture(scope="module")
def operator(sandbox: Sandbox, view: View) -> Iterator[SecretOperator]:
    operator = SecretOperator(sandbox, view.namespace, contents(), OPERATOR_SECONDS)
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()


@pytest.fixture(scope="module")
def stack(sandbox: Sandbox, operator: SecretOperator, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder: Path = tmp_path_factory.mktemp("external-secrets") / NAME
    stack = Stack.new(NAME, folder, sandbox.environment(), CONFIG)
    stack.up().ok()
    return stack


def pod_specs(view: View) -> Iterator[Json]:
    for item in view.objects("deployments", "statefulsets", "jobs", "cronjobs"):
        spec = item["spec"]
        yield (spec["jobTemplate"]["spec"] if item["kind"] == "CronJob" else spec)["template"]["spec"]


def references(view: View) -> set[tuple[str, str]]:
    """The Secrets and keys that containers read."""
    return {
        (reference["name"], reference["key"])
        for spec in pod_specs(view)
        for container in (*spec.get("initContainers", []), *spec["containers"])
        for variable in container.get("env", [])
        if (reference := variable.get("valueFrom", {}).get("secretKeyRef"))
    }


def test_no_pod_is_created_before_its_secrets(stack: Stack, view: View) -> None:
    for item in view.objects("deployments"):
        assert conditions(item)["Available"] == "True", item["metadata"]["name"]
    for item in view.objects("externalsecrets"):
        assert conditions(item)["Ready"] == "True", item["metadata"]["name"]
    made = {item["metadata"]["name"]: item["metadata"]["creationTimestamp"] for item in view.objects("secrets")}
    for pod in view.objects("pods"):
        for secret, time in made.items():
            if f'"{secret}"' in json.dumps(pod["spec"]):
                assert time <= pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def test_pods_read_the_values_from_the_store(stack: Stack, view: View) -> None:
    secrets = {item["metadata"]["name"]: item for item in view.objects("secrets")}
    read = references(view)
    assert read
    for name, key in read:
        assert key in secrets[name]["data"], (name, key)
        written = MANAGED in secrets[name]["metadata"].get("labels", {})
        assert written or key == "access-key-id", (name, key)  # the ids of the managed store's keys are not secret
    stored, written_values = set(contents()[ENTRY].values()), set(view.generated().values())
    unused = len(stored - written_values)  # pytest shows the values in an assertion
    optional = {"admin_api_key", "postgres_metrics_password", "sign_in_proxy_cookie_secret"}
    assert unused <= len([name for name in CREDENTIALS if name.endswith("access_key_id") or name in optional])
    state = stack.export("--show-secrets")
    is_shown = any(one in state for one in stored)
    assert not is_shown


def test_a_refresh_updates_passwords_and_keeps_encryption_keys(
    stack: Stack, view: View, operator: SecretOperator
) -> None:
    before = view.digests()
    fixed = ("langfuse-encryption-external", "langfuse-object-store-encryption-external")
    permanent = {key for key in before if key.startswith(tuple(f"{name}/" for name in fixed))}
    assert {key.partition("/")[2] for key in permanent} == {"salt", "encryption-key"}
    assert [view.get("secret", name)["immutable"] for name in fixed] == [True, True]

    operator.refresh(contents(version=2))

    expected = {key for key in before if "-external/" in key} - permanent
    eventually(lambda: {key for key, digest in view.digests().items() if digest != before[key]} >= expected)
    after = view.digests()
    assert {key for key in before if after[key] != before[key]} == expected
    stack.preview("--expect-no-changes").ok()


def test_secrets_outlive_their_external_secrets(stack: Stack, view: View) -> None:
    before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in view.objects("secrets")}
    view.kubectl("delete", "--namespace", view.namespace, "--cascade=foreground", "externalsecrets", "--all").ok()
    assert view.objects("externalsecrets") == []
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in view.objects("secrets")} == before
