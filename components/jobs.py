"""Jobs and CronJobs: short pods that run one script each and end."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.pods import Mount, PodTemplate

SCRIPTS_PATH = "/scripts"

REPLACE_UNREADY: Mapping[str, str] = {"pulumi.com/replaceUnready": "true"}
"""For a Job: one that failed is made anew by the next update, instead of being waited for again."""

KEEP_RUNS_SECONDS = 7 * 24 * 3600
"""How long a run of a CronJob is kept, with its log, after it has ended: a failure of Friday can be read on Monday."""


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
        "template": template,
    }


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
    """Options of a Job: how long an update waits for it to complete."""
    limit = pulumi.CustomTimeouts(create=f"{minutes}m", update=f"{minutes}m")
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(custom_timeouts=limit))
