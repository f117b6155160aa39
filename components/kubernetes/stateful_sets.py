"""StatefulSets: servers with stable names, and with volumes that outlive them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.objects import Scope, disruption_budget, volume_claim
from components.kubernetes.pods import PodTemplate
from components.kubernetes.rollouts import await_options, grace_seconds, round_seconds

VOLUME = "data"

OPERATOR_USER = 26
"""The user of CloudNativePG's servers, unless `postgresUID` is set (cloudnative-pg.io/docs, API reference)."""


@dataclass(frozen=True, kw_only=True)
class VolumeClaims:
    """One volume for each pod."""

    storage: str
    resources: Sequence[k8s.core.v1.PersistentVolumeClaim]
    first: int
    """Ordinal of the first pod."""


def volume_claims(scope: Scope, pods: Sequence[str], storage: str) -> VolumeClaims:
    """One volume for each pod, under the name that the StatefulSet expects.

    The StatefulSet could create them from its template, but a template can't be changed. Volumes that are created here
    can grow.
    """
    claims = [volume_claim(scope, storage, name=f"{VOLUME}-{pod}") for pod in pods]
    return VolumeClaims(storage=storage, resources=claims, first=int(pods[0].rpartition("-")[2]))


def stateful_set(
    scope: Scope,
    template: PodTemplate,
    *,
    governing: k8s.core.v1.Service,
    volumes: VolumeClaims | None = None,
    name: str | None = None,
    start_seconds: int | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> k8s.apps.v1.StatefulSet:
    """A StatefulSet with its disruption budget. Its pods start in parallel and find each other.

    An update replaces one pod at a time, and waits as long as that may take.

    Args:
        scope: The workload it belongs to.
        template: The template of its pods.
        governing: The headless Service that gives each pod a DNS name.
        volumes: One for each pod. None for a single pod whose template names its volume.
        name: The name, if it is not the workload's.
        start_seconds: How long a pod may take to become ready, if its startup probe waits by itself.
        opts: Options in addition to the scope's.
    """
    workload = scope.workload
    name = name or workload.resource_name
    replicas = len(volumes.resources) if volumes else 1
    spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
        # Kubernetes' default, stated explicitly: deleting a StatefulSet never deletes its volumes.
        "persistent_volume_claim_retention_policy": {"when_deleted": "Retain", "when_scaled": "Retain"},
        "replicas": replicas,
        "revision_history_limit": 3,
        "selector": {"match_labels": workload.selector},
        "service_name": governing.metadata.name,
        "template": template,
    }
    wait = await_options(replicas * round_seconds(template, start_seconds), grace=grace_seconds(template))
    options = workload.installation.stateful(scope.options(pulumi.ResourceOptions.merge(wait, opts)))
    options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(hooks=same_users(name)))
    if volumes:
        if volumes.first:
            spec["ordinals"] = {"start": volumes.first}
        spec["pod_management_policy"] = "Parallel"
        spec["volume_claim_templates"] = [_claim_template(scope, volumes.storage)]
        # Created after its volumes, and not replaced when they grow.
        own = pulumi.ResourceOptions(depends_on=list(volumes.resources), ignore_changes=["spec.volumeClaimTemplates"])
        options = pulumi.ResourceOptions.merge(options, own)
    disruption_budget(scope, replicas)
    return k8s.apps.v1.StatefulSet(name, metadata=workload.metadata(name), spec=spec, opts=options)


def same_users(name: str) -> pulumi.ResourceHookBinding:
    """A hook that runs before a server is updated, also in previews. Only the engine knows the former users."""
    options = pulumi.ResourceHookOptions(on_dry_run=True)
    hook = pulumi.ResourceHook(f"{name}-keeps-its-users", refuse_other_users, options)
    return pulumi.ResourceHookBinding(before_update=[hook])


def refuse_other_users(args: pulumi.ResourceHookArgs) -> None:
    """Refuses to run a server with data as another user, or to change who chooses it: the files belong to the former.

    Postgres refuses a data directory of another user, and the others can't write to their files.

    Raises:
        pulumi.RunError: With the present value and what to do.
    """
    before, after = _user(args.old_inputs), _user(args.new_inputs)
    if (before is None) != (after is None):
        now, wanted = ("namespace", "image") if before is None else ("image", "namespace")
        raise pulumi.RunError(
            f'langfuse:cluster.users: "{wanted}" would run {args.name} as another user than the owner of its data; '
            f'set it to "{now}", or restore a backup into a new stack (docs/runbooks/backups.md)'
        )
    if before != after:
        raise pulumi.RunError(
            f"langfuse:images.builds: {args.name} would run as user {after:g} (uid), and its data belongs to user "
            f"{before:g}; set the uid of its build to {before:g}, or restore a backup into a new stack "
            "(docs/runbooks/backups.md)"
        )


def _user(inputs: Mapping[str, Any] | None) -> float | None:
    """The user of the first container; None if the cluster assigns it. Numbers reach a hook as floating-point ones."""
    spec = (inputs or {}).get("spec", {})
    if "template" not in spec:  # the operator chooses it
        found: float | None = spec.get("postgresUID", OPERATOR_USER)
        return found
    containers = spec["template"].get("spec", {}).get("containers", [])
    return next((one.get("securityContext", {}).get("runAsUser") for one in containers), None)


def _claim_template(scope: Scope, storage: str) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    """The template that the API requires. The volumes of `volume_claims` exist before it could be used."""
    return {
        "metadata": {"name": VOLUME, "labels": scope.workload.selector},
        "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }
