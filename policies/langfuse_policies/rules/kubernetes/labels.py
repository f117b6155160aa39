"""Labels, and owners of pods."""

from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.resources import Resource

topic = Topic("labels", title="Labels and owners", pack="reliability")

_PREFIX = "app.kubernetes.io/"


class RequiredLabels(Settings):
    """Labels that every workload has."""

    keys: Annotated[
        tuple[str, ...],
        Meta(description="Keys of labels; by default `part-of` names the owner and `instance` the environment."),
    ] = tuple(_PREFIX + key for key in ("name", "instance", "component", "part-of", "managed-by"))


def _recommended(subject: Resource) -> dict[str, dict[str, str]]:
    """Labels that any resource can have: its name in the program, and what manages it."""
    known = {f"{_PREFIX}name": subject.name, f"{_PREFIX}managed-by": "pulumi"}
    labels = subject.metadata["labels"]
    missing = {key: value for key, value in known.items() if labels[key].absent}
    return {"labels": missing} if missing else {}


@topic.resources(
    "recommended-labels",
    "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "batch/Job", "batch/CronJob",
    title="Workloads have the recommended labels",
    why="The labels say which application, environment and tool a workload belongs to. Dashboards and cost reports "
    "group by them.",
    fix="Add the labels that Kubernetes recommends, such as app.kubernetes.io/name.",
    severity=Severity.LOW,
    also_in=("Kubernetes: recommended labels", "C-0076", "C-0077", "kube-linter: required-label-owner"),
    settings=RequiredLabels,
    remedy=_recommended,
)  # fmt: skip
def recommended_labels(subject: Resource, settings: RequiredLabels) -> Findings:
    for key in settings.keys:
        if (label := subject.metadata["labels"][key]).empty:
            yield finding(label, "the label is missing")


@topic.resources(
    "no-naked-pod",
    "core/Pod", "apps/ReplicaSet", "core/ReplicationController",
    title="Pods are managed by a controller that rolls out new versions",
    why="Nothing replaces a bare pod when its node fails, and a bare ReplicaSet never rolls out a new version.",
    fix="Use a Deployment, a StatefulSet or a Job.",
    severity=Severity.MEDIUM,
    also_in=("C-0073", "Kyverno: prevent-bare-pods"),
)  # fmt: skip
def no_naked_pod(subject: Resource) -> Findings:
    if subject.metadata["ownerReferences"].empty:
        yield finding(subject, "it is not managed by a Deployment, StatefulSet or Job")
