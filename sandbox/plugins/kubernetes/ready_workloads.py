"""Readiness of Deployments, StatefulSets, DaemonSets, Jobs and Pods."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes.objects import (
    Kind,
    Object,
    annotation,
    condition,
    name,
    number,
    objects,
    owned_by,
    text,
)
from sandbox.plugins.kubernetes.readiness import (
    POD,
    READY,
    Criterion,
    Verdict,
    View,
    failed,
    is_observed,
    pod_problems,
    problems_of_pod,
    waiting,
)

REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet")
CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim")
REVISION: Final = "deployment.kubernetes.io/revision"
FIRST_REVISION: Final = "1"


def deployment(live: Object, view: View) -> Verdict:
    """Check a Deployment: its newest ReplicaSet has all its pods ready, and the claims it mounts are bound."""
    revision = annotation(live, REVISION)
    sets = [item for item in view.all(REPLICA_SET) if owned_by(item, live) and annotation(item, REVISION) == revision]
    if not is_observed(live) or not revision or not sets:
        return waiting("Waiting for the Deployment controller", *_condition_problems(live))
    newest = sets[0]
    desired, ready = number(newest, "spec", "replicas", default=1), number(newest, "status", "readyReplicas")
    progressing, available = condition(live, "Progressing"), condition(live, "Available")
    rolled_out = progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"
    updated = number(live, "status", "updatedReplicas") >= number(live, "spec", "replicas", default=1)
    unbound = _unbound_claims(live, view)
    if (
        available.get("status") == "True"
        and (rolled_out or revision == FIRST_REVISION)
        and ready >= desired
        and updated
        and not unbound
    ):
        return READY
    return waiting(
        f"Waiting for app ReplicaSet to be available ({ready}/{desired} Pods available)",
        *_condition_problems(live),
        *unbound,
        *pod_problems(newest, view),
    )


def stateful_set(live: Object, view: View) -> Verdict:
    """Check a StatefulSet: every replica is of the newest revision and ready."""
    desired, status = number(live, "spec", "replicas", default=1), live.get("status")
    counted, ready = number(status, "replicas"), number(status, "readyReplicas")
    on_delete = text(live, "spec", "updateStrategy", "type") == "OnDelete"
    if is_observed(live):
        revisions = text(status, "currentRevision"), text(status, "updateRevision")
        if on_delete and number(live, "metadata", "generation") > 1:
            current = True
        else:
            current = revisions[0] == revisions[1] != "" and number(status, "currentReplicas") == desired
        if current and counted == ready == desired:
            return READY
        if counted == ready == desired:
            return waiting("Waiting for StatefulSet to update .status.currentRevision", *pod_problems(live, view))
    return waiting(f"Waiting for StatefulSet Pods ({ready}/{desired} Pods ready)", *pod_problems(live, view))


def daemon_set(live: Object, view: View) -> Verdict:
    """Check a DaemonSet: every node that should run its pod has a ready one of the newest revision."""
    status = live.get("status")
    desired = number(status, "desiredNumberScheduled")
    counts = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    lowest = min(number(status, count) for count in counts)
    if is_observed(live) and lowest >= desired:
        return READY
    return waiting(f"Waiting for DaemonSet Pods ({lowest}/{desired} Pods ready)", *pod_problems(live, view))


def job(live: Object, view: View) -> Verdict:
    """Check a Job: it is complete."""
    ended = condition(live, "Failed")
    if ended.get("status") == "True":
        return failed(f"[{text(ended, 'reason')}] {text(ended, 'message')}", *pod_problems(live, view))
    if condition(live, "Complete").get("status") == "True":
        return READY
    active, succeeded, lost = (number(live, "status", count) for count in ("active", "succeeded", "failed"))
    return waiting(
        f"Waiting for Job to succeed (Active: {active} | Succeeded: {succeeded} | Failed: {lost})",
        *pod_problems(live, view),
    )


def pod(live: Object, _view: View) -> Verdict:
    """Check a Pod: it is ready or has succeeded."""
    if condition(live, "Ready").get("status") == "True" or text(live, "status", "phase") == "Succeeded":
        return READY
    return waiting(f'Waiting for Pod "{name(live)}" to be ready', *problems_of_pod(live))


def replication_controller(live: Object, view: View) -> Verdict:
    """Check a ReplicationController: all replicas are available."""
    desired, available = number(live, "spec", "replicas", default=1), number(live, "status", "availableReplicas")
    if available == desired:
        return READY
    return waiting(f"Waiting for replicas ({available}/{desired} available)", *pod_problems(live, view))


def _condition_problems(live: Object) -> list[str]:
    found = [condition(live, kind) for kind in ("Progressing", "Available", "ReplicaFailure")]
    wrong = [item for item in found if item and (item["status"] == "True") == (item["type"] == "ReplicaFailure")]
    return [f"[{text(item, 'reason')}] {text(item, 'message')}" for item in wrong]


def _unbound_claims(live: Object, view: View) -> list[str]:
    volumes = objects(live, "spec", "template", "spec", "volumes")
    desired = {text(volume, "persistentVolumeClaim", "claimName") for volume in volumes} - {""}
    if not desired:
        return []
    phases = {name(claim): text(claim, "status", "phase") for claim in view.all(CLAIM) if name(claim) in desired}
    return [
        f"PersistentVolumeClaim: [{claim}] is not ready. status.phase currently at: {phase}"
        for claim, phase in phases.items()
        if phase != "Bound"
    ]


CRITERIA: Final = {
    ("apps", "Deployment"): Criterion(deployment, (REPLICA_SET, POD, CLAIM)),
    ("apps", "StatefulSet"): Criterion(stateful_set, (POD,)),
    ("apps", "DaemonSet"): Criterion(daemon_set, (POD,)),
    ("batch", "Job"): Criterion(job, (POD,)),
    ("", "Pod"): Criterion(pod),
    ("", "ReplicationController"): Criterion(replication_controller, (POD,), on_read=False),
}
