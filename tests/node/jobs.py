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
    """Run a copy of the only Job of a workload to its end."""
    (job,) = (
        job
        for job in view.objects("jobs")
        if job["metadata"]["labels"][NAME_LABEL] == workload and job["metadata"]["name"] != name
    )
    spec = copy.deepcopy(job["spec"])
    del spec["selector"]
    for label in OWN_LABELS:
        spec["template"]["metadata"]["labels"].pop(label, None)
    spec["backoffLimit"] = 0
    metadata = {"name": name, "labels": job["metadata"]["labels"]}
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    _delete(view, name)
    view.kubectl("create", "--namespace", view.namespace, "--filename=-", stdin=json.dumps(manifest)).ok()
    return _end(view, name)


def from_cron_job(view: View, cron_job: str, name: str) -> Outcome:
    """Run a CronJob now, as docs/runbooks/backups.md says, to the end of its Job."""
    _delete(view, name)
    view.kubectl("create", "--namespace", view.namespace, "job", name, f"--from=cronjob/{cron_job}").ok()
    return _end(view, name)


def _delete(view: View, name: str) -> None:
    words = ("--ignore-not-found", "--cascade=foreground")
    view.kubectl("delete", "--namespace", view.namespace, "job", name, *words).ok()


def _end(view: View, name: str) -> Outcome:
    """Wait for a Job, and delete it."""
    job: Json = {}

    def ended() -> bool:
        job.update(view.get("job", name))
        return bool({"Complete", "Failed"} & {kind for kind, value in conditions(job).items() if value == "True"})

    eventually(ended, f"Job {name} did not end", within=JOB_SECONDS)
    words = ("--all-containers", "--ignore-errors", "--tail=-1")
    log = view.kubectl("logs", "--namespace", view.namespace, f"job/{name}", *words).stdout
    _delete(view, name)
    return Outcome(conditions(job).get("Complete") == "True", log)
