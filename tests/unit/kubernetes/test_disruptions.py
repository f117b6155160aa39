"""Every node of a cluster is drained in turn, with the rendered replicas, disruption budgets and labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.program import recorded
from tests.unit.recorder import Recording

SCALED = {"minReplicas": 2, "maxReplicas": 6}
STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "prod, xlarge": ("prod", {"scale": "xlarge"}),
    "Sentinels and three replicas": (
        "dev",
        {"redis": {"mode": "sentinel"}, "clickhouse": {"replicas": 3, "keepers": 3}, "objectStore": {"nodes": 4}},
    ),
    "pools": (
        "prod",
        {
            "web": {"autoscaling": SCALED, "ingestion": {"autoscaling": SCALED}},
            "worker": {
                "autoscaling": {**SCALED, "queueLength": {}},
                "pools": {"evaluations": {"queues": ["eval-execution"]}, "exports": {"queues": ["batch-export"]}},
            },
        },
    ),
}
MAJORITIES = ("langfuse-keeper", "langfuse-redis", "langfuse-object-store-cluster")
"""Sets of servers that need a majority to serve, if there are several."""


@dataclass
class Running:
    """One workload with its pods, by the node that each is on; None while a pod is being placed."""

    name: str
    labels: Mapping[str, str]
    replicas: int
    nodes: list[int | None]

    @property
    def healthy(self) -> int:
        return sum(node is not None for node in self.nodes)


def workloads(recording: Recording, nodes: int) -> Iterator[Running]:
    """Deployments at the fewest pods that they may have, and StatefulSets, spread over the nodes."""
    for kind in ("Deployment", "StatefulSet"):
        for item in recording.of(kind):
            spec = item.inputs["spec"]
            pods: list[int | None] = [number % nodes for number in range(spec["replicas"])]
            yield Running(item.name, spec["template"]["metadata"]["labels"], spec["replicas"], pods)


def budgets_of(recording: Recording, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The specs of the budgets that select a pod."""
    specs = [item.inputs["spec"] for item in recording.of("PodDisruptionBudget")]
    return [spec for spec in specs if spec["selector"]["matchLabels"].items() <= labels.items()]


def drain(running: Running, node: int, nodes: int, budget: Mapping[str, Any] | None) -> int:
    """Evict the pods of a node by the rules of a budget, and return the fewest healthy pods meanwhile.

    An eviction is refused while the budget does not allow it (kubernetes.io/docs/concepts/workloads/pods/disruptions);
    the drain tries again when a pod has become ready elsewhere.
    """
    fewest = running.healthy
    for _ in range(3 * running.replicas):
        there = [number for number, place in enumerate(running.nodes) if place == node]
        if not there:
            break
        missing = running.replicas - running.healthy
        allowed = running.replicas if budget is None else budget["maxUnavailable"] - missing
        if allowed > 0:
            running.nodes[there[0]] = None
            fewest = min(fewest, running.healthy)
        else:
            running.nodes = [(node + 1) % nodes if place is None else place for place in running.nodes]
    assert node not in running.nodes, f"{running.name} blocks the drain"
    running.nodes = [(node + 1) % nodes if place is None else place for place in running.nodes]
    return fewest


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("nodes", [2, 3])
def test_no_drain_takes_more_than_one_pod_of_a_workload(stack: str, nodes: int) -> None:
    recording = recorded(*STACKS[stack])
    for running in workloads(recording, nodes):
        budgets = budgets_of(recording, running.labels)
        assert len(budgets) == (running.replicas > 1), f"{running.name} has {len(budgets)} budgets"
        for node in range(nodes):
            fewest = drain(running, node, nodes, budgets[0] if budgets else None)
            assert fewest >= running.replicas - 1, running.name
            if running.name.startswith(MAJORITIES) and running.replicas > 1:
                assert fewest > running.replicas / 2, running.name


def test_an_autoscaled_workload_has_a_budget_also_if_one_pod_may_be_enough() -> None:
    """At its maximum, a drain could otherwise evict all pods that are on its node."""
    scaled = {"web": {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}}
    assert recorded("dev", scaled).one("PodDisruptionBudget", "langfuse-web").inputs["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("stack", STACKS)
def test_pods_of_a_workload_are_spread_over_zones_and_nodes(stack: str) -> None:
    for kind in ("Deployment", "StatefulSet"):
        for item in recorded(*STACKS[stack]).of(kind):
            template = item.inputs["spec"]["template"]
            spread = {one["topologyKey"]: one for one in template["spec"]["topologySpreadConstraints"]}
            assert spread.keys() == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
            for one in spread.values():
                assert one["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
                # A cluster with one node, or one that is drained, still gets all pods.
                assert one["whenUnsatisfiable"] == "ScheduleAnyway"


CLASSES = {"stores": "critical", "application": "serving", "jobs": "batch"}


def test_stores_come_before_the_application_and_jobs_last() -> None:
    recording = recorded("prod", {"cluster": {"priorityClasses": CLASSES}})
    found: dict[str, set[str]] = {}
    for item in recording:
        if item.kind in {"Deployment", "StatefulSet", "Job", "CronJob"}:
            spec = item.inputs["spec"]
            template = spec["jobTemplate"]["spec"]["template"] if item.kind == "CronJob" else spec["template"]
            found.setdefault(item.kind, set()).add(template["spec"].get("priorityClassName"))
    assert found == {
        "Deployment": {"serving"},
        "StatefulSet": {"critical"},
        "Job": {"batch"},
        "CronJob": {"batch"},
    }
    operated = recorded("dev", {"postgres": {"mode": "cloudnativepg"}, "cluster": {"priorityClasses": CLASSES}})
    assert operated.one("Cluster").inputs["spec"]["priorityClassName"] == "critical"


def test_without_classes_no_pod_names_one() -> None:
    assert "priorityClassName" not in str([item.inputs for item in recorded("prod")])
