"""The resource quota: caps what the namespace can request, and leaves room for every rolling update."""

import math

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.kubernetes.pods import JOB_RESOURCES, requirements
from components.network.requests import steady_state_pods
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.requests import Requests

HEADROOM = 2
"""Factor over the requests of the steady-state pods. During a rollout all former pods may still drain while all new
ones run."""

TEMPORARY = 28
"""Temporary pods that run at the same time: one of each CronJob (15), as on a Sunday with a restore meanwhile; further
runs that a person starts of backups, checks and drills (6); the Jobs of an update (4); those of an operator (3)."""

TEMPORARY_POD = Resources(cpu="500m", cpu_limit="4", memory="4Gi")
"""What each of them requests at most, with its init containers."""

MESH_PROXY = Resources(cpu="100m", cpu_limit="2", memory="1Gi")
"""Istio's sidecar in each pod, with its limits (values.yaml of the chart istiod, global.proxy.resources)."""

MINIMUM_PODS = 64
MINIMUM_CPU = 192
MINIMUM_CPU_LIMIT = 384
MINIMUM_MEMORY_GIBIBYTES = 576
"""Enough for `xlarge`, with room. When an environment is scaled down, its larger pods still run under the new quota. A
quota below their requests would refuse the pods that replace them."""


class Quota(pulumi.ComponentResource):
    """A ResourceQuota, and a LimitRange with defaults for containers that others create without resources."""

    def __init__(
        self, name: str, installation: Installation, settings: Settings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("langfuse:index:Quota", name, hard(settings), opts)
        child = child_options(self, opts)
        workload = installation.workload("namespace", component="quota")
        k8s.core.v1.ResourceQuota(
            "langfuse",
            metadata=workload.metadata("langfuse"),
            spec={"hard": hard(settings)},
            opts=child,
        )
        bounds = requirements(JOB_RESOURCES)
        k8s.core.v1.LimitRange(
            "langfuse",
            metadata=workload.metadata("langfuse"),
            spec={
                "limits": [
                    {"type": "Container", "default": bounds["limits"], "default_request": bounds["requests"]},
                ]
            },
            opts=child,
        )
        self.register_outputs({})


def temporary(settings: Settings, proxy: Requests) -> Requests:
    """What pods of Jobs and operators request. The first start requests what web does."""
    return (Requests.of(TEMPORARY_POD) + proxy) * TEMPORARY + Requests.of(settings.web.resources)


def hard(settings: Settings) -> dict[str, str]:
    """The hard limits. Services of type LoadBalancer or NodePort are not allowed: traffic enters by the gateway."""
    found = steady_state_pods(settings)
    pods = sum(item.replicas for item in found if item.sidecar_of is None)
    proxy = Requests.of(MESH_PROXY) if settings.mesh_mode == "sidecar" else Requests()
    total = sum((item.total for item in found), start=proxy * pods) * HEADROOM
    total += temporary(settings, proxy)
    memory = f"{max(MINIMUM_MEMORY_GIBIBYTES, math.ceil(total.memory / 1024**3))}Gi"
    return {
        "pods": str(max(MINIMUM_PODS, HEADROOM * pods + TEMPORARY)),
        "requests.cpu": str(max(MINIMUM_CPU, math.ceil(total.cpu))),
        "limits.cpu": str(max(MINIMUM_CPU_LIMIT, math.ceil(total.cpu_limit))),
        "requests.memory": memory,
        "limits.memory": memory,
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }
