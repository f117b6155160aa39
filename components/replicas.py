"""What StatefulSets have in common, and those with a volume for each pod."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.installation import Installation, volume_claim
from components.labels import Workload

VOLUME = "data"

KEEP_VOLUMES: k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgsDict = {
    "when_deleted": "Retain",
    "when_scaled": "Retain",
}
"""Kubernetes' default, said aloud: no StatefulSet takes its volumes along."""


def pod_names(workload: Workload, replicas: int, *, first: int = 0) -> Sequence[str]:
    """Names that the StatefulSet gives its pods, by ordinal."""
    return [f"{workload.resource_name}-{ordinal}" for ordinal in range(first, first + replicas)]


def host_names(installation: Installation, workload: Workload, replicas: int, *, first: int = 0) -> Sequence[str]:
    """Names under which the headless Service makes each pod known."""
    domain = f"{workload.resource_name}-headless.{installation.namespace}.svc"
    return [f"{pod}.{domain}" for pod in pod_names(workload, replicas, first=first)]


def volume_claims(
    installation: Installation, workload: Workload, pods: Sequence[str], storage: str, opts: pulumi.ResourceOptions
) -> Sequence[k8s.core.v1.PersistentVolumeClaim]:
    """A volume for each pod under the name that the StatefulSet looks for.

    The StatefulSet would make them from its template, but a template can't be changed: volumes made here grow.
    """
    return [volume_claim(installation, workload, storage, opts, name=f"{VOLUME}-{pod}") for pod in pods]


def claim_template(workload: Workload, storage: str) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    """The template that the API asks for; `volume_claims` comes before it."""
    return {
        "metadata": {"name": VOLUME, "labels": workload.selector},
        "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }


def stateful_set_options(
    installation: Installation, opts: pulumi.ResourceOptions, claims: Sequence[pulumi.Resource]
) -> pulumi.ResourceOptions:
    """Options of the StatefulSet: after its volumes, and not replaced when they grow."""
    return pulumi.ResourceOptions.merge(
        installation.stateful(opts),
        pulumi.ResourceOptions(depends_on=list(claims), ignore_changes=["spec.volumeClaimTemplates"]),
    )
