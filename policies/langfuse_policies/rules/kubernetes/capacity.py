"""Capacity: requests and limits of pods, and quotas of namespaces."""

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.applications import store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("capacity", title="Resources and quotas", pack="reliability")


def _sized(pod: Pod) -> list[Container]:
    """Containers that can have resources: ephemeral ones can't."""
    return [container for container in pod.containers if container.list_name != "ephemeralContainers"]


def _request(pod: Pod, container: Container, resource: str) -> Field:
    """The container's request, else its limit, which is the default of the request, else the pod's."""
    for resources in (container["resources"], pod.spec["resources"]):
        for kind in ("requests", "limits"):
            if not resources[kind][resource].absent:
                return resources[kind][resource]
    return container["resources"]["requests"][resource]


@topic.pods(
    "resource-requests",
    title="Containers request CPU and memory",
    why="Without requests, the scheduler places more pods on a node than it can run, and evicts these pods first.",
    fix="Set resources.requests.cpu and resources.requests.memory to what the container usually needs.",
    severity=Severity.MEDIUM,
    also_in=("NSA: resource policies", "CKV_K8S_10", "CKV_K8S_12", "C-0268", "C-0269", "KSV015", "KSV016"),
)
def resource_requests(pod: Pod) -> Findings:
    for container in _sized(pod):
        for resource in ("cpu", "memory"):
            if (request := _request(pod, container, resource)).absent:
                yield finding(request, "it has no request")


@topic.pods(
    "memory-limit",
    title="Containers have a memory limit",
    why="Without a limit, a leak in one container uses up the memory of the node, and the kernel kills other "
    "containers.",
    fix="Set resources.limits.memory.",
    severity=Severity.MEDIUM,
    also_in=("NSA: resource policies", "CKV_K8S_13", "C-0271", "KSV018"),
)
def memory_limit(pod: Pod) -> Findings:
    for container in _sized(pod):
        limit = container["resources"]["limits"]["memory"]
        if limit.absent and pod.spec["resources"]["limits"]["memory"].absent:
            yield finding(limit, "memory has no limit")


@topic.pods(
    "store-memory-guaranteed",
    title="The memory request of a store equals its limit",
    why="A store sizes its caches by its limit. With a lower request, it is killed when the node runs out of memory.",
    fix="Set resources.requests.memory of the store to its limit.",
    severity=Severity.MEDIUM,
    also_in=("Kyverno: memory-requests-equal-limits",),
)
def store_memory_guaranteed(pod: Pod) -> Findings:
    for container in _sized(pod):
        request, limit = (container["resources"][kind]["memory"] for kind in ("requests", "limits"))
        if request.quantity is None or limit.quantity is None:
            continue
        if request.quantity != limit.quantity and store_of(container):
            yield finding(request, "the request is lower than the limit")


@topic.pods(
    "ephemeral-storage-bounded",
    title="Containers request and limit ephemeral storage",
    why="Otherwise logs and scratch files of one container can fill the node's disk, and the kubelet evicts pods.",
    fix="Set resources.requests and resources.limits for ephemeral-storage.",
    severity=Severity.LOW,
    also_in=(
        "kube-score: container-ephemeral-storage-request-and-limit",
        "kube-linter: unset-ephemeral-storage-requirements",
    ),
)
def ephemeral_storage_bounded(pod: Pod) -> Findings:
    for container in _sized(pod):
        limit = container["resources"]["limits"]["ephemeral-storage"]
        if limit.absent:
            yield finding(limit, "the container can fill the node's disk")


@topic.pods(
    "empty-dir-size-limit",
    title="An emptyDir has a size limit",
    why="An emptyDir uses the node's disk or memory. Without a limit it can fill them for every pod on the node.",
    fix="Set emptyDir.sizeLimit.",
    severity=Severity.LOW,
    also_in=("Kyverno: require-emptydir-requests-and-limits",),
)
def empty_dir_size_limit(pod: Pod) -> Findings:
    for volume in pod.volumes:
        directory = volume["emptyDir"]
        if directory.present and directory["sizeLimit"].absent:
            yield finding(directory, "it has no sizeLimit")


@topic.pods(
    "store-priority-class",
    title="Stores have a priority class",
    why="When a node runs short of resources, pods without priority are evicted first, and without its store "
    "Langfuse stops.",
    fix="Set priorityClassName to a class above that of stateless pods.",
    severity=Severity.LOW,
    also_in=("kube-linter: priority-class-name", "Polaris: priorityClassNotSet"),
)
def store_priority_class(pod: Pod) -> Findings:
    name = pod.spec["priorityClassName"]
    if name.empty and any(container.restarts and store_of(container) for container in pod.containers):
        yield finding(name, "it has no priority class, so the store is evicted like any other pod")


@topic.stack(
    "namespace-quota",
    title="Each namespace has a ResourceQuota",
    why="Without a quota, one runaway workload can take the capacity of every other environment.",
    fix="Add a ResourceQuota to the namespace.",
    severity=Severity.LOW,
    also_in=("NSA: resource policies", "KSV040", "Kyverno: add-ns-quota"),
)
def namespace_quota(stack: Stack) -> Findings:
    yield from _without(stack, "core/ResourceQuota", "the namespace has no ResourceQuota")


@topic.stack(
    "namespace-limit-range",
    title="Each namespace has a LimitRange with defaults for containers",
    why="Containers that operators and people create often have no requests and limits of their own.",
    fix="Add a LimitRange with default and defaultRequest to the namespace.",
    severity=Severity.LOW,
    also_in=("NSA: resource policies", "KSV039"),
)
def namespace_limit_range(stack: Stack) -> Findings:
    yield from _without(stack, "core/LimitRange", "the namespace has no LimitRange with defaults")


def _without(stack: Stack, kind: str, problem: str) -> Findings:
    """Namespaces of the stack without an object of a kind; none while a namespace is unknown."""
    holders = [resource.metadata["namespace"] for resource in stack.of(kind)]
    if any(not holder.known for holder in holders):
        return
    bounded = {holder.text for holder in holders}
    for namespace in stack.of("core/Namespace"):
        name = namespace.metadata["name"]
        if name.known and name.text not in bounded and not namespace.partial:
            yield finding(namespace, problem)
