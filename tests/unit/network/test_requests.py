from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from components.network.requests import steady_state_pods
from components.schema.requests import Requests
from components.schema.values import quantity_value
from components.settings.load import parse
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES
from operations.sizing import environment
from tests.unit.pods import container, pod_spec, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording, Registration

LONG_RUNNING = {"Deployment", "StatefulSet"}


def requested(recording: Recording) -> Mapping[str, Decimal]:
    """The sum of what the registered pods and volumes request."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for item in recording:
        if item.kind in LONG_RUNNING:
            for one in pod_spec(item)["containers"]:
                for what in ("cpu", "memory"):
                    total[what] += replicas(item, recording) * quantity_value(one["resources"]["requests"][what])
        if item.kind == "PersistentVolumeClaim":
            total["storage"] += quantity_value(item.inputs["spec"]["resources"]["requests"]["storage"])
        if item.kind == "Cluster":
            spec = item.inputs["spec"]
            for what in ("cpu", "memory"):
                total[what] += spec["instances"] * quantity_value(spec["resources"]["requests"][what])
            total["storage"] += spec["instances"] * quantity_value(spec["storage"]["size"])
    return total


def replicas(item: Registration, recording: Recording) -> int:
    for scaler in recording.of("HorizontalPodAutoscaler"):
        if scaler.inputs["spec"]["scaleTargetRef"]["name"] == item.inputs["metadata"]["name"]:
            return int(scaler.inputs["spec"]["maxReplicas"])
    return int(item.inputs["spec"]["replicas"])


@pytest.mark.parametrize(
    ("profile", "scale"),
    sorted({*((profile, "small") for profile in PROFILES), *(("staging", scale) for scale in SCALES)}),
)
def test_the_computed_requests_equal_the_registered_requests(profile: str, scale: str) -> None:
    pods = steady_state_pods(environment(profile, scale))
    total = sum((item.total for item in pods), start=Requests())
    computed = {what: getattr(total, what) for what in ("cpu", "memory", "storage")}
    assert computed == requested(recorded("example", {"profile": profile, "scale": scale}))


@pytest.mark.parametrize(
    "config",
    [
        {"postgres": {"mode": "cloudnativepg"}},
        {"redis": {"mode": "sentinel"}},
        {"web": {"ingestion": {"replicas": 2, "resources": {"cpu": "1", "cpuLimit": "1", "memory": "1Gi"}}}},
        {"worker": {"pools": {"evaluations": {"queues": ["eval-execution"], "replicas": 3}}}},
        {"clickhouse": {"replicas": 3, "keepers": 3}, "objectStore": {"nodes": 4}},
        {"worker": {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}, "postgres": {"resources": {"memory": "1Gi"}}},
    ],
    ids=str,
)
def test_the_computed_requests_follow_modes_and_replicas(config: dict[str, Any]) -> None:
    pods = steady_state_pods(parse("dev", {"host": "langfuse.example.com", **config}))
    total = sum((item.total for item in pods), start=Requests())
    computed = {what: getattr(total, what) for what in ("cpu", "memory", "storage")}
    assert computed == requested(recorded("dev", config))


@pytest.mark.parametrize("scale", SCALES)
def test_settings_derived_from_a_scale_reach_the_pods(scale: str) -> None:
    """Node's heap, the worker's concurrency, and the memory at which ClickHouse spills."""
    settings = environment("staging", scale)
    recording = recorded("example", {"profile": "staging", "scale": scale})
    for name, workload in (("web", settings.web), ("worker", settings.worker)):
        heap = int(quantity_value(workload.resources.memory) * 3 / 4 / 1024**2)
        options = variables(container(recording.one("Deployment", f"langfuse-{name}")))["NODE_OPTIONS"]
        assert options.split()[0] == f"--max-old-space-size={heap}"
    worker = variables(container(recording.one("Deployment", "langfuse-worker")))
    assert worker["LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY"] == str(settings.worker.concurrency)
    assert settings.clickhouse.mode == "managed"
    half = int(quantity_value(settings.clickhouse.resources.memory) * 3 / 10)
    assert worker["CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY"] == str(half)
