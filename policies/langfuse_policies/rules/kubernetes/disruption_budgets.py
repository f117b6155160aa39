"""Disruption budgets and autoscalers, and how they limit each other."""

import math
from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.scaling import Workload, autoscalers, target_of, workloads
from langfuse_policies.facts.selectors import labels_of, matches

topic = Topic("budgets", title="Disruption budgets and autoscalers", pack="reliability")

_BUDGET = "policy/PodDisruptionBudget"


@topic.stack(
    "disruption-budget",
    title="Every workload with several replicas has a disruption budget",
    why="Without one, draining nodes for an upgrade may stop all replicas at once.",
    fix="Add a PodDisruptionBudget with maxUnavailable 1 that selects the pods.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: deployment-has-poddisruptionbudget", "Polaris: missingPodDisruptionBudget"),
)
def disruption_budget(stack: Stack) -> Findings:
    budgets: dict[str, list[Field]] = {}
    for budget in stack.of(_BUDGET):
        budgets.setdefault(budget.namespace, []).append(budget.at("spec.selector"))
    for workload in workloads(stack):
        if (workload.replicas or 0) < 2:  # noqa: PLR2004  # several
            continue
        labels = labels_of(workload.pod.labels)
        candidates = [*budgets.get(workload.resource.namespace, ()), *budgets.get("", ())]
        if all(matches(selector, labels) is False for selector in candidates) and labels is not None:
            yield finding(workload.resource, "no PodDisruptionBudget selects its pods")


@topic.stack(
    "disruption-budget-leaves-room",
    title="A disruption budget allows at least one eviction",
    why="A budget that allows no eviction blocks the drain of a node, and with it the upgrade of the cluster.",
    fix="Set maxUnavailable to 1, or minAvailable below the number of replicas.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: pdb-max-unavailable", "kube-linter: pdb-min-available", "Kyverno: pdb-minavailable"),
)
def disruption_budget_leaves_room(stack: Stack) -> Findings:
    for budget, selected in _covered(stack):
        if any(workload.autoscaler for workload in selected):
            continue
        if (blocking := _blocks(budget, selected)) is not None:
            yield finding(blocking, "it allows no eviction", budget)


@topic.stack(
    "autoscaler-minimum-above-budget",
    title="The minimum of an autoscaler is above the disruption budget",
    why="Scaled down to its minimum, the workload blocks every drain of a node.",
    fix="Raise the autoscaler's minimum above minAvailable, or set maxUnavailable to 1.",
    severity=Severity.MEDIUM,
    also_in=("Kyverno: pdb-minavailable", "Polaris: pdbMinAvailableGreaterThanHPAMinReplicas"),
)
def autoscaler_minimum_above_budget(stack: Stack) -> Findings:
    for budget, selected in _covered(stack):
        if not any(workload.autoscaler for workload in selected):
            continue
        if (blocking := _blocks(budget, selected)) is not None:
            yield finding(blocking, "it allows no eviction at the autoscaler's minimum", budget)


@topic.stack(
    "one-autoscaler",
    title="A workload has one autoscaler",
    why="Two autoscalers set the same number in turn, or both stop because they select the same pods.",
    fix="Remove one of them: KEDA's ScaledObject creates a HorizontalPodAutoscaler of its own.",
    severity=Severity.HIGH,
)
def one_autoscaler(stack: Stack) -> Findings:
    found: set[tuple[str, str, str]] = set()
    for autoscaler in autoscalers(stack):
        target = target_of(autoscaler)
        if target is None:
            continue
        if target in found:
            yield finding(autoscaler.at("spec.scaleTargetRef"), "another autoscaler scales it too", autoscaler)
        found.add(target)


def _covered(stack: Stack) -> Iterator[tuple[Resource, list[Workload]]]:
    """Each budget with the workloads that it certainly covers."""
    by_namespace: dict[str, list[tuple[Workload, dict[str, str] | None]]] = {}
    for workload in workloads(stack):
        entry = workload, labels_of(workload.pod.labels)
        by_namespace.setdefault(workload.resource.namespace, []).append(entry)
    for budget in stack.of(_BUDGET):
        verdicts = [
            (workload, matches(budget.at("spec.selector"), labels))
            for workload, labels in by_namespace.get(budget.namespace, ())
        ]
        if not any(verdict is None for _, verdict in verdicts):
            yield budget, [workload for workload, verdict in verdicts if verdict]


def _blocks(budget: Resource, selected: list[Workload]) -> Field | None:
    """The bound that allows no eviction, if any."""
    most, least = budget.at("spec.maxUnavailable"), budget.at("spec.minAvailable")
    if most.equals(0, "0", "0%"):
        return most
    if least.equals("100%"):
        return least
    counts = [workload.replicas for workload in selected]
    if not counts or None in counts:
        return None
    replicas = sum(count for count in counts if count is not None)
    needed = _count(least, replicas)
    return least if needed is not None and 0 < replicas <= needed else None


def _count(bound: Field, replicas: float) -> float | None:
    """A number of pods, or a share of them, rounded up as the controller does."""
    text = bound.text or ""
    if text.endswith("%") and text[:-1].isdecimal() and len(text) < 5:  # noqa: PLR2004  # up to 100%
        return math.ceil(replicas * int(text[:-1]) / 100)
    return bound.number


@topic.resources(
    "evict-unhealthy-pods",
    _BUDGET,
    title="A disruption budget does not protect unhealthy pods",
    why="By default a pod that never becomes ready is protected, and blocks the drain of its node forever.",
    fix="Set unhealthyPodEvictionPolicy to AlwaysAllow.",
    severity=Severity.LOW,
    also_in=("kube-linter: pdb-unhealthy-pod-eviction-policy",),
)
def evict_unhealthy_pods(budget: Resource) -> Findings:
    if (policy := budget.at("spec.unhealthyPodEvictionPolicy")).differs("AlwaysAllow"):
        yield finding(policy, "unhealthy pods block the drain of their nodes")


@topic.stack(
    "autoscaler-owns-replicas",
    title="A workload with an autoscaler does not set replicas",
    why="Each deployment would reset the number of replicas, also under load.",
    fix="Remove replicas from the workload, or list spec.replicas in ignore_changes.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: deployment-targeted-by-hpa-does-not-have-replicas-configured",),
)
def autoscaler_owns_replicas(stack: Stack) -> Findings:
    for workload in workloads(stack):
        replicas = workload.resource.at("spec.replicas")
        if workload.autoscaler and replicas.present and _states_replicas(workload.resource):
            yield finding(replicas, "each deployment resets the autoscaler's scale to this", workload.resource)


def _states_replicas(resource: Resource) -> bool:
    """Whether the program sets it; objects from the server always have the field, with its owner."""
    if not {"spec", "spec.replicas"}.isdisjoint(resource.ignore_changes):
        return False
    if resource.metadata["uid"].absent:
        return True
    return any(
        (entry["manager"].text or "").startswith("pulumi") and entry["fieldsV1"]["f:spec"]["f:replicas"].present
        for entry in resource.metadata["managedFields"]
    )
