"""Jobs that a command starts from what the program declares, follows, and reads."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from operations.cluster import Cluster, Step
from operations.errors import OperationError, UnreachableError
from operations.objects import named_object

Json = Mapping[str, Any]  # an object of Kubernetes
Say = Callable[[str], None]


class JobFailedError(OperationError):
    """A Job failed."""

    def __init__(self, reason: str, log: str) -> None:
        """Take the reason, and the log of the last container, which may have a result."""
        super().__init__(reason)
        self.log = log


INSTANTIATED: Final = {"cronjob.kubernetes.io/instantiate": "manual"}
"""As `kubectl create job --from` marks a run by hand (kubectl/pkg/cmd/create/create_job.go)."""

CONTROLLER_LABELS: Final = (
    *("controller-uid", "job-name"),
    *("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"),
)
"""Labels that the API server adds to the pods of a Job. Another Job can't have them."""

KEEP_SECONDS: Final = 7 * 24 * 3600
"""How long Kubernetes keeps a finished Job with its log."""

GRACE_SECONDS: Final = 120
"""How long after its deadline a Job may take to be reported as failed."""

OUTAGE_SECONDS: Final = 300
"""How long the API server may be away while a Job runs. The Job does not need it, and may take hours."""

SHOWN_CHARACTERS: Final = 500
"""How much of a log an error shows."""


def find(cluster: Cluster, kind: str, name: str, namespace: str) -> Json | None:
    """A CronJob or Job; None if there is none.

    Raises:
        OperationError: The cluster can't be reached, or refuses the request.
    """
    return cluster.get(named_object("batch/v1", kind, name, namespace))


def declared(cluster: Cluster, kind: str, name: str, namespace: str) -> Json:
    """A CronJob or Job of a deployed stack.

    Raises:
        OperationError: The stack does not have it, or the cluster can't be reached.
    """
    found = find(cluster, kind, name, namespace)
    if found is None:
        raise OperationError(
            f"there is no {kind} {name} in namespace {namespace}; the stack is not deployed with this release, or its "
            "configuration needs none"
        )
    return found


def by_hand(cron_job: str) -> str:
    """A name for a run of a CronJob. It differs each time: somebody else may start a run as well, and all logs stay."""
    return f"{cron_job}-by-hand-{secrets.token_hex(3)}"


def from_cron_job(cron_job: Json, name: str, variables: Mapping[str, str], *, owner: Json | None = None) -> Json:
    """A run of a CronJob, with other values of variables that its containers declare.

    Args:
        cron_job: The CronJob as the API server has it.
        name: Name of the Job.
        variables: Values of variables. Every one of them has to be declared by a container.
        owner: The object with which the Job is deleted, and not before. Default: the CronJob; then Kubernetes also
            deletes the Job some days after it has ended.

    Raises:
        OperationError: No container declares a variable.
    """
    spec = deepcopy(cron_job["spec"]["jobTemplate"]["spec"])
    _set_variables(spec["template"]["spec"], variables, cron_job["metadata"]["name"])
    if owner:
        spec.pop("ttlSecondsAfterFinished", None)
    return _job(cron_job, name, spec, owner or cron_job)


def from_job(job: Json, name: str, *, owner: Json | None = None) -> Json:
    """A Job that does the same as another one.

    Args:
        job: The other Job as the API server has it.
        name: Name of the Job.
        owner: The object with which the Job is deleted, and not before. Default: the other Job, as above.
    """
    spec = deepcopy(job["spec"])
    kept = ("activeDeadlineSeconds", "backoffLimit", "podReplacementPolicy", "template")
    spec = {key: spec[key] for key in kept if key in spec}
    if owner is None:
        spec["ttlSecondsAfterFinished"] = KEEP_SECONDS
    labels = spec["template"]["metadata"].get("labels") or {}
    spec["template"]["metadata"]["labels"] = {
        key: value for key, value in labels.items() if key not in CONTROLLER_LABELS
    }
    return _job(job, name, spec, owner or job)


def _job(origin: Json, name: str, spec: Json, owner: Json) -> Json:
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    metadata = {
        "name": name,
        "namespace": origin["metadata"]["namespace"],
        "labels": dict(spec["template"]["metadata"].get("labels") or {}),
        "annotations": INSTANTIATED,
        "ownerReferences": [reference],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _set_variables(pod: Any, variables: Mapping[str, str], name: str) -> None:  # noqa: ANN401  # part of an object
    missing = set(variables)
    for container in [*(pod.get("initContainers") or ()), *pod["containers"]]:
        for one in container.get("env") or ():
            if one["name"] in variables:
                missing.discard(one["name"])
                one.pop("valueFrom", None)
                one["value"] = variables[one["name"]]
    if missing:
        raise OperationError(
            f"CronJob {name} has no variable {', '.join(sorted(missing))}: another release of this program deployed "
            "it; run `pulumi up` first"
        )


def run(cluster: Cluster, job: Json, say: Say) -> str:
    """Run a Job to its end, and show the logs of its containers as progress.

    If the Job exists already, because a command was killed, it is followed, or its log is read. One that failed is
    replaced.

    Returns:
        The log of its last container.

    Raises:
        JobFailedError: The Job failed.
        OperationError: The cluster can't be reached, or the Job does not end.
    """
    found = cluster.get(job)
    if found is not None and ended(found) == "Failed":
        cluster.delete(job)
        found = None
    if found is None:
        found = cluster.create(job)
    return _follow(cluster, found, say)


def ended(job: Json) -> str | None:
    """How a Job ended: `Complete` or `Failed`; None while it runs."""
    conditions: Sequence[Json] = (job.get("status") or {}).get("conditions") or ()
    for one in conditions:
        if one["status"] == "True" and one["type"] in ("Complete", "Failed"):
            return str(one["type"])
    return None


def _follow(cluster: Cluster, job: Json, say: Say) -> str:
    name = job["metadata"]["name"]
    deadline = time.monotonic() + job["spec"].get("activeDeadlineSeconds", KEEP_SECONDS) + GRACE_SECONDS
    answered = time.monotonic()
    shown: dict[tuple[str, str], int] = {}
    waits = ""
    while time.monotonic() < deadline:
        try:
            found = cluster.get(job)
            steps = cluster.steps(job)
            reason = "" if any(step.runs for step in steps) else cluster.pod_reason(job)
        except UnreachableError as error:
            if time.monotonic() > answered + OUTAGE_SECONDS:
                raise
            reason = f"{error}; trying again"
        else:
            answered = time.monotonic()
            if found is None:
                raise OperationError(f"Job {name} was deleted while it ran")
            _show(steps, shown, say)
            outcome = ended(found)
            if outcome == "Complete":
                return steps[-1].log if steps else ""
            if outcome:
                raise JobFailedError(_failure(cluster, job, name), steps[-1].log if steps else "")
        if reason and reason != waits:
            say(f"  {name} waits: {reason}")
        waits = reason
        time.sleep(1)
    raise OperationError(f"Job {name} did not end within its deadline; look at it with `kubectl describe job {name}`")


def _show(steps: Sequence[Step], shown: dict[tuple[str, str], int], say: Say) -> None:
    """Show the lines of logs that were not shown yet."""
    for step in steps:
        lines = step.log.splitlines()
        for line in lines[shown.get((step.pod, step.container), 0) :]:
            if not line.startswith("{"):  # results, which the caller reads
                say(f"  {step.container}: {line}")
        shown[step.pod, step.container] = len(lines)


def _failure(cluster: Cluster, job: Json, name: str) -> str:
    namespace = job["metadata"]["namespace"]
    failed = [step for step in cluster.steps(job) if step.failed]
    if failed and failed[-1].log.strip():
        last = failed[-1].log.strip()[-SHOWN_CHARACTERS:].rpartition("\n")[2]
        return f"Job {name} failed in {failed[-1].container}: {last}"
    reason = cluster.pod_reason(job)
    return f"Job {name} failed: {reason or f'see `kubectl --namespace {namespace} describe job {name}`'}"
