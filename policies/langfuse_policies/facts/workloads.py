"""Pods of every kind of workload, and their containers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack

#: Kind to the path of its pod template; a Pod is its own template.
POD_TEMPLATES = {
    "core/Pod": "",
    "core/PodTemplate": "template",
    "core/ReplicationController": "spec.template",
    "apps/Deployment": "spec.template",
    "apps/StatefulSet": "spec.template",
    "apps/DaemonSet": "spec.template",
    "apps/ReplicaSet": "spec.template",
    "batch/Job": "spec.template",
    "batch/CronJob": "spec.jobTemplate.spec.template",
    # Custom resources whose controllers start the pods that they describe:
    "argoproj.io/Rollout": "spec.template",  # argo-rollouts, manifests/crds/rollout-crd.yaml
    "keda.sh/ScaledJob": "spec.jobTargetRef.template",  # keda, config/crd/bases/keda.sh_scaledjobs.yaml
}

#: Kinds whose pods run until they are stopped.
SERVERS = frozenset(
    {"apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "core/ReplicationController",
     "core/Pod", "argoproj.io/Rollout"}
)  # fmt: skip

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class Container:
    """One container of any list."""

    fields: Field
    #: `initContainers`, `containers` or `ephemeralContainers`.
    list_name: str
    pod_security_context: Field

    def __getitem__(self, key: str) -> Field:
        """A field of the container."""
        return self.fields[key]

    @property
    def restarts(self) -> bool:
        """Whether it keeps running: an init container with restartPolicy Always is a sidecar."""
        return self.list_name == "containers" or self.fields["restartPolicy"].equals("Always")

    @property
    def variables(self) -> Iterator[Field]:
        """The environment variables: fields with `name` and `value` or `valueFrom`."""
        yield from self.fields["env"]

    def variable(self, name: str) -> Field:
        """The variable of this name: the last one counts, as in the kubelet; absent when there is none."""
        return self._by_name.get(name) or self.fields["env"][name]  # absent, or unknown when the whole list is

    @cached_property
    def _by_name(self) -> dict[str | None, Field]:
        return {variable["name"].text: variable for variable in self.variables}

    def effective(self, key: str) -> Field:
        """A field of the security context: the container's own, else the pod's."""
        own = self.fields["securityContext"][key]
        return self.pod_security_context[key] if own.absent else own


@dataclass(frozen=True)
class Pod:
    """The pod template of a workload."""

    resource: Resource
    metadata: Field
    spec: Field

    @property
    def containers(self) -> list[Container]:
        """Every container: init, main, ephemeral."""
        context = self.spec["securityContext"]
        return [Container(fields, list_name, context) for list_name in _CONTAINERS for fields in self.spec[list_name]]

    @property
    def volumes(self) -> Field:
        """The volumes."""
        return self.spec["volumes"]

    @property
    def labels(self) -> Field:
        """The pod's labels."""
        return self.metadata["labels"]

    @property
    def windows(self) -> bool:
        """Whether it runs on Windows, where settings of Linux are not allowed."""
        return self.spec["os"]["name"].equals("windows")

    @property
    def has_user_namespace(self) -> bool:
        """Whether its root is an unprivileged user on the node: the standards then allow root, as of 1.35."""
        return self.spec["hostUsers"].equals(False)


def pod_of(resource: Resource) -> Pod | None:
    """The pod of a workload; None for every other resource."""
    path = POD_TEMPLATES.get(resource.kind)
    if path is None:
        return None
    template = resource.at(path) if path else resource.fields
    return Pod(resource, template["metadata"], template["spec"])


def pods_of(stack: Stack) -> Iterator[Pod]:
    """The pods of all workloads."""
    for resource in stack.resources:
        if (pod := pod_of(resource)) is not None:
            yield pod
