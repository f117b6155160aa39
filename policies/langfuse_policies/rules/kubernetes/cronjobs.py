"""CronJobs: each run starts, ends, and does not overlap the next one."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack

topic = Topic("cronjobs", title="CronJobs", pack="reliability")

_KIND = "batch/CronJob"


@topic.resources(
    "cron-runs-apart",
    _KIND,
    title="A run does not start while another one is active",
    why="Two backups at the same time slow each other down until neither finishes; a run that is replaced never "
    "finishes.",
    fix="Set concurrencyPolicy to Forbid.",
    severity=Severity.MEDIUM,
    also_in=("Kubernetes: CronJob concurrency policy",),
)
def cron_runs_apart(job: Resource) -> Findings:
    if (policy := job.at("spec.concurrencyPolicy")).differs("Forbid"):
        yield finding(policy, "a run can overlap the next one or is replaced by it: the default is Allow")


class StartingDeadline(Settings):
    """How late a run may start."""

    least_seconds: Annotated[
        int,
        Meta(
            gt=0,
            description="The controller checks every 10 s, but is away for minutes during an upgrade of the cluster.",
        ),
    ] = 200


@topic.resources(
    "cron-catches-up",
    _KIND,
    title="A run that missed its start time still starts",
    why="With a short deadline, a restart of the control plane skips the night's run; without one, no run ever "
    "starts again after 100 missed ones.",
    fix="Set startingDeadlineSeconds to at least 200.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: cronjob-has-deadline",),
    settings=StartingDeadline,
)
def cron_catches_up(job: Resource, settings: StartingDeadline) -> Findings:
    deadline = job.at("spec.startingDeadlineSeconds")
    if deadline.absent:
        yield finding(deadline, "no run starts again after 100 missed ones")
    elif deadline.number is not None and deadline.number < settings.least_seconds:
        yield finding(deadline, "a run that is only slightly late is skipped")


@topic.resources(
    "cron-run-ends",
    _KIND,
    title="A run has a deadline",
    why="A run that hangs blocks all later ones. None of them fails, so there is no alert.",
    fix="Set activeDeadlineSeconds in jobTemplate.spec.",
    severity=Severity.MEDIUM,
    also_in=("Kubernetes: Job termination and cleanup",),
)
def cron_run_ends(job: Resource) -> Findings:
    of_job, of_pod = job.at("spec.jobTemplate.spec"), job.at("spec.jobTemplate.spec.template.spec")
    if (deadline := of_job["activeDeadlineSeconds"]).absent and of_pod["activeDeadlineSeconds"].absent:
        yield finding(deadline, "a run can hang forever")


@topic.resources(
    "cron-retries-bounded",
    _KIND,
    title="The number of retries is set",
    why="By default a run is tried 7 times within half an hour, which is rarely right for a run that writes data "
    "or costs money.",
    fix="Set backoffLimit in jobTemplate.spec.",
    severity=Severity.LOW,
    also_in=("Kubernetes: Job backoff limit",),
)
def cron_retries_bounded(job: Resource) -> Findings:
    if (limit := job.at("spec.jobTemplate.spec.backoffLimit")).absent:
        yield finding(limit, "a run is tried 7 times: the default is 6 retries")


@topic.resources(
    "cron-history",
    _KIND,
    title="The number of finished runs that are kept is set",
    why="By default one failed run is kept: after a second failure, the first one and its cause are gone.",
    fix="Set successfulJobsHistoryLimit and failedJobsHistoryLimit, the latter to at least 1.",
    severity=Severity.LOW,
    also_in=("Kubernetes: CronJob history limits",),
)
def cron_history(job: Resource) -> Findings:
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if (limit := job["spec"][key]).absent:
            yield finding(limit, "the number is not set")
    if (failed := job.at("spec.failedJobsHistoryLimit")).equals(0):
        yield finding(failed, "failed runs are not kept")


@topic.resources(
    "cron-finished-runs-removed",
    _KIND,
    title="Finished runs are deleted after some time",
    why="The history limits count runs, not days: when the schedule is rare or suspended, the last runs stay "
    "forever, with their pods, logs and volumes.",
    fix="Set ttlSecondsAfterFinished in jobTemplate.spec, long enough to find out why a run failed.",
    severity=Severity.LOW,
    also_in=("kube-linter: job-ttl-seconds-after-finished",),
)
def cron_finished_runs_removed(job: Resource) -> Findings:
    if (kept := job.at("spec.jobTemplate.spec.ttlSecondsAfterFinished")).absent:
        yield finding(kept, "finished runs are not deleted")


@topic.stack(
    "job-volume-own-class",
    title="Volumes of Jobs do not use a StorageClass that retains data",
    why="Such a class keeps a volume of every run, with an unencrypted dump of the database that nobody remembers.",
    fix="Stream the data to its destination, use an emptyDir, or name a StorageClass with the reclaim policy Delete.",
    severity=Severity.HIGH,
)
def job_volume_own_class(stack: Stack) -> Findings:
    of_data = {claim["storageClassName"].text for claim in _claims(stack)}
    for job in stack.of(_KIND, "batch/Job"):
        template = job.at("spec.jobTemplate.spec.template" if job.kind == _KIND else "spec.template")
        for volume in template["spec"]["volumes"]:
            claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
            name = claim["storageClassName"]
            if claim.present and (name.absent or name.known) and name.text in of_data:
                yield finding(claim, "stays when the class retains its volumes", of=job)


def _claims(stack: Stack) -> Iterator[Field]:
    """The StorageClasses that stores use."""
    for one in stack.of("core/PersistentVolumeClaim"):
        yield one.at("spec")
    for one in stack.of("apps/StatefulSet"):
        yield from (template["spec"] for template in one.at("spec.volumeClaimTemplates"))


@topic.resources(
    "job-restart-policy",
    _KIND, "batch/Job",
    title="The restart policy of a Job is Never or OnFailure",
    why="The API server refuses the default restart policy, Always, for Jobs.",
    fix="Set restartPolicy of the pod to Never or OnFailure.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: cronjob-restartpolicy", "kube-linter: restart-policy"),
)  # fmt: skip
def job_restart_policy(job: Resource) -> Findings:
    template = job.at("spec.jobTemplate.spec.template" if job.kind == _KIND else "spec.template")
    if (policy := template["spec"]["restartPolicy"]).differs("Never", "OnFailure"):
        yield finding(policy, "the API server refuses this value")


@topic.resources(
    "cron-time-zone",
    _KIND,
    title="A schedule names its time zone",
    why="Otherwise the schedule follows the clock of the control plane, which the provider sets and which may "
    "change with daylight saving time.",
    fix="Set timeZone, for example to Etc/UTC.",
    severity=Severity.LOW,
    also_in=("Kubernetes: CronJob time zones",),
)
def cron_time_zone(job: Resource) -> Findings:
    if (zone := job.at("spec.timeZone")).empty:
        yield finding(zone, "the schedule follows the clock of the control plane")
