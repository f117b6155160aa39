"""Jobs and CronJobs: pods that do one thing and end."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation
from components.kubernetes.labels import Workload
from components.kubernetes.pods import Mount, PodTemplate

SCRIPTS_PATH = "/scripts"

REPLACE_UNREADY: Mapping[str, str] = {"pulumi.com/replaceUnready": "true"}
"""For a Job: one that failed is made anew by the next update, instead of being waited for again."""

KEEP_RUNS_SECONDS = 7 * 24 * 3600
"""How long a run of a CronJob is kept, with its log, after it has ended: a failure of Friday can be read on Monday."""

AWAIT_MARGIN_MINUTES = 5
"""How much longer an update waits than Kubernetes, so that it can report what Kubernetes says."""

DELETE_MINUTES = 15
"""How long an update waits until a Job and its pods are gone: longer than the grace period of any pod."""


def scripts_mount(config_map: k8s.core.v1.ConfigMap) -> Mount:
    """Where a Job's containers find their scripts."""
    return Mount.config("scripts", config_map.metadata.name, SCRIPTS_PATH)


def run_script(name: str) -> Sequence[str]:
    """The command that runs a script: every image that we use has a POSIX shell there."""
    return ["/bin/sh", f"{SCRIPTS_PATH}/{name}"]


def job_spec(template: PodTemplate, *, deadline_seconds: int, retries: int) -> k8s.batch.v1.JobSpecArgsDict:
    """A Job that tries again a bounded number of times for a bounded time.

    It has no time to live: a Job that disappears would be made again by the next update. Those of a CronJob have one.
    """
    return {
        "active_deadline_seconds": deadline_seconds,
        "backoff_limit": retries,
        "completions": 1,
        "parallelism": 1,
        # A new pod starts when the former one has ended: by default, it starts while that has its grace period.
        "pod_replacement_policy": "Failed",
        "template": template,
    }


def job(
    installation: Installation,
    workload: Workload,
    template: PodTemplate,
    opts: pulumi.ResourceOptions,
    *,
    deadline_seconds: int,
    retries: int,
) -> k8s.batch.v1.Job:
    """A Job of which there is never more than one, not even after an update that was interrupted.

    Its name is fixed, so the API server refuses a second one. To replace it, the provider deletes it in the foreground,
    which takes until its pods are gone, and only then makes the new one (provider/pkg/await/await.go, `Deletion`).
    """
    patient = wait_at_most(opts, minutes=deadline_seconds // 60 + AWAIT_MARGIN_MINUTES)
    return k8s.batch.v1.Job(
        workload.resource_name,
        metadata=installation.metadata(workload, name=workload.resource_name, annotations=REPLACE_UNREADY),
        spec=job_spec(template, deadline_seconds=deadline_seconds, retries=retries),
        opts=pulumi.ResourceOptions.merge(patient, pulumi.ResourceOptions(delete_before_replace=True)),
    )


def cron_job_spec(schedule: str, job: k8s.batch.v1.JobSpecArgsDict) -> k8s.batch.v1.CronJobSpecArgsDict:
    """A CronJob in UTC whose runs never overlap, and that starts late rather than not at all.

    The last three runs that succeeded and the last three that failed are kept, for KEEP_RUNS_SECONDS at most.
    """
    return {
        "concurrency_policy": "Forbid",
        "failed_jobs_history_limit": 3,
        "job_template": {"spec": {**job, "ttl_seconds_after_finished": KEEP_RUNS_SECONDS}},
        "schedule": schedule,
        "starting_deadline_seconds": 3600,
        "successful_jobs_history_limit": 3,
        "suspend": False,
        "time_zone": "Etc/UTC",
    }


def wait_at_most(opts: pulumi.ResourceOptions, *, minutes: int) -> pulumi.ResourceOptions:
    """Options of what takes its time: how long an update waits until it is ready."""
    limit = pulumi.CustomTimeouts(create=f"{minutes}m", update=f"{minutes}m", delete=f"{DELETE_MINUTES}m")
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(custom_timeouts=limit))
