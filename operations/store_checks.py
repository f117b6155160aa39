"""Checks in the cluster what the migration Job checks before it migrates: the stores, or the phase of ingestion.

A check is a container of the migration Job that a preview shows. It runs in a Job of its own, with the network rules,
the credentials and the certificates of the migrations. What the preview creates or changes, and the check needs, exists
while the check runs; the garbage collector of Kubernetes deletes it together with the Job.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError

from operations import cluster_identity, jobs
from operations.changes.events import observe
from operations.cluster import Cluster
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]

MIGRATIONS: Final = "langfuse-migrations"
WAIT_SECONDS: Final = 30
"""How long the check waits for a store that does not answer."""

DEADLINE_SECONDS: Final = 600
"""How long the check may take, with the time to pull the image."""

KEEP_SECONDS: Final = 3600
"""How long Kubernetes keeps a Job that a killed command left."""

RULES: Final = ("NetworkPolicy", "AuthorizationPolicy")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A container of the migration Job that runs in a Job of its own."""

    job: str
    """The name of that Job."""
    container: str
    variables: Mapping[str, str]
    """Variables that replace those of the container."""


def of_stores(names: Sequence[str]) -> Check:
    """The check of the stores with these names; of all if there are none."""
    variables = {"REPORT": "json", "WAIT_SECONDS": str(WAIT_SECONDS), "CHECKED_STORES": ",".join(names)}
    return Check(job="langfuse-check-stores", container="stores", variables=variables)


OF_PHASE: Final = Check(job="langfuse-check-phase", container="phase", variables={"REPORT": "json"})
"""The check of the phase of ingestion. It also reports what blocks the next phase."""


class Line(BaseModel):
    """A result of a check."""

    store: str
    check: str
    outcome: Literal["ok", "warning", "failed"]
    detail: str
    fix: str = ""
    """What to do: a key of the stack file, or a command."""


def check(pulumi: Pulumi, wanted: Check, say: Callable[[str], None]) -> Sequence[Line]:
    """Run a check with the configuration of the stack file, deployed or not.

    Args:
        pulumi: The stack.
        wanted: The check.
        say: Prints progress.

    Raises:
        OperationError: The check can't run.
    """
    cluster_identity.check(pulumi)
    say(f"previewing {pulumi.stack} ...")
    done = pulumi.events("preview")
    seen = observe(done.events)
    if done.exit_code:
        raise OperationError(f"the preview failed; run `python -m operations preview --stack {pulumi.stack}`")
    return run(Cluster.of(pulumi), kubernetes_objects(seen.after.values()), wanted, say)


def kubernetes_objects(inputs: Iterable[Json]) -> list[Json]:
    """The Kubernetes objects among the inputs of resources. Inputs of components can have a key `kind` as well."""
    return [item for item in inputs if {"apiVersion", "kind"} <= item.keys()]


def run(cluster: Cluster, objects: Sequence[Json], wanted: Check, say: Callable[[str], None]) -> Sequence[Line]:
    """Run a check of the migration Job among the objects of a preview."""
    job = check_job(objects, wanted)
    _require(cluster, job)
    cluster.delete(job)
    say(f"running Job {wanted.job} in namespace {job['metadata']['namespace']} ...")
    try:
        owner = cluster.create(job)
        for item in needed(objects, job, cluster.get):
            cluster.create(_owned(item, owner))
        return _results(cluster, job)
    finally:
        cluster.delete(job)


def check_job(objects: Sequence[Json], wanted: Check) -> Json:
    """The Job: the container of the migration Job that checks, alone in the same pod."""
    found = [item for item in objects if item["kind"] == "Job" and item["metadata"]["name"] == MIGRATIONS]
    if not found:
        raise OperationError(f"the preview has no Job {MIGRATIONS}")
    template = deepcopy(found[0]["spec"]["template"])
    container = next(one for one in template["spec"].pop("initContainers") if one["name"] == wanted.container)
    kept = [one for one in container["env"] if one["name"] not in wanted.variables]
    container["env"] = [*kept, *({"name": name, "value": value} for name, value in wanted.variables.items())]
    template["spec"]["containers"] = [container]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    template["spec"]["volumes"] = [volume for volume in template["spec"]["volumes"] if volume["name"] in mounted]
    metadata = {
        "name": wanted.job,
        "namespace": found[0]["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
    }
    spec = {
        "template": template,
        "backoffLimit": 0,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": KEEP_SECONDS,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def needed(objects: Sequence[Json], job: Json, get: Callable[[Json], Json | None]) -> Iterator[Json]:
    """What the pod needs of the preview and the cluster does not have: files, an account, and rules for its traffic."""
    pod = job["spec"]["template"]["spec"]
    files = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    for item in objects:
        kind, name = item["kind"], item["metadata"]["name"]
        if (kind == "ConfigMap" and name in files) or (kind == "ServiceAccount" and name == pod["serviceAccountName"]):
            if get(item) is None:
                yield item
        elif kind in RULES and '"migrations"' in json.dumps(item["spec"]):
            existing = get(item)
            if existing is None or existing["spec"] != item["spec"]:
                yield {
                    **item,
                    "metadata": {
                        **item["metadata"],
                        "name": f"{job['metadata']['name']}-{name.removeprefix('langfuse-')}",
                    },
                }


def _require(cluster: Cluster, job: Json) -> None:
    """Refuse to start a pod that could not start."""
    namespace = job["metadata"]["namespace"]
    first = "`pulumi up` creates it, and runs the same check before it migrates or starts Langfuse"
    if cluster.namespace_uid(namespace) is None:
        raise OperationError(f"there is no namespace {namespace} to run the check in; {first}")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    references = (one.get("valueFrom", {}).get("secretKeyRef", {}).get("name") for one in container["env"])
    for name in sorted({name for name in references if name}):
        if cluster.get(named_object("v1", "Secret", name, namespace)) is None:
            raise OperationError(f"there is no Secret {name} in namespace {namespace}; {first}")


def _owned(item: Json, owner: Json) -> Json:
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**item, "metadata": {**item["metadata"], "ownerReferences": [reference]}}


def _results(cluster: Cluster, job: Json) -> Sequence[Line]:
    """Wait until the Job has ended, and read its log."""
    deadline = time.monotonic() + DEADLINE_SECONDS + WAIT_SECONDS
    while time.monotonic() < deadline:
        if jobs.ended(cluster.get(job) or {}):
            break
        time.sleep(1)
    log = cluster.log(job)
    lines = list(_lines(log))
    if not lines:
        raise OperationError(f"the check did not run: {cluster.pod_reason(job) or log[-500:] or 'there is no log'}")
    return lines


def _lines(log: str) -> Iterator[Line]:
    for text in log.splitlines():
        try:
            yield Line.model_validate_json(text)
        except ValidationError:
            continue  # a warning of Node, or progress
