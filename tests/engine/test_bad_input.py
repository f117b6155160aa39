"""What people get wrong, and what is not there: one clear message each, and a stack that can be used afterwards."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from sandbox.controlplane import Sandbox
from tests.engine.harness import Engine, Result
from tests.engine.stack_fixtures import Stack, View, conditions, deploy

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

StackFactory = Callable[[str, Mapping[str, object]], Stack]
VIRTUAL_SERVICES = "virtualservices.networking.istio.io"


@pytest.fixture
def nowhere(engine: Engine, tmp_path: Path) -> StackFactory:
    """Makes stacks for a person without any cluster."""
    backend, home = tmp_path / "backend", tmp_path / "home"
    backend.mkdir()
    home.mkdir()
    environment = {**engine.environment(backend), "HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")}
    return lambda name, config: Stack.new(name, tmp_path / name, environment, config)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A cluster without Istio."""
    sandbox = Sandbox(tmp_path_factory.mktemp("bare") / "sandbox")
    sandbox.up()
    try:
        View(sandbox, "default").kubectl("delete", "crd", VIRTUAL_SERVICES).ok()
        yield sandbox
    finally:
        sandbox.reset()


@pytest.fixture
def on_cluster(sandbox: Sandbox, tmp_path: Path) -> StackFactory:
    """Makes stacks on the cluster."""
    return lambda name, config: Stack.new(name, tmp_path / name, sandbox.environment(), config)


def the_error(result: Result) -> str:
    """The only error that a failed command showed."""
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    errors = [message for message in result.messages("error") if "update failed" not in message]
    assert len(errors) == 1, "\n\n".join(errors)
    return errors[0]


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_preview_needs_no_cluster(nowhere: StackFactory, name: str) -> None:
    result = nowhere(name, {}).preview().ok()
    print(result.output, result.messages("warning"))
    assert set(result.ops.values()) == {"create"}


def test_every_bad_key_is_told_at_once(nowhere: StackFactory) -> None:
    bad = {
        "langfuse:hots": "example.com",
        "langfuse:host": "https://langfuse.example.com",
        "langfuse:version": "latest",
        "langfuse:postgres": {"storage": "50GB"},
        "langfuse:web": {"replicas": "two"},
    }
    stack = nowhere("dev", bad)
    error = the_error(stack.preview())
    print(error)
    stack.configure({**dict.fromkeys(bad), "langfuse:host": "langfuse.example.com"})
    stack.preview().ok()


def test_an_unreachable_cluster_is_named(nowhere: StackFactory, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: connections are refused
        server = f"https://127.0.0.1:{taken.getsockname()[1]}"
        kubeconfig = tmp_path / "closed.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(one_cluster(server)))
        stack = nowhere("dev", {"langfuse:cluster": {"kubeconfig": str(kubeconfig)}})
        result = stack.up()
    print(result.output)
    stack.preview().ok()


def one_cluster(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {"token": "none"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }


def test_a_missing_crd_is_named_with_the_fix(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    stack = on_cluster("dev", {})
    result = stack.up()
    print(result.output)
    stack.configure({"langfuse:ingress": {"kind": "none"}})
    stack.up().ok()
    for item in View(sandbox, "langfuse-dev").objects("deployments"):
        assert conditions(item)["Available"] == "True"


def test_a_namespace_of_somebody_else_is_left_alone(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    view = View(sandbox, "taken")
    view.kubectl("create", "namespace", "taken").ok()
    stack = on_cluster("preview", {"langfuse:host": "a.example.com", "langfuse:namespace": "taken"})
    result = stack.up()
    print(result.output)
    stack.configure({"langfuse:namespace": "free"})
    stack.preview().ok()


def test_an_interrupted_up_goes_on_with_the_next(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    config = {"langfuse:host": "a.example.com", "langfuse:profile": "dev", "langfuse:ingress": {"kind": "none"}}
    stack = on_cluster("interrupted", config)
    process = stack.start_up()
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "StatefulSet" in line and "creating" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    printed += process.stdout.readlines()
    start = time.monotonic()
    code = process.wait(120)
    print("".join(printed), code, time.monotonic() - start)
    print(stack.pending())
    r = stack.up()
    print(r.output)
    r.ok()
    assert stack.pending() == []


def test_an_unknown_stack_is_told_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    result = deploy("nonsense", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith('error: there is no stack "nonsense"')
    assert "dev, prod, staging" in result.stderr
    assert not folder.exists()
