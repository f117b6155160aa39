"""Jobs and CronJobs: pods that run a task and exit."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.objects import Scope
from components.kubernetes.pods import PodTemplate
from components.kubernetes.rollouts import await_options, grace_seconds, job_seconds

REPLACE_UNREADY: Mapping[str, str] = {"pulumi.com/replaceUnready": "true"}
"""For a Job: the next update replaces one that failed, instead of waiting for it again."""

NEVER = "0 0 29 2 *"
"""The schedule of a suspended CronJob, which needs one. If somebody resumes it, it runs on the next 29 February."""

KEEP_RUNS_SECONDS = 7 * 24 * 3600
"""How long a finished run of a CronJob is kept with its log: a failure on Friday can be read on Monday."""


FAULT_EXIT = 3
"""The exit code of a check that found a fault: the next attempt would find it again."""


def job_spec(template: PodTemplate, *, deadline_seconds: int, retries: int) -> k8s.batch.v1.JobSpecArgsDict:
    """A Job with a bounded number of retries and a deadline.

    It has no `ttlSecondsAfterFinished`: the next update would create a deleted Job again. Runs of a CronJob have one.
    """
    return {
        "active_deadline_seconds": deadline_seconds,
        "backoff_limit": retries,
        "completions": 1,
        "parallelism": 1,
        # A new pod starts when the former one has ended. The default is to start it during the grace period.
        "pod_replacement_policy": "Failed",
        "template": template,
    }


def job(
    scope: Scope,
    template: PodTemplate,
    *,
    attempt_seconds: int,
    retries: int,
    opts: pulumi.ResourceOptions | None = None,
) -> k8s.batch.v1.Job:
    """A Job of which at most one exists, even after an interrupted update.

    Its name is fixed, so the API server refuses a second one. To replace it, the provider deletes it in the foreground,
    which takes until its pods are gone, and only then creates the new one (provider/pkg/await/await.go, `Deletion`).
    Kubernetes reports a Job as failed when its last pod has ended, so an update also waits for the grace period.

    Args:
        scope: The workload of the Job.
        template: The template of its pods.
        attempt_seconds: Time for one attempt.
        retries: Number of further attempts.
        opts: Options in addition to the scope's.
    """
    deadline, grace = job_seconds(attempt_seconds, retries), grace_seconds(template)
    options = pulumi.ResourceOptions.merge(scope.opts, await_options(deadline + grace, grace=grace))
    own = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True))
    return k8s.batch.v1.Job(
        scope.workload.resource_name,
        metadata=scope.workload.metadata(annotations=REPLACE_UNREADY),
        spec=job_spec(template, deadline_seconds=deadline, retries=retries),
        opts=pulumi.ResourceOptions.merge(options, own),
    )


def cron_job(
    scope: Scope,
    template: PodTemplate,
    schedule: str = "never",
    *,
    deadline_seconds: int,
    checks: bool = False,
    keep_seconds: int = KEEP_RUNS_SECONDS,
) -> k8s.batch.v1.CronJob:
    """A CronJob in UTC whose runs never overlap. A missed run starts late, within an hour.

    The last three successful and the last three failed runs are kept for some time.

    Args:
        scope: The workload of the CronJob.
        template: The template of its pods.
        schedule: `never` if it is suspended, and Jobs are made from it by hand.
        deadline_seconds: Time for all attempts of a run.
        checks: Whether a container exits with FAULT_EXIT to report a fault, after which there are no more attempts.
        keep_seconds: How long a finished run is kept.
    """
    run = job_spec(template, deadline_seconds=deadline_seconds, retries=2)
    suspended = schedule == "never"
    if checks:
        fault: k8s.batch.v1.PodFailurePolicyRuleArgsDict = {
            "action": "FailJob",
            "on_exit_codes": {"operator": "In", "values": [FAULT_EXIT]},
        }
        run["pod_failure_policy"] = {"rules": [fault]}
    return k8s.batch.v1.CronJob(
        scope.workload.resource_name,
        metadata=scope.workload.metadata(),
        spec={
            "concurrency_policy": "Forbid",
            "failed_jobs_history_limit": 3,
            "job_template": {"spec": {**run, "ttl_seconds_after_finished": keep_seconds}},
            "schedule": NEVER if suspended else schedule,
            "starting_deadline_seconds": 3600,
            "successful_jobs_history_limit": 3,
            "suspend": suspended,
            "time_zone": "Etc/UTC",
        },
        opts=scope.opts,
    )
