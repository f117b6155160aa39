"""The quota leaves room for every update. Pods are counted from the registered objects."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from components.network import quota as quotas
from components.schema.requests import Requests
from components.schema.values import quantity_value
from components.settings.load import parse
from components.settings.scales import SCALES
from tests.unit.program import recorded
from tests.unit.recorder import Recording

MANY = {
    "web": {"replicas": 60, "resources": {"memory": "16Gi"}},
    "worker": {"autoscaling": {"minReplicas": 2, "maxReplicas": 50}},
    "postgres": {"resources": {"memory": "8Gi"}},
}
SCALED = {"minReplicas": 2, "maxReplicas": 30, "queueLength": {}}
POOLS = {
    "worker": {
        "autoscaling": SCALED,
        "pools": {"evaluations": {"queues": ["eval-execution"], "autoscaling": {**SCALED, "maxReplicas": 20}}},
    },
    "postgres": {"resources": {"memory": "8Gi"}},
}
STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{f"{profile} {scale}": (profile, {"scale": scale}) for profile in ("dev", "prod") for scale in SCALES},
    "many pods": ("prod", MANY),
    "pools": ("prod", POOLS),
    "operator": ("dev", {"postgres": {"mode": "cloudnativepg", "instances": 9}}),
    "sentinels": ("dev", {"redis": {"mode": "sentinel", "resources": {"memory": "8Gi"}, "storage": "32Gi"}}),
    "sidecars": ("prod", {**MANY, "mesh": {"mode": "sidecar"}}),
    "external stores": (
        "dev",
        {
            "redis": {"mode": "external", "host": "redis.example.com"},
            "credentials": {"source": "existing", "secret": "langfuse-credentials"},
        },
    ),
}


def quota(found: Recording) -> Mapping[str, Decimal]:
    hard = found.one("ResourceQuota").inputs["spec"]["hard"]
    return {name: quantity_value(value) for name, value in hard.items()}


def amounts(pods: Iterable[tuple[int, list[dict[str, Any]]]]) -> Mapping[str, Decimal]:
    """Sum of requests, limits and numbers of pods."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for count, containers in pods:
        total["pods"] += count
        for container in containers:
            for bound, resources in container["resources"].items():
                for name in ("cpu", "memory"):
                    total[f"{bound}.{name}"] += count * quantity_value(resources[name])
    return total


def most_pods(found: Recording) -> Mapping[str, int]:
    """The maximum of each autoscaled Deployment."""
    keys = {"HorizontalPodAutoscaler": "maxReplicas", "ScaledObject": "maxReplicaCount"}
    return {item.name: item.inputs["spec"][key] for kind, key in keys.items() for item in found.of(kind)}


def long_running(found: Recording) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """For each long-running workload, its maximum number of pods and their containers."""
    most = most_pods(found)
    for item in found:
        spec = item.inputs.get("spec", {})
        if item.kind == "Cluster":
            yield spec["instances"], with_proxy(found, [spec])
        if item.kind in {"Deployment", "StatefulSet", "DaemonSet"}:
            containers = [*spec["template"]["spec"]["containers"], *sidecars(spec["template"]["spec"])]
            yield most.get(item.name, spec["replicas"]), with_proxy(found, containers)


def temporary(found: Recording) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Temporary pods: former ones of a rolling update that still drain, with init containers, and the pods of Jobs."""
    most = most_pods(found)
    for item in found:
        spec = item.inputs.get("spec", {})
        if item.kind == "Cluster":
            yield 1, with_proxy(found, [spec])
        if item.kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if item.kind in {"CronJob", "Deployment", "Job"}:
            template = spec["template"]["spec"]
            yield (
                most.get(item.name, spec.get("replicas", 1)),
                with_proxy(found, [*template["containers"], *template.get("initContainers", [])]),
            )


def sidecars(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for item in template.get("initContainers", []) if item.get("restartPolicy") == "Always"]


def with_proxy(found: Recording, containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The containers, with Istio's sidecar where the namespace injects it."""
    (labels,) = (item.inputs["metadata"]["labels"] for item in found.of("Namespace") if "metadata" in item.inputs)
    proxy = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    return [*containers, {"resources": proxy}] if labels.get("istio-injection") == "enabled" else containers


