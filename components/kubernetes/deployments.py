"""Deployments of the application: replaced without a gap, and as many pods as are asked for or as the load needs."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation, disruption_budget
from components.kubernetes.labels import Workload
from components.kubernetes.pods import PodTemplate
from components.schema.application import Autoscaling
from components.schema.application import Workload as WorkloadSettings

SCALED_BY = "scaled-by"
"""Annotation of a Deployment that has an autoscaler. Without it Pulumi would see no change when the autoscaler is gone
and `replicas` is what it was before, and the Deployment would keep the number that the autoscaler had set."""

SCALE_DOWN_SECONDS = 300
"""How long fewer pods must have been enough before one goes: it takes minutes to drain."""

PROGRESS_SECONDS = 540
"""Until a rollout without progress counts as failed. Pulumi gives up after 600 s, and would not know why."""


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

    `spec.replicas` has one owner at a time. A field that its owner stops sending goes back to its default, which is one
    pod (kubernetes.io/docs/reference/using-api/server-side-apply, "Transferring ownership"). So an autoscaled
    Deployment keeps the field, as a change to ignore: the provider sends the number that the Deployment has until the
    autoscaler has set one, and none from then on (`handleSSAIgnoreFields` in pulumi-kubernetes).
    """
    bounds = settings.autoscaling
    spec: k8s.apps.v1.DeploymentSpecArgsDict = {
        "replicas": bounds.min_replicas if bounds else settings.replicas,
        "progress_deadline_seconds": PROGRESS_SECONDS,
        "revision_history_limit": 3,
        "selector": {"match_labels": workload.selector},
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
        "template": template,
    }
    if bounds:
        _autoscaler(installation, workload, bounds, opts)
    disruption_budget(installation, workload, bounds.min_replicas if bounds else settings.replicas, opts)
    own = pulumi.ResourceOptions(depends_on=list(after), ignore_changes=["spec.replicas"] if bounds else None)
    return k8s.apps.v1.Deployment(
        workload.resource_name,
        metadata=installation.metadata(
            workload, name=workload.resource_name, annotations={SCALED_BY: "autoscaler"} if bounds else None
        ),
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, own),
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
