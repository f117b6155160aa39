"""Deployments of the application: replaced without a gap, and as many pods as are asked for or as the load needs."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.installation import Installation, disruption_budget
from components.labels import Workload
from components.pods import PodTemplate
from components.schema.application import Autoscaling
from components.schema.application import Workload as WorkloadSettings

SCALE_DOWN_SECONDS = 300
"""How long fewer pods must have been enough before one goes: it takes minutes to drain."""


def deployment(
    installation: Installation,
    workload: Workload,
    settings: WorkloadSettings,
    template: PodTemplate,
    opts: pulumi.ResourceOptions,
    *,
    after: Sequence[pulumi.Resource],
) -> k8s.apps.v1.Deployment:
    """A Deployment with its disruption budget, and with an autoscaler where its settings ask for one.

    With an autoscaler the program doesn't state a number of pods: it would set it back at every update.
    """
    bounds = settings.autoscaling
    spec: k8s.apps.v1.DeploymentSpecArgsDict = {
        "revision_history_limit": 3,
        "selector": {"match_labels": workload.selector},
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
        "template": template,
    }
    if bounds:
        _autoscaler(installation, workload, bounds, opts)
    else:
        spec["replicas"] = settings.replicas
    disruption_budget(installation, workload, bounds.min_replicas if bounds else settings.replicas, opts)
    return k8s.apps.v1.Deployment(
        workload.resource_name,
        metadata=installation.metadata(workload, name=workload.resource_name),
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
    )


def _autoscaler(
    installation: Installation, workload: Workload, bounds: Autoscaling, opts: pulumi.ResourceOptions
) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    return k8s.autoscaling.v2.HorizontalPodAutoscaler(
        workload.resource_name,
        metadata=installation.metadata(workload, name=workload.resource_name),
        spec={
            "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": workload.resource_name},
            "min_replicas": bounds.min_replicas,
            "max_replicas": bounds.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "average_utilization": bounds.cpu_percent},
                    },
                }
            ],
            "behavior": {"scale_down": {"stabilization_window_seconds": SCALE_DOWN_SECONDS}},
        },
        opts=opts,
    )
