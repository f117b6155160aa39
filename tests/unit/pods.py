"""Finds pods, containers and variables in recorded workloads."""

from collections.abc import Mapping
from typing import Any

from tests.unit.recorder import Recording, Registration

Json = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


def workloads(recording: Recording) -> list[Registration]:
    """Every Deployment, StatefulSet, Job and CronJob."""
    return [item for kind in WORKLOADS for item in recording.of(kind)]


def pod_spec(workload: Registration) -> Json:
    """The spec of a workload's pods."""
    spec = workload.inputs["spec"]
    if workload.kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Json = spec["template"]["spec"]
    return found


def containers(workload: Registration) -> list[Json]:
    """Every container of a workload, init containers first."""
    pod = pod_spec(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(workload: Registration, name: str | None = None) -> Json:
    """The container of a name; without one, the only container that is no init container."""
    found = pod_spec(workload)["containers"]
    if name is not None:
        found = [item for item in containers(workload) if item["name"] == name]
    names = [item["name"] for item in containers(workload)]
    assert len(found) == 1, f"{len(found)} containers {name or ''} in {workload.kind} {workload.name}: {names}"
    only: Json = found[0]
    return only


def variables(of: Mapping[str, Any]) -> Json:
    """The variables of a container: each value, or the reference that it is read from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in of.get("env", [])}
