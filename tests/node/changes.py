"""Changes and failures of a shape, and which of its pods they replace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.engine.view import Json
from tests.node.containers import Containers, restarts
from tests.node.shapes import Installation
from tests.waiting import eventually

ROLLOUT_SECONDS: Final = 900
"""For a new pod to become ready and the old one to drain, on a busy machine."""

START_AGAIN_SECONDS: Final = 120.0
"""The kubelet waits longer each time that it starts a container again: 10 s, 20 s, 40 s."""

Pods = Mapping[str, frozenset[str]]


def settled(shape: Installation) -> Pods:
    """The pods of each workload once all are ready and those of a former template have ended."""
    shape.wait_until_ready(within=ROLLOUT_SECONDS)
    return shape.view.pods()


def replaced(before: Pods, after: Pods) -> set[str]:
    """The workloads whose pods were replaced, all of them."""
    different = {name for name in before if before[name] != after[name]}
    assert not [name for name in different if before[name] & after[name]], "some pods of a workload were kept"
    return different


def merged(shape: Installation, change: Mapping[str, Any]) -> dict[str, object]:
    """Top-level keys of a stack file with a change of some of their fields."""
    return {f"langfuse:{key}": _merged(shape.stack.setting(f"langfuse:{key}"), value) for key, value in change.items()}


def _merged(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def kill(shape: Installation, containers: Containers, pods: list[Json]) -> None:
    """Kill the servers in pods with SIGKILL and wait until they were started again."""

    def servers(pod: Json) -> dict[str, int]:
        main = {container["name"] for container in pod["spec"]["containers"]}
        return {name: count for name, count in restarts(pod).items() if name in main}

    wanted = {pod["metadata"]["name"]: {name: count + 1 for name, count in servers(pod).items()} for pod in pods}
    for pod in pods:
        containers.kill(pod)
    eventually(
        lambda: {name: servers(shape.view.get("pod", name)) for name in wanted} == wanted,
        "the killed servers were not started again",
        within=START_AGAIN_SECONDS,
    )
