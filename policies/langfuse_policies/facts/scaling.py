"""How many replicas a workload has: its own number, or the minimum of its autoscaler."""

from collections.abc import Iterator
from dataclasses import dataclass

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Pod, pod_of

#: Kinds that are scaled by a number of replicas.
SCALED = ("apps/Deployment", "apps/StatefulSet", "argoproj.io/Rollout")

#: The minimum replicas of each kind of autoscaler: the key under spec, and the default.
_AUTOSCALERS = {
    "autoscaling/HorizontalPodAutoscaler": ("minReplicas", 1.0),
    "keda.sh/ScaledObject": ("minReplicaCount", 0.0),
}


@dataclass(frozen=True)
class Workload:
    """A workload and its scale."""

    pod: Pod
    #: The minimum number of replicas; None while it is unknown.
    replicas: float | None
    autoscaler: Resource | None

    @property
    def resource(self) -> Resource:
        """The Deployment, StatefulSet or Rollout."""
        return self.pod.resource


def target_of(autoscaler: Resource) -> tuple[str, str, str] | None:
    """Namespace, kind without group, and name of an autoscaler's target; None while it is unknown."""
    target = autoscaler.at("spec.scaleTargetRef")
    if not (target["kind"].known and target["name"].known and autoscaler.metadata["namespace"].known):
        return None
    return autoscaler.namespace, target["kind"].text or "Deployment", target["name"].text or ""


def autoscalers(stack: Stack) -> Iterator[Resource]:
    """HorizontalPodAutoscalers and KEDA's ScaledObjects."""
    return stack.of(*_AUTOSCALERS)


def workloads(stack: Stack) -> list[Workload]:
    """The scaled workloads of a stack."""
    targets = {target_of(autoscaler): autoscaler for autoscaler in autoscalers(stack)}
    found = []
    for resource in stack.of(*SCALED):
        pod = pod_of(resource)
        if pod is None:
            continue
        autoscaler = targets.get((resource.namespace, resource.kind.partition("/")[2], resource.object_name))
        if autoscaler is not None:
            key, default = _AUTOSCALERS[autoscaler.kind]
            replicas = _number(autoscaler["spec"][key], default)
        else:  # an autoscaler with an unknown target may scale this one
            replicas = None if None in targets else _number(resource.at("spec.replicas"), 1.0)
        found.append(Workload(pod, replicas, autoscaler))
    return found


def _number(field: Field, default: float) -> float | None:
    return default if field.absent else field.number
