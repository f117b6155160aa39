"""Deployments of the application: rolled out without a gap, with a fixed or an autoscaled number of pods."""

import math
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.objects import Scope, disruption_budget
from components.kubernetes.pods import PodTemplate
from components.kubernetes.rollouts import await_options, grace_seconds, round_seconds, surge
from components.schema.workloads import Autoscaling
from components.schema.workloads import Workload as WorkloadSettings

SCALED_BY = "scaled-by"
"""Annotation of a Deployment that has an autoscaler. When the autoscaler is removed and `replicas` is as before, it
gives Pulumi a change to apply; otherwise the Deployment would keep the number that the autoscaler had set."""

SCALE_DOWN_SECONDS = 300
"""How long fewer pods must suffice before one is removed: draining a pod takes minutes."""


REMOVED_PERCENT = 25

LARGEST_PERIOD_SECONDS = 1800
"""The longest period of a scaling policy (k8s.io/api/autoscaling/v2, HPAScalingPolicy)."""

KEDA_IGNORES: Mapping[str, str] = {"validations.keda.sh/hpa-ownership": "false"}
"""Annotation of a HorizontalPodAutoscaler: KEDA's webhook would otherwise refuse the ScaledObject that replaces it,
because an update creates before it deletes (apis/keda/v1alpha1/scaledobject_webhook.go, verifyHpas)."""


def deployment(
    scope: Scope,
    settings: WorkloadSettings,
    template: PodTemplate,
    *,
    after: Sequence[pulumi.Resource],
    own_autoscaler: bool = False,
) -> k8s.apps.v1.Deployment:
    """A Deployment with its disruption budget, and with an autoscaler if the settings have one.

    Args:
        scope: The workload.
        settings: Its number of pods, or the limits of its autoscaler.
        template: The template of its pods.
        after: What must exist before the pods start.
        own_autoscaler: Whether the caller creates the autoscaler.

    `spec.replicas` has one owner at a time. A field that its owner stops sending returns to its default of one pod
    (kubernetes.io/docs/reference/using-api/server-side-apply, "Transferring ownership"). An autoscaled Deployment
    therefore keeps the field and ignores its changes: the provider sends the current number of pods until the
    autoscaler has set one, and none from then on (`handleSSAIgnoreFields` in pulumi-kubernetes).
    """
    workload, bounds = scope.workload, settings.autoscaling
    replicas = bounds.min_replicas if bounds else settings.replicas
    most = bounds.max_replicas if bounds else settings.replicas
    at_once, progress = surge(most), round_seconds(template)
    spec: k8s.apps.v1.DeploymentSpecArgsDict = {
        "replicas": replicas,
        # Kubernetes starts to count again whenever a pod becomes ready.
        "progress_deadline_seconds": progress,
        "revision_history_limit": 3,
        "selector": {"match_labels": workload.selector},
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_surge": at_once, "max_unavailable": 0}},
        "template": template,
    }
    if bounds and not own_autoscaler:
        _autoscaler(scope, bounds, template)
    disruption_budget(scope, most)
    own = pulumi.ResourceOptions.merge(
        await_options(math.ceil(most / at_once) * progress, grace=grace_seconds(template)),
        pulumi.ResourceOptions(depends_on=list(after), ignore_changes=["spec.replicas"] if bounds else None),
    )
    return k8s.apps.v1.Deployment(
        workload.resource_name,
        metadata=workload.metadata(annotations={SCALED_BY: "autoscaler"} if bounds else None),
        spec=spec,
        opts=scope.options(own),
    )


def drain_period(template: PodTemplate) -> int:
    """The seconds in which an autoscaler removes at most REMOVED_PERCENT of the pods, or one.

    A pod that is removed may drain for as long as its grace period. Those that stay carry its load meanwhile.
    """
    return min(grace_seconds(template), LARGEST_PERIOD_SECONDS)


def _autoscaler(scope: Scope, bounds: Autoscaling, template: PodTemplate) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    name = scope.workload.resource_name
    return k8s.autoscaling.v2.HorizontalPodAutoscaler(
        name,
        metadata=scope.workload.metadata(annotations=KEDA_IGNORES),
        spec={
            "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": name},
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
            "behavior": {
                "scale_down": {
                    "stabilization_window_seconds": SCALE_DOWN_SECONDS,
                    "policies": [
                        {"type": "Pods", "value": 1, "period_seconds": drain_period(template)},
                        {"type": "Percent", "value": REMOVED_PERCENT, "period_seconds": drain_period(template)},
                    ],
                    "select_policy": "Max",
                }
            },
        },
        opts=scope.opts,
    )
