"""What runs: every pod ready, on the declared image, and the first start done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from operations import jobs
from operations.clients.stack import CREATED, FIRST_START
from tests.smoke.live import NAME_LABEL, Live, failed

WORKLOADS: Final = ("Deployment", "StatefulSet")


def images(template: Mapping[str, Any]) -> dict[str, str]:
    """The image of each container of a pod or its template."""
    spec = template["spec"]
    return {one["name"]: one["image"] for one in [*(spec.get("initContainers") or ()), *spec["containers"]]}


def test_every_workload_has_all_its_pods_ready(live: Live) -> None:
    for declared in (item for item in live.declared if item["kind"] in WORKLOADS):
        kind, name = declared["kind"], declared["metadata"]["name"]
        found = live.get("apps/v1", kind, name)
        look = f"kubectl -n {live.namespace} describe {kind.lower()} {name}, and its pods"
        if found is None:
            failed("pods", f"{kind} {name} does not exist", f"pulumi up --stack {live.pulumi.stack} --refresh")
        wanted, status = found["spec"].get("replicas", 1), found.get("status") or {}
        if not wanted:
            failed("pods", f"{kind} {name} is stopped: it has no replicas", "scale it up, or run `pulumi up --refresh`")
        if status.get("readyReplicas", 0) < wanted or status.get("updatedReplicas", wanted) < wanted:
            failed("pods", f"{kind} {name} has {status.get('readyReplicas', 0)} of {wanted} pods ready", look)


def test_every_pod_runs_the_declared_image(live: Live) -> None:
    templates = {item["metadata"]["name"]: item for item in live.declared if item["kind"] in WORKLOADS}
    declared = {
        item["spec"]["template"]["metadata"]["labels"][NAME_LABEL]: images(item["spec"]["template"])
        for item in templates.values()
    }
    for pod in live.items("v1", "Pod"):
        owners = {one["kind"] for one in pod["metadata"].get("ownerReferences") or ()}
        label = (pod["metadata"].get("labels") or {}).get(NAME_LABEL)
        if "Job" in owners or label not in declared:
            continue
        running = images(pod)  # a sidecar that a mesh injects is not declared
        wrong = [f"{key} runs {running.get(key)}" for key, one in declared[label].items() if running.get(key) != one]
        if wrong:
            name = pod["metadata"]["name"]
            failed("pods", f"{name}: {', '.join(wrong)}", "wait for the rollout, or run `pulumi up --refresh`")


@pytest.mark.parametrize("name", [FIRST_START, "langfuse-migrations", CREATED])
def test_jobs_of_the_update_are_complete(live: Live, name: str) -> None:
    job = live.get("batch/v1", "Job", name)
    if job is None:
        if name == CREATED and not live.clients.found():
            pytest.skip("the stack has no clients")
        failed("headless start", f"Job {name} does not exist", "pulumi up --refresh")
    if jobs.ended(job) != "Complete":
        failed(
            "headless start",
            f"Job {name} is not complete",
            f"kubectl -n {live.namespace} logs job/{name} --all-containers",
        )
