"""The most that everything in the namespace may take: a bound for what runs away, never for an update."""

import math
from collections.abc import Iterator

import pulumi
import pulumi_kubernetes as k8s

from components import sentinel
from components.installation import Installation, child_options
from components.pods import JOB_RESOURCES, requirements
from components.schema.application import Workload
from components.schema.base import Resources
from components.schema.environment import Settings
from components.values import quantity_value

ROOM = 2
"""Times what the lasting pods ask for: pods that take another's place, Jobs, and what a mesh or an operator adds."""

LEAST_PODS = 64
LEAST_CPU = 192
LEAST_CPU_LIMIT = 384
LEAST_MEMORY_GIBIBYTES = 576
"""What `xlarge` needs, with room: an environment that becomes smaller still has its larger pods when the quota is
already the new one, and a quota below them would refuse the pods that take their place."""


class Quota(pulumi.ComponentResource):
    """A ResourceQuota, and a LimitRange for containers that others add and that name no resources."""

    def __init__(
        self, name: str, installation: Installation, settings: Settings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("langfuse:index:Quota", name, hard(settings), opts)
        child = child_options(self, opts)
        workload = installation.workload("namespace", component="quota", version="1")
        k8s.core.v1.ResourceQuota(
            "langfuse",
            metadata=installation.metadata(workload, name="langfuse"),
            spec={"hard": hard(settings)},
            opts=child,
        )
        bounds = requirements(JOB_RESOURCES)
        k8s.core.v1.LimitRange(
            "langfuse",
            metadata=installation.metadata(workload, name="langfuse"),
            spec={
                "limits": [
                    {"type": "Container", "default": bounds["limits"], "default_request": bounds["requests"]},
                ]
            },
            opts=child,
        )
        self.register_outputs({})


def hard(settings: Settings) -> dict[str, str]:
    """The bounds. No Service is reached from outside the cluster: that is the gateway's."""
    found = list(lasting(settings))

    def total(what: str) -> float:
        return float(sum(count * quantity_value(getattr(resources, what)) for count, resources in found))

    memory = f"{max(LEAST_MEMORY_GIBIBYTES, math.ceil(ROOM * total('memory') / 1024**3))}Gi"
    return {
        "pods": str(max(LEAST_PODS, ROOM * sum(count for count, _ in found))),
        "requests.cpu": str(max(LEAST_CPU, math.ceil(ROOM * total("cpu")))),
        "limits.cpu": str(max(LEAST_CPU_LIMIT, math.ceil(ROOM * total("cpu_limit")))),
        "requests.memory": memory,
        "limits.memory": memory,
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }


def lasting(settings: Settings) -> Iterator[tuple[int, Resources]]:
    """The pods that stay, as many as there can be, and what each asks for."""
    for workload in (settings.web, settings.worker):
        yield most(workload), workload.resources
    postgres, clickhouse, redis, store = settings.postgres, settings.clickhouse, settings.redis, settings.object_store
    if postgres.mode != "external":
        yield (postgres.instances if postgres.mode == "cloudnativepg" else 1), postgres.resources
    if clickhouse.mode == "managed":
        yield clickhouse.replicas, clickhouse.resources
        yield clickhouse.keepers, clickhouse.keeper_resources
    if redis.mode != "external":
        yield (sentinel.REPLICAS if redis.mode == "sentinel" else 1), redis.resources
    if store.mode == "managed":
        yield store.nodes, store.resources


def most(workload: Workload) -> int:
    """Pods that a Deployment can have."""
    return workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas
