"""An update waits for as long as its pods may take while all goes well."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.pods import pod_spec
from tests.unit.program import recorded
from tests.unit.recorder import Registration

STACKS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "fourteen web pods": ("prod", {"web": {"replicas": 14}, "worker": {"replicas": 30}}),
    "autoscaled": ("prod", {"web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 40}}}),
    "slow worker": ("prod", {"worker": {"terminationGracePeriodSeconds": 3600}}),
}
PULLING_SECONDS = 120
"""The images of Langfuse have 1 GB. The kubelet pulls them one after another."""


def seconds(text: str) -> int:
    assert text.endswith("m")
    return 60 * int(text.removesuffix("m"))


def one_pod(item: Registration) -> int:
    """Until a pod of the workload is ready, if its image is pulled and every probe but the last one fails."""
    windows: list[int] = [
        probe.get("initialDelaySeconds", 0) + probe["periodSeconds"] * probe["failureThreshold"]
        for container in pod_spec(item)["containers"]
        for probe in [container["startupProbe"]]
    ]
    return PULLING_SECONDS + max(windows)


@pytest.mark.parametrize("name", STACKS)
def test_an_update_of_a_deployment_waits_for_all_its_rounds(name: str) -> None:
    found = recorded(*STACKS[name])
    most = {item.name: item.inputs["spec"]["maxReplicas"] for item in found.of("HorizontalPodAutoscaler")}
    for item in found.of("Deployment"):
        spec = item.inputs["spec"]
        update, replicas = spec["strategy"]["rollingUpdate"], most.get(item.name, spec["replicas"])
        assert update["maxUnavailable"] == 0
        each = one_pod(item) + pod_spec(item)["terminationGracePeriodSeconds"]
        assert spec["progressDeadlineSeconds"] >= each, "Kubernetes would call a slow start a failure"
        for operation in ("create", "update"):
            assert seconds(item.timeouts[operation]) > math.ceil(replicas / update["maxSurge"]) * each


@pytest.mark.parametrize("name", STACKS)
def test_an_update_of_a_stateful_set_waits_for_one_pod_after_another(name: str) -> None:
    for item in recorded(*STACKS[name]).of("StatefulSet"):
        each = one_pod(item) + pod_spec(item)["terminationGracePeriodSeconds"]
        for operation in ("create", "update"):
            assert seconds(item.timeouts[operation]) > item.inputs["spec"]["replicas"] * each, item.name


@pytest.mark.parametrize("name", STACKS)
def test_a_deletion_waits_for_the_grace_period(name: str) -> None:
    found = recorded(*STACKS[name])
    for item in found.of("Deployment") + found.of("StatefulSet") + found.of("Job"):
        assert seconds(item.timeouts["delete"]) > pod_spec(item)["terminationGracePeriodSeconds"] + PULLING_SECONDS


def test_the_probe_of_a_minio_member_waits_by_itself() -> None:
    item = recorded("prod").one("StatefulSet", "langfuse-object-store-cluster")
    probe: Mapping[str, Any] = pod_spec(item)["containers"][0]["startupProbe"]
    waits = [int(word) for word in probe["exec"]["command"][-2:]]
    assert seconds(item.timeouts["update"]) > 4 * probe["failureThreshold"] * sum(waits)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_job_has_time_for_all_its_attempts(stack: str) -> None:
    """Each attempt may use all of the time that its script waits for a store."""
    for item in recorded(stack).of("Job"):
        spec = item.inputs["spec"]
        containers = [*pod_spec(item).get("initContainers", []), *pod_spec(item)["containers"]]
        waits = [int(one["value"]) for each in containers for one in each["env"] if one["name"] == "WAIT_SECONDS"]
        assert waits
        attempt = sum(waits if len(containers) == 1 else waits[1:])  # the first check of a migration waits for nothing
        assert spec["activeDeadlineSeconds"] > (spec["backoffLimit"] + 1) * attempt, item.name


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_an_update_learns_why_a_job_failed(stack: str) -> None:
    """Kubernetes reports it when the last pod has ended: after the deadline and the grace period."""
    for item in recorded(stack).of("Job"):
        bound = item.inputs["spec"]["activeDeadlineSeconds"] + pod_spec(item)["terminationGracePeriodSeconds"]
        assert seconds(item.timeouts["create"]) > bound + 60, item.name


def test_an_update_waits_for_all_servers_of_cloudnative_pg() -> None:
    cluster = recorded("prod", {"postgres": {"mode": "cloudnativepg", "instances": 9}}).one("Cluster")
    assert seconds(cluster.timeouts["update"]) > 9 * 900


def test_a_quarter_of_the_pods_is_replaced_at_a_time() -> None:
    surges = [
        recorded("prod", {"web": {"replicas": replicas}, "postgres": {"resources": {"memory": "8Gi"}}})
        .one("Deployment", "langfuse-web")
        .inputs["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        for replicas in (1, 2, 4, 5, 14, 100)
    ]
    assert surges == [1, 1, 1, 2, 4, 25]
