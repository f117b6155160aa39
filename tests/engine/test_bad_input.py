"""Mistakes in the input and missing requirements: one clear message each, and the stack stays usable."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from sandbox.controlplane import Sandbox
from tests.engine.harness import Result
from tests.engine.matrix import small
from tests.engine.stacks import Stack, StackFactory, deploy
from tests.engine.view import View, conditions

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

STOP_SECONDS = 60
ENGINE_ENDINGS = ("update failed", "preview failed", "program exited with non-zero exit code: 1")


@pytest.fixture
def on_cluster(sandbox: Sandbox, tmp_path: Path) -> Iterator[StackFactory]:
    """Creates stacks on the cluster, each in a namespace of the same name, and deletes the namespaces at the end."""
    made: list[str] = []

    def make(name: str, config: Mapping[str, object] | None = None) -> Stack:
        made.append(name)
        return Stack.new(name, tmp_path / name, sandbox.environment(), {**small("managed"), **(config or {})})

    yield make
    for name in made:
        View(sandbox, f"langfuse-{name}").delete()


def the_error(result: Result) -> str:
    """The only error of a failed command, apart from the engine's summary."""
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    errors = [message for message in result.messages("error") if not message.endswith(ENGINE_ENDINGS)]
    assert len(errors) == 1, "\n\n".join(errors)
    assert result.messages("warning") == []
    return errors[0]


def one_cluster(server: str) -> dict[str, object]:
    """A kubeconfig with this server only."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }


def interrupt(process: subprocess.Popen[str], when: Callable[[str], bool]) -> str:
    """Send an interrupt once a line of the output fulfils a condition, and return the output."""
    assert process.stdout is not None
    printed: list[str] = []
    try:
        for line in process.stdout:
            printed.append(line)
            if when(line):
                break
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole process group
        printed += process.stdout.readlines()
        assert process.wait(STOP_SECONDS) != 0, "".join(printed)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return "".join(printed)


def test_preview_needs_no_cluster(nowhere: StackFactory) -> None:
    result = nowhere("prod").preview().ok()
    assert {step.op for step in result.steps} == {"create"}
    counts = Counter(step.type.rpartition(":")[2] for step in result.steps if step.type.startswith("kubernetes:"))
    expected = {"Namespace": 1, "StatefulSet": 5, "Deployment": 2, "Job": 4, "CronJob": 14, "VirtualService": 1}
    assert {kind: counts[kind] for kind in expected} == expected
    assert len(result.steps) > 100
    (message,) = result.messages("warning", "error")  # no StorageClass is right for every cluster
    assert "backups.drillStorageClass: is not set" in message
    assert result.stderr == ""


def test_every_wrong_key_is_reported_at_once(nowhere: StackFactory) -> None:
    bad: dict[str, object] = {
        "langfuse:hots": "example.com",
        "langfuse:host": "https://langfuse.example.com",
        "langfuse:version": "latest",
        "langfuse:postgres": {"storage": "50GB"},
        "langfuse:web": {"replicas": "two"},
    }
    stack = nowhere("dev", bad)
    heading, *problems = the_error(stack.up()).splitlines()
    assert heading.startswith("5 problems in the configuration of stack dev")
    said = {line.strip().partition(": ")[0]: line for line in problems}
    assert 'did you mean "host"?' in said["langfuse:hots"]
    assert 'did you mean "langfuse.example.com"?' in said["langfuse:host"]
    assert '"latest" is not a Langfuse release; use an exact release, as in "4.82.0"' in said["langfuse:version"]
    assert 'did you mean "50Gi"?' in said["langfuse:postgres.storage"]
    assert '"two" must be a whole number' in said["langfuse:web.replicas"]
    assert [item["type"] for item in stack.resources()] in ([], ["pulumi:pulumi:Stack"])

    stack.configure({**dict.fromkeys(bad), "langfuse:host": "langfuse.example.com"})
    stack.preview().ok()


def test_an_unreachable_cluster_is_reported_with_its_address(nowhere: StackFactory, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "closed.kubeconfig"
    stack = nowhere("dev", {"langfuse:cluster": {"kubeconfig": str(kubeconfig)}})
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # not listening: connections are refused
        server = f"https://127.0.0.1:{closed.getsockname()[1]}"
        kubeconfig.write_text(yaml.safe_dump(one_cluster(server)))
        error = the_error(stack.up())
    assert "unreachable" in error
    assert server in error
    stack.preview().ok()


def test_a_missing_kubeconfig_is_reported(nowhere: StackFactory) -> None:
    stack = nowhere("dev")
    error = the_error(stack.up())
    assert error.startswith("there is no kubeconfig: KUBECONFIG is not set")
    stack.preview().ok()


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_configured_kubeconfig_that_does_not_exist_is_reported(
    nowhere: StackFactory, tmp_path: Path, command: str
) -> None:
    stack = nowhere("dev")
    missing = str(tmp_path / "missing")
    run = stack.preview if command == "preview" else stack.up
    assert the_error(run(KUBECONFIG=missing)).startswith(f"KUBECONFIG is {missing}, which does not exist; set")
    stack.configure({"langfuse:cluster": {"kubeconfig": missing}})
    assert the_error(run()).startswith(f"langfuse:cluster.kubeconfig is {missing}, which does not exist")


def test_several_kubeconfigs_are_merged(nowhere: StackFactory, sandbox: Sandbox, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(yaml.safe_dump(one_cluster("https://127.0.0.1:1")))
    both = os.pathsep.join([str(other), str(tmp_path / "missing"), sandbox.environment()["KUBECONFIG"]])
    View(sandbox, "taken-too").kubectl("create", "namespace", "taken-too").ok()
    stack = nowhere("dev", {"langfuse:cluster": {"context": "sandbox"}, "langfuse:namespace": "taken-too"})
    assert 'namespaces "taken-too" already exists' in the_error(stack.up(KUBECONFIG=both))
    stack.configure({"langfuse:cluster": {"context": "elsewhere"}})
    assert 'langfuse:cluster.context is "elsewhere"' in the_error(stack.preview(KUBECONFIG=both))


@pytest.mark.long
def test_a_missing_crd_is_reported_with_the_fix(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    stack = on_cluster("without-an-operator", small("cloudnativepg"))
    error = the_error(stack.up())
    assert 'no matches for kind "ObjectStore" in version "barmancloud.cnpg.io/v1"' in error
    assert "CRDs" in error
    assert stack.pending() == []

    stack.configure(small("managed"))
    stack.up().ok()
    for item in View(sandbox, "langfuse-without-an-operator").objects("deployments"):
        assert conditions(item)["Available"] == "True"


def test_an_existing_namespace_is_not_changed(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    view = View(sandbox, "taken")
    view.kubectl("create", "namespace", "taken").ok()
    before = view.objects("all", "configmaps", "serviceaccounts")
    stack = on_cluster("careless", {"langfuse:namespace": "taken"})

    error = the_error(stack.up())

    assert 'namespaces "taken" already exists' in error
    assert "import" in error
    assert view.objects("all", "configmaps", "serviceaccounts") == before
    stack.destroy().ok()
    view.kubectl("get", "namespace", "taken").ok()
    stack.configure({"langfuse:namespace": "free"})
    stack.preview().ok()


def test_an_existing_namespace_outside_the_mesh_is_refused_before_anything_changes(
    on_cluster: StackFactory, sandbox: Sandbox
) -> None:
    view = View(sandbox, "unlabelled")
    view.kubectl("create", "namespace", "unlabelled").ok()
    before = view.objects("all", "configmaps", "serviceaccounts", "networkpolicies")
    config = {"langfuse:namespace": "unlabelled", "langfuse:createNamespace": "false"}
    stack = on_cluster("guest", {**config, "langfuse:mesh": {"mode": "ambient"}})

    error = the_error(stack.up())

    assert 'langfuse:namespace: "unlabelled" does not have the label istio.io/dataplane-mode=ambient' in error
    assert view.objects("all", "configmaps", "serviceaccounts", "networkpolicies") == before
    view.kubectl("label", "namespace", "unlabelled", "istio.io/dataplane-mode=ambient").ok()
    stack.preview().ok()
    view.delete()


@pytest.mark.long
def test_the_next_update_continues_an_interrupted_one(on_cluster: StackFactory, sandbox: Sandbox) -> None:
    stack = on_cluster("interrupted")
    printed = interrupt(stack.start_up(), lambda line: "StatefulSet" in line and "creating" in line)
    assert "Traceback" not in printed
    made = {str(item["urn"]) for item in stack.resources()}
    assert len(made) > 1

    result = stack.up().ok()

    assert stack.pending() == []
    assert made <= {step.urn for step in result.steps if step.op != "create"}
    for item in View(sandbox, "langfuse-interrupted").objects("deployments"):
        assert conditions(item)["Available"] == "True"


def test_an_unknown_stack_is_reported_before_anything_starts(tmp_path: Path) -> None:
    result = deploy("nonsense", tmp_path / "sandbox")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith('error: there is no stack "nonsense"')
    assert "choose one of dev, prod, staging" in result.stderr
    assert not (tmp_path / "sandbox").exists()
