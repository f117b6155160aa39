"""StatefulSets: servers with names and volumes of their own, which outlive them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation, disruption_budget, volume_claim
from components.kubernetes.labels import Workload
from components.kubernetes.pods import PodTemplate

VOLUME = "data"


def pod_names(workload: Workload, replicas: int, *, first: int = 0) -> Sequence[str]:
    """Names that the StatefulSet gives its pods, by ordinal."""
    return [f"{workload.resource_name}-{ordinal}" for ordinal in range(first, first + replicas)]


def host_names(installation: Installation, workload: Workload, replicas: int, *, first: int = 0) -> Sequence[str]:
    """Names under which the headless Service makes each pod known."""
    domain = f"{workload.resource_name}-headless.{installation.namespace}.svc"
    return [f"{pod}.{domain}" for pod in pod_names(workload, replicas, first=first)]


@dataclass(frozen=True, kw_only=True)
class VolumeClaims:
    """A volume for each pod."""

    storage: str
    resources: Sequence[k8s.core.v1.PersistentVolumeClaim]
    first: int
    """Ordinal of the first pod."""


def volume_claims(
    installation: Installation, workload: Workload, pods: Sequence[str], storage: str, opts: pulumi.ResourceOptions
) -> VolumeClaims:
    """A volume for each pod under the name that the StatefulSet looks for.

    The StatefulSet would make them from its template, but a template can't be changed: volumes made here grow.
    """
    made = [volume_claim(installation, workload, storage, opts, name=f"{VOLUME}-{pod}") for pod in pods]
    return VolumeClaims(storage=storage, resources=made, first=int(pods[0].rpartition("-")[2]))


def stateful_set(  # a StatefulSet has this many independent parts
    installation: Installation,
    workload: Workload,
    template: PodTemplate,
    opts: pulumi.ResourceOptions,
    *,
    governing: k8s.core.v1.Service,
    volumes: VolumeClaims | None = None,
    name: str | None = None,
) -> k8s.apps.v1.StatefulSet:
    """A StatefulSet with its disruption budget. Its pods start together: each finds the others by itself.

    Args:
        installation: Gives the namespace, and whether data is protected.
        workload: Gives the name and the labels.
        template: Of its pods.
        opts: Resource options.
        governing: The headless Service that gives each pod a name.
        volumes: One for each pod; None for a single pod that names its volume itself.
        name: A name other than the workload's.
    """
    replicas = len(volumes.resources) if volumes else 1
    spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
        # Kubernetes' default, said aloud: no StatefulSet takes its volumes along.
        "persistent_volume_claim_retention_policy": {"when_deleted": "Retain", "when_scaled": "Retain"},
        "replicas": replicas,
        "revision_history_limit": 3,
        "selector": {"match_labels": workload.selector},
        "service_name": governing.metadata.name,
        "template": template,
    }
    options = installation.stateful(opts)
    if volumes:
        if volumes.first:
            spec["ordinals"] = {"start": volumes.first}
        spec["pod_management_policy"] = "Parallel"
        spec["volume_claim_templates"] = [_claim_template(workload, volumes.storage)]
        # After its volumes, and not replaced when they grow.
        own = pulumi.ResourceOptions(depends_on=list(volumes.resources), ignore_changes=["spec.volumeClaimTemplates"])
        options = pulumi.ResourceOptions.merge(options, own)
    disruption_budget(installation, workload, replicas, opts)
    name = name or workload.resource_name
    return k8s.apps.v1.StatefulSet(name, metadata=installation.metadata(workload, name=name), spec=spec, opts=options)


def _claim_template(workload: Workload, storage: str) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    """The template that the API asks for; `volume_claims` comes before it."""
    return {
        "metadata": {"name": VOLUME, "labels": workload.selector},
        "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }
