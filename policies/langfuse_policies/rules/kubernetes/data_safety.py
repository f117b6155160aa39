"""Data: resources that hold it are not deleted or replaced by accident."""

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.data import (
    BUCKETS,
    CREDENTIALS,
    DEFINITIONS,
    NAMESPACES,
    STATEFUL_SET,
    STORES,
    VOLUMES,
    holds_data,
)
from langfuse_policies.facts.resources import Resource

topic = Topic("data", title="Data", pack="reliability")

_UNPROTECTED = "protect is not set"


def _unprotected(resource: Resource) -> Findings:
    if holds_data(resource) and not resource.protect:
        yield finding(resource, _UNPROTECTED)


@topic.resources(
    "protect-namespaces",
    *NAMESPACES,
    *DEFINITIONS,
    title="Namespaces and custom resource definitions are protected from deletion",
    why="Deleting a namespace deletes its volume claims and Secrets; deleting a definition deletes every object of "
    "its kind.",
    fix="Set the resource option protect=True; `pulumi state unprotect` permits one deletion.",
    severity=Severity.CRITICAL,
)
def protect_namespaces(resource: Resource) -> Findings:
    yield from _unprotected(resource)


@topic.resources(
    "protect-stores",
    *VOLUMES,
    STATEFUL_SET,
    *STORES,
    title="Volumes and the objects that use them are protected from deletion",
    why="A change of a field that can't be updated in place makes the engine delete the store and create an empty one.",
    fix="Set the resource option protect=True; `pulumi state unprotect` permits one deletion.",
    severity=Severity.CRITICAL,
)
def protect_stores(resource: Resource) -> Findings:
    yield from _unprotected(resource)


@topic.resources(
    "protect-buckets",
    *BUCKETS,
    title="Buckets are protected from deletion",
    why="Deleting the bucket deletes the events, the media or the backups in it.",
    fix="Set the resource option protect=True; `pulumi state unprotect` permits one deletion.",
    severity=Severity.CRITICAL,
)
def protect_buckets(resource: Resource) -> Findings:
    yield from _unprotected(resource)


@topic.resources(
    "protect-credentials",
    *CREDENTIALS,
    title="Credentials are protected from deletion",
    why="A new password locks the application out of its stores; a new SALT or ENCRYPTION_KEY makes data unreadable.",
    fix="Set the resource option protect=True; `pulumi state unprotect` permits one deletion.",
    severity=Severity.CRITICAL,
)
def protect_credentials(resource: Resource) -> Findings:
    # A random value with keepers is made to be rotated, and the engine does not replace a protected resource.
    if resource["keepers"].empty:
        yield from _unprotected(resource)


@topic.resources(
    "retain-volume-claims",
    "apps/StatefulSet",
    title="A StatefulSet keeps its volume claims when it is scaled down or deleted",
    why="With the policy Delete, one wrong replica count deletes a volume.",
    fix="Remove spec.persistentVolumeClaimRetentionPolicy, or set whenDeleted and whenScaled to Retain.",
    severity=Severity.CRITICAL,
)
def retain_volume_claims(resource: Resource) -> Findings:
    policy = resource.at("spec.persistentVolumeClaimRetentionPolicy")
    for when in ("whenDeleted", "whenScaled"):
        if policy[when].equals("Delete"):
            yield finding(policy[when], "the claims and their data are deleted")


@topic.resources(
    "retain-volumes",
    "storage.k8s.io/StorageClass",
    "core/PersistentVolume",
    title="A volume is kept when its claim is deleted",
    why="The default of a StorageClass is Delete: deleting the claim deletes the disk.",
    fix="Set reclaimPolicy (persistentVolumeReclaimPolicy of a PersistentVolume) to Retain.",
    severity=Severity.CRITICAL,
)
def retain_volumes(resource: Resource) -> Findings:
    if resource.kind == "core/PersistentVolume":
        policy = resource.at("spec.persistentVolumeReclaimPolicy")
        wrong = policy.equals("Delete", "Recycle")  # absent is Retain: core/v1 PersistentVolumeSpec
    else:
        policy = resource["reclaimPolicy"]
        wrong = policy.differs("Retain")  # absent is Delete: storage/v1 StorageClass
    if wrong:
        yield finding(policy, "the volume is deleted with its claim")


@topic.resources(
    "expandable-volumes",
    "storage.k8s.io/StorageClass",
    title="Volumes can be expanded",
    why="A full disk stops the store. Without expansion, the data has to be copied to another volume first.",
    fix="Set allowVolumeExpansion to true.",
    severity=Severity.HIGH,
)
def expandable_volumes(resource: Resource) -> Findings:
    if (expansion := resource["allowVolumeExpansion"]).differs(True):
        yield finding(expansion, "volumes of this class can't be expanded")


#: The API server refuses a change of it, and the provider replaces the StatefulSet: pulumi-kubernetes#4328.
_CLAIMS = "spec.volumeClaimTemplates"
_PROPAGATION = "pulumi.com/deletionPropagationPolicy"


@topic.resources(
    "no-silent-replacement",
    "apps/StatefulSet",
    title="A changed volume claim template does not replace a running store",
    why="Kubernetes does not allow the change, so the provider deletes the StatefulSet with its pods and creates "
    "it again.",
    fix="Set protect=True, or ignore_changes=['spec.volumeClaimTemplates'], or the annotation "
    "pulumi.com/deletionPropagationPolicy: orphan, which keeps the pods.",
    severity=Severity.HIGH,
)
def no_silent_replacement(resource: Resource) -> Findings:
    templates = resource.at(_CLAIMS)
    if templates.size == 0 or resource.protect:
        return
    ignored = any(_CLAIMS.startswith(path) or path == "*" for path in resource.ignore_changes)
    if not ignored and resource.metadata["annotations"][_PROPAGATION].differs("orphan"):
        yield finding(templates, "a change here deletes the StatefulSet and its pods")
