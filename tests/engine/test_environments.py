"""Staging, prod and dev in one cluster: they become ready, keep all data in upgrades, and cannot be deleted easily."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

import pytest

from sandbox.cluster import ZONES
from sandbox.controlplane import Sandbox
from sandbox.storage import ZONE
from tests.engine.stacks import Stack, changed_resources, deploy, operate
from tests.engine.view import NAME_LABEL, Json, View, conditions
from tests.waiting import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

GUARDED = ("staging", "prod")
STATEFUL = ("statefulsets", "persistentvolumeclaims", "secrets")
EVERYTHING = ("deployments", "services", "configmaps", "networkpolicies", "cronjobs", *STATEFUL)

GATEWAY = {"namespace": "gateway", "labels": {"app": "litellm"}, "port": 4000}
UPGRADES: Mapping[str, Mapping[str, object]] = {
    "staging": {
        "langfuse:version": "4.16.1",
        "langfuse:postgres": {"storage": "6Gi", "resources": {"memory": "1Gi"}},
        "langfuse:clickhouse": {"replicas": 3, "keepers": 3, "storage": "12Gi", "resources": {"memory": "6Gi"}},
        "langfuse:redis": {"storage": "3Gi", "resources": {"memory": "1Gi"}},
        "langfuse:objectStore": {"storage": "40Gi", "eventsDays": 60, "resources": {"memory": "2Gi"}},
        "langfuse:allowedTargets": {"llm": {"hosts": ["litellm.gateway.svc"], "pods": [GATEWAY]}},
    },
    "prod": {
        "langfuse:version": "4.16.1",
        "langfuse:postgres": {"storage": "60Gi", "resources": {"memory": "6Gi"}},
        "langfuse:clickhouse": {
            "storage": "120Gi",
            "keeperStorage": "12Gi",
            "resources": {"memory": "12Gi"},
            "keeperResources": {"memory": "2Gi"},
        },
        "langfuse:redis": {"storage": "12Gi", "resources": {"memory": "2Gi"}},
        "langfuse:objectStore": {"storage": "500Gi", "exportsDays": 3, "resources": {"memory": "6Gi"}},
    },
}
"""Another release, setting and size for every store; in staging also three replicas instead of one, and a target."""

AVAILABLE: Mapping[str, Mapping[str, int]] = {
    "staging": {"clickhouse": 3, "keeper": 3, "object-store": 1, "postgres": 1, "redis": 1},
    "prod": {"clickhouse": 3, "keeper": 3, "object-store": 4, "postgres": 1, "redis": 3},
}
"""The number of pods of each store after the upgrade."""

SIZES: Mapping[str, Mapping[str, str]] = {
    "staging": {"clickhouse": "12Gi", "keeper": "2Gi", "object-store": "40Gi", "postgres": "6Gi", "redis": "3Gi"},
    "prod": {"clickhouse": "120Gi", "keeper": "12Gi", "object-store": "500Gi", "postgres": "60Gi", "redis": "12Gi"},
}
"""The sizes of the volumes of each store after the upgrade."""


@pytest.fixture(scope="module")
def dev_alone(sandbox: Sandbox, dev: Stack) -> Mapping[str, object]:
    """The objects of dev before staging and prod were deployed."""
    return View(sandbox, f"langfuse-{dev.name}").identities(*EVERYTHING)


@pytest.fixture(scope="module")
def stacks(sandbox: Sandbox, dev_alone: Mapping[str, object]) -> Mapping[str, Stack]:
    """Staging and prod, as `make up STACK=...` deploys them."""
    for name in GUARDED:
        deploy(name, sandbox.folder.path).ok()
    return {name: Stack(name, sandbox.folder.path / "stacks", sandbox.environment()) for name in GUARDED}


@pytest.fixture
def views(sandbox: Sandbox, stacks: Mapping[str, Stack]) -> Mapping[str, View]:
    return {name: View(sandbox, f"langfuse-{name}") for name in ("dev", *stacks)}


@pytest.mark.long
def test_a_command_never_reads_a_half_written_file_of_attributes(sandbox: Sandbox, dev: Stack) -> None:
    """The engine replaces a state in one step, but would truncate and rewrite its attributes (`Folder.backend_url`)."""
    states = sandbox.folder.backend / ".pulumi" / "stacks"
    assert list(states.rglob(f"{dev.name}.json"))
    assert not list(states.rglob("*.attrs"))


def store(item: Json) -> str:
    name: str = item["metadata"]["labels"][NAME_LABEL]
    return name


def available(view: View) -> Mapping[str, int]:
    return {store(item): item["status"].get("availableReplicas", 0) for item in view.objects("statefulsets")}


def wanted(view: View) -> Mapping[str, int]:
    return {store(item): item["spec"]["replicas"] for item in view.objects("statefulsets")}


def all_available(view: View) -> bool:
    return available(view) == wanted(view)


def capacities(view: View) -> set[tuple[str, str]]:
    """The sizes of the volumes by store."""
    return {(store(item), item["status"]["capacity"]["storage"]) for item in view.objects("persistentvolumeclaims")}


def kept(view: View) -> Mapping[str, str]:
    """The uid of every object with data, including volumes."""
    items = view.objects(*STATEFUL)
    volumes = [item["spec"]["volumeName"] for item in items if item["kind"] == "PersistentVolumeClaim"]
    items += [view.get("namespace", view.namespace), *(view.get("persistentvolume", name) for name in volumes)]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in items}


def zones(view: View) -> Mapping[str, set[str]]:
    """The zones of the pods of each store."""
    of_node = {
        name: view.get("node", name)["metadata"]["labels"][ZONE]
        for name in {pod["spec"]["nodeName"] for pod in view.objects("pods")}
    }
    found: dict[str, set[str]] = {}
    for pod in view.objects("pods"):
        found.setdefault(store(pod), set()).add(of_node[pod["spec"]["nodeName"]])
    return found


def test_staging_and_prod_become_ready_without_changing_dev(
    dev_alone: Mapping[str, object], stacks: Mapping[str, Stack], views: Mapping[str, View]
) -> None:
    for view in views.values():
        for item in view.objects("deployments"):
            assert conditions(item)["Available"] == "True", item["metadata"]["name"]
        eventually(partial(all_available, view))
        for item in view.objects("jobs"):
            assert conditions(item)["Complete"] == "True", item["metadata"]["name"]
        for item in view.objects("persistentvolumeclaims"):
            assert item["status"]["phase"] == "Bound", item["metadata"]["name"]
    assert views["dev"].identities(*EVERYTHING) == dev_alone


def test_prod_is_replicated_over_three_zones(views: Mapping[str, View]) -> None:
    prod = views["prod"]
    replicated = {name: number for name, number in AVAILABLE["prod"].items() if number > 1}
    assert wanted(prod) == AVAILABLE["prod"]
    in_zones = zones(prod)
    assert {name: in_zones[name] for name in replicated} == {name: set(ZONES) for name in replicated}
    budgets = {store(item): item["status"]["disruptionsAllowed"] for item in prod.objects("poddisruptionbudgets")}
    assert budgets == dict.fromkeys([*replicated, "web", "worker"], 1)
    containers = {
        pod["metadata"]["name"]: [item["name"] for item in pod["spec"]["containers"]] for pod in prod.objects("pods")
    }
    assert [containers[f"langfuse-redis-{ordinal}"] for ordinal in range(3)] == [["valkey", "sentinel"]] * 3


def test_a_second_update_changes_nothing(stacks: Mapping[str, Stack]) -> None:
    again = stacks["prod"].up("--expect-no-changes").ok()
    assert {step.op for step in again.steps} == {"same"}
    assert len(again.steps) == len(stacks["prod"].resources()) > 100


@pytest.mark.parametrize("name", GUARDED)
def test_the_policies_accept_the_deployed_stacks(stacks: Mapping[str, Stack], name: str) -> None:
    stack = stacks[name]
    result = operate("policies", ["--stack", name, "--json"], stack.environment)
    assert json.loads(result.stdout)["outcome"] == "fine", result.output
    assert result.exit_code == 0


def test_the_policies_accept_a_preview_of_prod(stacks: Mapping[str, Stack]) -> None:
    prod = stacks["prod"]
    words = ["--stack", "prod", "--json", "--config-file", str(prod.file)]
    result = operate("preview", words, prod.environment)
    assert json.loads(result.stdout)["outcome"] == "fine", result.output
    assert result.exit_code == 0


@pytest.mark.long
@pytest.mark.parametrize("name", GUARDED)
def test_an_upgrade_of_every_store_keeps_all_data(
    stacks: Mapping[str, Stack], views: Mapping[str, View], name: str
) -> None:
    stack, view = stacks[name], views[name]
    before, credentials = kept(view), view.digests()

    stack.configure(UPGRADES[name])
    result = stack.up().ok()

    after = kept(view)
    assert {identity: after.get(identity) for identity in before} == before
    assert view.digests() == credentials
    assert {step.type.rpartition(":")[2] for step in result.steps if "replace" in step.op} == {"Job"}
    changed = {item for item in changed_resources(result) if item[0] in {"Deployment", "StatefulSet"}}
    assert changed == {
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        *(("StatefulSet", item["metadata"]["name"]) for item in view.objects("statefulsets")),
    }
    eventually(lambda: available(view) == AVAILABLE[name])
    eventually(lambda: capacities(view) == set(SIZES[name].items()))


@pytest.mark.long
def test_a_removed_policy_is_deleted_in_protected_stacks_too(
    stacks: Mapping[str, Stack], views: Mapping[str, View]
) -> None:
    stack, view = stacks["staging"], views["staging"]
    before = view.identities("networkpolicies", "authorizationpolicies", "peerauthentications").keys()

    stack.configure({"langfuse:allowedTargets": None, "langfuse:mesh": {"mode": "none"}})
    stack.up().ok()
    without = view.identities("networkpolicies", "authorizationpolicies", "peerauthentications").keys()
    stack.configure({"langfuse:mesh": None})
    stack.up().ok()

    (to_targets,) = (name for name in before if "allow-targets-egress" in name)
    assert {name for name in without if name == to_targets or "Authorization" in name} == set()
    assert len(without) < len(before) - 1
    after = view.identities("networkpolicies", "authorizationpolicies", "peerauthentications").keys()
    assert after == before - {to_targets}


def test_resources_with_data_depend_on_the_default_deny_policy(stacks: Mapping[str, Stack]) -> None:
    gone = set(stacks["prod"].preview_destroy("--exclude-protected").ok().changes)
    assert {"langfuse-web", "langfuse-allow-web-ingress", "langfuse-quota"} & gone
    assert not {
        name for name in gone if name in {"langfuse-default-deny", "langfuse-allow-nothing", "langfuse-mutual-tls"}
    }


def test_destroy_refuses_protected_resources_and_says_how_to_continue(
    stacks: Mapping[str, Stack], views: Mapping[str, View]
) -> None:
    prod, view = stacks["prod"], views["prod"]
    everything, holding = view.identities(*EVERYTHING), kept(view)

    refused = prod.destroy()

    assert refused.exit_code != 0
    assert "Traceback" not in refused.output
    messages = "\n".join(refused.messages("error"))
    for item in view.objects("statefulsets"):  # the engine stops here: their dependencies would be deleted after them
        name = item["metadata"]["name"]
        assert f'StatefulSet::{name}" cannot be deleted\nbecause it is protected' in messages
    assert "remove the `protect` flag" in messages
    assert view.identities(*EVERYTHING) == everything
    assert kept(view) == holding

    prod.configure({"langfuse:protect": False})
    freed = prod.up().ok()
    assert changed_resources(freed) == set()
    assert set(prod.preview_destroy().ok().changes.values()) == {"delete"}
