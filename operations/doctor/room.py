"""Checks that the nodes, and the quotas of an existing namespace, have room for what a stack requests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from components.schema.requests import Requests
from components.schema.values import quantity_value
from operations.changes import capacity
from operations.cluster import Cluster
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.pulumi import Json

NODES: Final = Check("cluster", "room on nodes")
QUOTAS: Final = Check("cluster", "quotas")

ENDED: Final = ("Succeeded", "Failed")

COUNTED: Final[Mapping[str, str]] = {
    "requests.cpu": "cpu",
    "cpu": "cpu",
    "requests.memory": "memory",
    "memory": "memory",
    "limits.memory": "memory",
    "limits.cpu": "cpu_limit",
    "requests.storage": "storage",
}
"""The resources of a ResourceQuota by their name in `Requests` (kubernetes.io/docs/concepts/policy/resource-quotas)."""


@dataclass(frozen=True)
class Pod:
    """A pod that has to fit on a node."""

    workload: str
    cpu: Decimal
    memory: Decimal


@dataclass
class Node:
    """What is left of a node."""

    name: str
    cpu: Decimal
    memory: Decimal
    pods: int

    def take(self, pod: Pod) -> bool:
        """Place a pod, if it fits."""
        if pod.cpu > self.cpu or pod.memory > self.memory or self.pods < 1:
            return False
        self.cpu, self.memory, self.pods = self.cpu - pod.cpu, self.memory - pod.memory, self.pods - 1
        return True


def nodes(cluster: Cluster, objects: Iterable[Json], namespace: str) -> Iterator[Line]:
    """Whether the pods of the workloads fit on the nodes together, beside the pods of other namespaces.

    The largest pods are placed first, each on the node with the most memory left. Affinities and zones are left out, so
    the scheduler may find less room. A cluster that adds nodes by itself may find more.
    """
    wanted = sorted(pods_of(objects), key=lambda pod: (pod.memory, pod.cpu), reverse=True)
    try:
        found = _free(cluster.items("v1", "Node"), cluster.items("v1", "Pod"), namespace)
    except OperationError as error:
        yield NODES.skipped(f"nodes and pods can't be listed: {error}")
        return
    left: list[Pod] = []
    for pod in wanted:
        roomiest = sorted(found, key=lambda node: node.memory, reverse=True)
        if not any(node.take(pod) for node in roomiest):
            left.append(pod)
    total = f"{len(wanted)} pods on {len(found)} nodes"
    if not left:
        yield NODES.ok(f"{total}, beside the pods of other namespaces")
        return
    named = ", ".join(dict.fromkeys(pod.workload for pod in left))
    yield NODES.warning(
        f"{total}: {len(left)} do not fit: {named}. They wait until the cluster has added nodes, if it does so",
        "add nodes, or choose a smaller langfuse:scale (python -m operations sizing)",
    )


def _free(nodes: Iterable[Json], pods: Iterable[Json], namespace: str) -> list[Node]:
    """What is left of each node where pods are scheduled. The stack's own pods are replaced, so they do not count."""
    free: dict[str, Node] = {}
    for node in nodes:
        taints = node.get("spec", {}).get("taints") or ()
        if node.get("spec", {}).get("unschedulable") or any(one["effect"] != "PreferNoSchedule" for one in taints):
            continue
        has: Json = node["status"].get("allocatable") or {}
        cpu, memory = (quantity_value(has.get(key, "0")) for key in ("cpu", "memory"))
        free[node["metadata"]["name"]] = Node(node["metadata"]["name"], cpu, memory, int(has.get("pods", 110)))
    for pod in pods:
        where = free.get(pod["spec"].get("nodeName", ""))
        ended = pod.get("status", {}).get("phase") in ENDED
        if where is None or ended or pod["metadata"]["namespace"] == namespace:
            continue
        asked = capacity.pod_requests(pod["spec"])
        where.cpu, where.memory, where.pods = where.cpu - asked.cpu, where.memory - asked.memory, where.pods - 1
    return [*free.values()]


def pods_of(objects: Iterable[Json]) -> Iterator[Pod]:
    """The pods that run all the time."""
    for item in objects:
        if item["kind"] not in ("Deployment", "StatefulSet"):
            continue
        each = capacity.pod_requests(item["spec"]["template"]["spec"])
        replicas = item["spec"].get("replicas", 1)
        for _ in range(int(replicas) if isinstance(replicas, int | float) else 1):
            yield Pod(item["metadata"]["name"], each.cpu, each.memory)


def quotas(cluster: Cluster, objects: Iterable[Json], total: Requests, namespace: str) -> Iterator[Line]:
    """Whether the quotas of an existing namespace leave room. The stack's own quota has room for the stack."""
    own = {item["metadata"]["name"] for item in objects if item["kind"] == "ResourceQuota"}
    try:
        found = cluster.items("v1", "ResourceQuota", namespace)
    except OperationError as error:
        yield QUOTAS.skipped(str(error))
        return
    for quota in found:
        name = quota["metadata"]["name"]
        hard: Mapping[str, Any] = quota["spec"].get("hard") or {}
        for key, limit in hard.items() if name not in own else ():
            needed = getattr(total, COUNTED[key]) if key in COUNTED else Decimal()
            if needed > quantity_value(str(limit)):
                detail = f"ResourceQuota {name} allows {key} {limit}; the stack requests {_shown(key, needed)}"
                yield QUOTAS.failed(detail, "raise the quota, or choose a smaller langfuse:scale")


def _shown(key: str, amount: Decimal) -> str:
    return f"{amount:f}" if "cpu" in key else f"{amount / 1024**3:.1f}Gi"
