"""Web and worker of a deployed stack. They write to all stores, so some commands stop them for a while."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]

WRITERS: Final = ("langfuse-web", "langfuse-worker")
"""The Deployments that every stack has. Pools have further ones, whose names begin with one of these."""

_POOLS: Final = tuple(f"{name}-" for name in WRITERS)

PAUSED: Final = "autoscaling.keda.sh/paused"
"""Annotation of a ScaledObject. Otherwise KEDA starts workers again that were scaled to zero: unlike a
HorizontalPodAutoscaler, it restores the minimum (pkg/scaling/executor/scale_scaledobjects.go of kedacore/keda)."""

STOP_SECONDS: Final = 900
"""Longer than the grace period of a worker."""


class Writers:
    """They are stopped by their scale, which Pulumi's next update does not change: its inputs are the same."""

    def __init__(self, pulumi: Pulumi, cluster: Any, say: Callable[[str], None]) -> None:  # noqa: ANN401  # a Cluster
        """Take the stack, its cluster, and what prints progress."""
        self._pulumi, self._cluster, self._say = pulumi, cluster, say

    @cached_property
    def namespace(self) -> str:
        """The namespace of the stack.

        Raises:
            OperationError: The stack is not deployed.
        """
        for item in self._deployments.values():
            return str(item["metadata"]["namespace"])
        raise OperationError(f"stack {self._pulumi.stack} is not deployed")

    def found(self, name: str) -> Json | None:
        """The Deployment of web or worker in the cluster; None if there is none."""
        item: Json | None = self._cluster.get(self._named(name))
        return item

    def running(self) -> bool:
        """Whether the application may write."""
        found = (self._cluster.get(self._named(name)) for name in self._names)
        return any(item["spec"].get("replicas") for item in found if item)

    def stop(self) -> None:
        """Scale the application to zero, and wait until its pods are gone.

        Raises:
            OperationError: Pods still run after STOP_SECONDS.
        """
        self._say("stopping web and worker ...")
        self._pause("true")
        for name in self._names:
            self._cluster.scale(self._named(name), 0)
        deadline = time.monotonic() + STOP_SECONDS
        for name in self._names:
            selector = f"app.kubernetes.io/name={name.removeprefix('langfuse-')}"
            while self._cluster.pod_names(self.namespace, selector):
                if time.monotonic() > deadline:
                    raise OperationError(f"pods of {name} still run after {STOP_SECONDS} s; run the command again")
                time.sleep(1)

    def start(self) -> None:
        """Scale the application to what Pulumi's state says. An autoscaler takes over from there."""
        for name in self._names:
            found = self._cluster.get(self._named(name))
            if found and name in self._deployments and not found["spec"].get("replicas"):
                self._say(f"starting {name} ...")
                self._cluster.scale(self._named(name), self._deployments[name]["spec"]["replicas"])
        self._pause(None)

    def _pause(self, value: str | None) -> None:
        """Set or remove the annotation that stops KEDA, on each ScaledObject of the stack."""
        for item in self._pulumi.objects():
            if item["kind"] == "ScaledObject" and self._cluster.get(item) is not None:
                self._cluster.patch(item, {"metadata": {"annotations": {PAUSED: value}}})

    @cached_property
    def _deployments(self) -> Mapping[str, Json]:
        """The inputs of web, worker and their pools in the state."""
        found = ((item["metadata"]["name"], item) for item in self._pulumi.objects() if item["kind"] == "Deployment")
        return {name: item for name, item in found if name in WRITERS or name.startswith(_POOLS)}

    @cached_property
    def _names(self) -> list[str]:
        """The Deployments that write."""
        return list(dict.fromkeys([*WRITERS, *self._deployments]))

    def _named(self, name: str) -> Json:
        return named_object("apps/v1", "Deployment", name, self.namespace)