@pytest.mark.long
@pytest.mark.parametrize("name", STACKS)
def test_the_quota_counts_every_container(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, config = STACKS[name]
    there = amounts(long_running(recorded(profile, config)))
    for constant in ("MINIMUM_PODS", "MINIMUM_CPU", "MINIMUM_CPU_LIMIT", "MINIMUM_MEMORY_GIBIBYTES"):
        monkeypatch.setattr(quotas, constant, 0)
    monkeypatch.setattr(quotas, "HEADROOM", 1)
    monkeypatch.setattr(quotas, "TEMPORARY", 0)
    monkeypatch.setattr(quotas, "temporary", lambda *_: Requests())
    limits = quotas.hard(parse(profile, {"host": "langfuse.example.com", **config}))
    counted = {what: quantity_value(limit) for what, limit in limits.items()}
    assert counted["pods"] == there["pods"]
    for what in ("requests.cpu", "limits.cpu"):
        assert counted[what] == math.ceil(there[what]), what
    assert counted["limits.memory"] == math.ceil(there["limits.memory"] / 1024**3) * 1024**3


@pytest.mark.parametrize("name", STACKS)
def test_the_quota_has_room_for_all_pods_at_once(name: str) -> None:
    found = recorded(*STACKS[name])
    bounds = quota(found)
    for what, amount in amounts([*long_running(found), *temporary(found)]).items():
        assert amount <= bounds[what], what


BY_HAND = {
    "backup-clickhouse",
    "backup-postgres",
    "verify-backups",
    "drill-clickhouse",
    "drill-postgres",
    "drill-media",
}
"""CronJobs of which a person starts a run while that of the schedule goes on (docs/runbooks/backups.md)."""
OPERATORS = 3


def test_the_quota_has_room_for_every_job_at_once_and_for_runs_by_hand() -> None:
    off_site = {"endpoint": "https://s3.example.org", "bucket": "copies", "secret": "off-site"}
    found = recorded("prod", {"scale": "xlarge", "backups": {"offSite": off_site, "importFrom": off_site}})
    jobs = [item for item in found if item.kind in {"CronJob", "Job"}]
    names = [item.name.removeprefix("langfuse-") for item in jobs]
    assert set(names) >= BY_HAND
    assert len(names) + len(BY_HAND) + OPERATORS <= quotas.TEMPORARY
    allowed = Requests.of(quotas.TEMPORARY_POD)
    for item, name in zip(jobs, names, strict=True):
        if name == "first-start":
            continue  # counted as a pod of web
        spec = item.inputs["spec"]
        template = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]
        for one in (*template["containers"], *template.get("initContainers", [])):
            amount = amounts([(1, [one])])
            assert amount["requests.cpu"] <= allowed.cpu, name
            assert amount["limits.cpu"] <= allowed.cpu_limit, name
            assert amount["limits.memory"] <= allowed.memory, name


def test_the_quota_has_room_for_an_update_from_the_largest_scale_to_the_smallest() -> None:
    bounds = quota(recorded("prod", {"scale": "small"}))
    largest = recorded("prod", {"scale": "xlarge"})
    for what, amount in amounts([*long_running(largest), *temporary(largest)]).items():
        assert amount <= bounds[what], what


def test_the_quota_forbids_load_balancers_and_node_ports() -> None:
    bounds = quota(recorded())
    assert bounds["services.loadbalancers"] == bounds["services.nodeports"] == 0


def test_containers_without_resources_get_defaults() -> None:
    (limit,) = recorded().one("LimitRange").inputs["spec"]["limits"]
    assert limit["type"] == "Container"
    for name in ("cpu", "memory", "ephemeral-storage"):
        assert 0 < quantity_value(limit["defaultRequest"][name]) <= quantity_value(limit["default"][name])
