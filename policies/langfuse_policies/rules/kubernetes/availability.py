"""Availability while nodes are drained and versions are rolled out."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import langfuse_role, store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.scaling import Workload, workloads
from langfuse_policies.facts.selectors import equal, labels_of, matches

topic = Topic("availability", title="Availability", pack="reliability")


class Replicas(Settings):
    """The minimum number of replicas."""

    least: Annotated[int, Meta(gt=0, description="Minimum replicas of a stateless server.")] = 2


@topic.stack(
    "several-replicas",
    title="Stateless servers have several replicas",
    why="With one replica, every drain of a node and every crash is an outage.",
    fix="Set replicas, or the autoscaler's minimum, to at least 2.",
    severity=Severity.HIGH,
    also_in=(
        "kube-score: deployment-replicas",
        "Polaris: deploymentMissingReplicas",
        "kube-linter: minimum-three-replicas",
    ),
    settings=Replicas,
)
def several_replicas(stack: Stack, settings: Replicas) -> Findings:
    selectors: dict[str, list[Field]] = {}
    for service in stack.of("core/Service"):
        selectors.setdefault(service.namespace, []).append(service.at("spec.selector"))
    for workload in _deployments(stack):
        if workload.replicas is None or workload.replicas >= settings.least:
            continue
        containers = [container for container in workload.pod.containers if container.restarts]
        if any(store_of(container) for container in containers):
            continue
        labels = labels_of(workload.pod.labels)
        serves = any(one.size and equal(one, labels) for one in selectors.get(workload.resource.namespace, ()))
        if serves or any(langfuse_role(container) for container in containers):
            yield finding(_scale(workload), "one failure is an outage", _scaler(workload))


def _deployments(stack: Stack) -> Iterator[Workload]:
    """Deployments and Rollouts."""
    return (one for one in workloads(stack) if one.resource.kind != "apps/StatefulSet")


def _scaler(workload: Workload) -> Resource:
    return workload.autoscaler or workload.resource


def _scale(workload: Workload) -> Field:
    return _scaler(workload)["spec"] if workload.autoscaler else workload.resource.at("spec.replicas")


@topic.stack(
    "rollout-keeps-capacity",
    title="A rollout removes no replica before the next one is ready",
    why="Otherwise each rollout runs with fewer replicas than the load was planned for, and a stuck rollout does "
    "so until it is fixed.",
    fix="Set strategy.type to RollingUpdate with rollingUpdate.maxUnavailable 0 and maxSurge 1.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: deployment-strategy", "kube-linter: no-rolling-update-strategy"),
)
def rollout_keeps_capacity(stack: Stack) -> Findings:
    for workload in workloads(stack):
        if workload.resource.kind != "apps/Deployment" or (workload.replicas or 0) < 2:  # noqa: PLR2004  # several
            continue
        strategy = workload.resource.at("spec.strategy")
        if strategy["type"].equals("Recreate"):
            yield finding(strategy["type"], "all replicas stop before the first new one starts", workload.resource)
        elif (unavailable := strategy["rollingUpdate"]["maxUnavailable"]).differs(0, "0", "0%"):
            yield finding(unavailable, "replicas stop before new ones are ready: the default is 25%", workload.resource)


@topic.stack(
    "replicas-spread",
    title="Replicas are spread over nodes or zones",
    why="Otherwise the scheduler may place all replicas, or the majority of a quorum, on one node.",
    fix="Add topologySpreadConstraints or a podAntiAffinity with a selector that matches the pods' own labels.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: no-anti-affinity", "kube-score: deployment-has-host-podantiaffinity"),
)
def replicas_spread(stack: Stack) -> Findings:
    for workload in workloads(stack):
        if (workload.replicas or 0) < 2:  # noqa: PLR2004  # several
            continue
        labels = labels_of(workload.pod.labels)
        spread = [
            not selector.absent and matches(selector, labels) is not False for selector in _spreading(workload.pod.spec)
        ]
        if labels is not None and not any(spread) and _stated(workload.pod.spec):
            yield finding(workload.pod.spec, "all replicas may run on one node", workload.resource)


def _stated(spec: Field) -> bool:
    """Whether every field that spreads pods is known."""
    apart = spec["affinity"]["podAntiAffinity"]
    return spec["topologySpreadConstraints"].known and all(
        apart[f"{strength}DuringSchedulingIgnoredDuringExecution"].known for strength in ("required", "preferred")
    )


def _spreading(spec: Field) -> Iterator[Field]:
    """The selectors of all constraints and terms that spread pods."""
    for constraint in spec["topologySpreadConstraints"]:
        yield constraint["labelSelector"]
    apart = spec["affinity"]["podAntiAffinity"]
    for term in apart["requiredDuringSchedulingIgnoredDuringExecution"]:
        yield term["labelSelector"]
    for term in apart["preferredDuringSchedulingIgnoredDuringExecution"]:
        yield term["podAffinityTerm"]["labelSelector"]


@topic.resources(
    "database-members-spread",
    "postgresql.cnpg.io/Cluster",
    title="The members of a Postgres cluster run on different nodes",
    why="A standby on the primary's node is lost together with it.",
    fix="Leave affinity.enablePodAntiAffinity at its default, true.",
    severity=Severity.MEDIUM,
    also_in=("CloudNativePG: scheduling",),
)
def database_members_spread(cluster: Resource) -> Findings:
    if (apart := cluster.at("spec.affinity.enablePodAntiAffinity")).equals(False):
        yield finding(apart, "members may run on the same node")
