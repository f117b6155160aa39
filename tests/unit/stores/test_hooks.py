"""Lifecycle hooks: none waits after the start, and none takes more than half of the grace period."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.unit.pods import containers, pod_spec, workloads
from tests.unit.program import recorded
from tests.unit.recorder import Recording

STACKS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "dev": ("dev", {}),
    "staging": ("staging", {}),
    "prod": ("prod", {}),
    "preview": ("pr-7", {"profile": "preview"}),
    "members": (
        "dev",
        {
            "clickhouse": {"mode": "managed", "replicas": 3, "keepers": 3},
            "redis": {"mode": "sentinel"},
            "objectStore": {"mode": "managed", "nodes": 4},
        },
    ),
}


def all_containers(recording: Recording) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Every container of every workload: its name, the container and the spec of its pod."""
    for item in workloads(recording):
        for container in containers(item):
            yield f"{item.name}/{container['name']}", container, pod_spec(item)


@pytest.mark.parametrize("stack", STACKS)
def test_no_container_has_a_post_start_hook(stack: str) -> None:
    found = list(all_containers(recorded(*STACKS[stack])))
    assert len(found) > 10, "the workloads were not found"
    assert [name for name, container, _ in found if "postStart" in container.get("lifecycle", {})] == []


@pytest.mark.parametrize("stack", STACKS)
def test_a_pre_stop_hook_takes_at_most_half_of_the_grace_period(stack: str) -> None:
    for name, container, pod in all_containers(recorded(*STACKS[stack])):
        hook = container.get("lifecycle", {}).get("preStop")
        if hook is None:
            continue
        words = hook["exec"]["command"] if "exec" in hook else [str(hook["sleep"]["seconds"])]
        bounds = [int(word) for word in words if word.isdecimal()]
        assert bounds, f"{name}: the command has no time limit in seconds"
        assert min(bounds) <= pod["terminationGracePeriodSeconds"] / 2, name
