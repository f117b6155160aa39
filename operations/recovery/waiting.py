"""Waits for what a recovery must not interrupt: a running migration or backup, and a deletion that has started."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from operations.errors import OperationError
from operations.recovery.objects import Json, ObjectSource, belongs_to_stack, object_id, title

JOB: Final = "kubernetes:batch/v1:Job"
DELETION_SECONDS: Final = 600.0
POLL_SECONDS: Final = 2.0


def wait_for_migration(operations: Sequence[Json], cluster: ObjectSource, say: Callable[[str], None]) -> None:
    """Wait until the migration, or the set before it, has finished, if the creation of its Job is pending.

    The Job has a deadline. The next update replaces a Job that is still running, which would interrupt the migration.
    People must repair that. A backup would begin anew.
    """
    for operation in operations:
        item = operation["resource"]
        if operation["type"] != "creating" or item["type"] != JOB or not _is_waited_for(item):
            continue
        reported = False
        while (live := cluster.get(item["inputs"])) and belongs_to_stack(item, live) and not _has_finished(live):
            if not reported:
                namespace, _, name = object_id(item).partition("/")
                say(f"  {title(item)}: still running; waiting for it (kubectl logs -f -n {namespace} job/{name})")
                reported = True
            time.sleep(POLL_SECONDS)


def wait_until_deleted(item: Json, cluster: ObjectSource) -> None:
    """Wait for an object whose deletion has started: nothing can be created in its place, or in it, before that.

    Raises:
        OperationError: The deletion takes too long.
    """
    deadline = time.monotonic() + DELETION_SECONDS
    while (live := cluster.get(item["inputs"])) and live["metadata"].get("deletionTimestamp"):
        if time.monotonic() > deadline:
            raise OperationError(f"{title(item)} is still being deleted; see its metadata.finalizers for what holds it")
        time.sleep(POLL_SECONDS)


def _is_waited_for(item: Json) -> bool:
    labels = item["inputs"]["metadata"].get("labels") or {}
    return bool(labels.get("app.kubernetes.io/component") in {"migration", "backup"})


def _has_finished(job: Mapping[str, Any]) -> bool:
    """Whether a Job completed, failed, or is being deleted (kubernetes.io/docs/concepts/workloads/controllers/job)."""
    conditions = job.get("status", {}).get("conditions") or []
    finished = any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions)
    return finished or "deletionTimestamp" in job["metadata"]
