"""Jobs that a test runs by hand, as an operator does."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Final

from tests.engine.view import NAME_LABEL, Json, View, conditions
from tests.waiting import eventually

JOB_SECONDS: Final = 240.0
OWN_LABELS: Final = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""What the Job controller adds to the template of each Job."""


@dataclass(frozen=True)
class Outcome:
    """How a Job ended."""

    succeeded: bool
    log: str
    """Of all its containers, also the init containers."""


def again(view: View, workload: str, name: str) -> Outcome:
    """Run a copy of the only Job of a workload to its end, without another attempt."""
    start_again(view, workload, name, attempts=1)
    return end(view, name)


def from_cron_job(view: View, cron_job: str, name: str) -> Outcome:
    """Run a CronJob now, as docs/runbooks/backups.md says, to the end of its Job."""
    start_cron_job(view, cron_job, name)
    return end(view, name)


def start_again(view: View, workload: str, name: str, *, attempts: int | None = None) -> None:
    """Start a copy of the only Job of a workload, with as many attempts as the original if not given."""
    (job,) = (
        job
        for job in view.objects("jobs")
        if job["metadata"]["labels"][NAME_LABEL] == workload and job["metadata"]["name"] != name
    )
    spec = copy.deepcopy(job["spec"])
    del spec["selector"]
    for label in OWN_LABELS:
        spec["template"]["metadata"]["labels"].pop(label, None)
    if attempts:
        spec["backoffLimit"] = attempts - 1
    metadata = {"name": name, "labels": job["metadata"]["labels"]}
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    _delete(view, name)
    view.kubectl("create", "--namespace", view.namespace, "--filename=-", stdin=json.dumps(manifest)).ok()


def start_cron_job(view: View, cron_job: str, name: str) -> None:
    """Start a Job of a CronJob now."""
    _delete(view, name)
    view.kubectl("create", "--namespace", view.namespace, "job", name, f"--from=cronjob/{cron_job}").ok()


def _delete(view: View, name: str) -> None:
    words = ("--ignore-not-found", "--cascade=foreground")
    view.kubectl("delete", "--namespace", view.namespace, "job", name, *words).ok()


def end(view: View, name: str, within: float = JOB_SECONDS) -> Outcome:
    """Wait for a Job, and delete it."""
    job: Json = {}

    def ended() -> bool:
        job.update(view.get("job", name))
        return bool({"Complete", "Failed"} & {kind for kind, value in conditions(job).items() if value == "True"})

    eventually(ended, f"Job {name} did not end", within=within)
    words = ("--all-containers", "--ignore-errors", "--tail=-1")
    log = view.kubectl("logs", "--namespace", view.namespace, f"job/{name}", *words).stdout
    _delete(view, name)
    return Outcome(conditions(job).get("Complete") == "True", log)
