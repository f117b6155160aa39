"""The quota bounds what runs away and never an update."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from components.scales import SCALES
from components.values import quantity_value
from tests.unit.program import recorded
from tests.unit.recorder import Recording

MANY = {
    "web": {"replicas": 100, "resources": {"memory": "16Gi"}},
    "worker": {"autoscaling": {"minReplicas": 2, "maxReplicas": 90}},
}
STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{f"{profile} {scale}": (profile, {"scale": scale}) for profile in ("dev", "prod") for scale in SCALES},
    "many pods": ("prod", MANY),
    "operator": ("dev", {"postgres": {"mode": "cloudnativepg", "instances": 9}}),
}


def quota(found: Recording) -> Mapping[str, Decimal]:
    hard = found.one("ResourceQuota").inputs["spec"]["hard"]
    return {name: quantity_value(value) for name, value in hard.items()}


def at_once(found: Recording) -> Mapping[str, Decimal]:
    """Everything that can run at a time: every replica and one more, every Job, and operators' pods."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for count, containers in pods(found):
        total["pods"] += count
        for container in containers:
            for bound, resources in container["resources"].items():
                for name in ("cpu", "memory"):
                    total[f"{bound}.{name}"] += count * quantity_value(resources[name])
    return total


def pods(found: Recording) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    most = {item.name: item.inputs["spec"]["maxReplicas"] for item in found.of("HorizontalPodAutoscaler")}
    for item in found:
        spec = item.inputs.get("spec", {})
        if item.kind == "Cluster":
            yield spec["instances"] + 1, [spec]
        if item.kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if item.kind in {"CronJob", "Deployment", "Job", "StatefulSet"}:
            template = spec["template"]["spec"]
            more = 1 if item.kind == "Deployment" else 0
            containers = [*template["containers"], *template.get("initContainers", [])]
            yield most.get(item.name, spec.get("replicas", 1)) + more, containers


@pytest.mark.parametrize("name", STACKS)
def test_everything_can_run_at_once(name: str) -> None:
    found = recorded(*STACKS[name])
    bounds = quota(found)
    for what, amount in at_once(found).items():
        assert amount <= bounds[what], what


def test_an_update_to_the_smallest_scale_has_room_for_the_pods_of_the_largest() -> None:
    bounds = quota(recorded("prod", {"scale": "small"}))
    for what, amount in at_once(recorded("prod", {"scale": "xlarge"})).items():
        assert amount <= bounds[what], what


def test_no_service_opens_a_port_to_the_outside() -> None:
    bounds = quota(recorded())
    assert bounds["services.loadbalancers"] == bounds["services.nodeports"] == 0


def test_a_container_of_others_without_resources_is_given_some() -> None:
    (limit,) = recorded().one("LimitRange").inputs["spec"]["limits"]
    assert limit["type"] == "Container"
    for name in ("cpu", "memory", "ephemeral-storage"):
        assert 0 < quantity_value(limit["defaultRequest"][name]) <= quantity_value(limit["default"][name])
