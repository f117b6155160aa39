"""`langfuse:monitoring`: exporters, what Prometheus reads, and the ways to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.configuration import refusal
from tests.unit.network.test_reachability import MONITORING, OPERATED, STACKS
from tests.unit.packets import CNPG_LABEL, Network, Pod
from tests.unit.program import recorded
from tests.unit.recorder import Recording

PROMETHEUS = Pod("prometheus", {"app": "prometheus"}, namespace="monitoring", meshed=False)
IN_MESH = Pod("prometheus", {"app": "prometheus"}, namespace="monitoring")
STRANGER = Pod("stranger", {}, namespace="elsewhere", meshed=False)


def monitors(found: Recording) -> Mapping[str, Mapping[str, Any]]:
    return {item.inputs["metadata"]["name"]: item.inputs["spec"] for item in found.of("PodMonitor")}


def exporters(found: Recording) -> Mapping[str, Mapping[str, Any]]:
    spec = found.one("StatefulSet", "langfuse-metrics").inputs["spec"]["template"]["spec"]
    return {one["name"]: one for one in spec["containers"]}


def variables(container: Mapping[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", [])}


def test_nothing_is_monitored_by_default() -> None:
    found = recorded("prod")
    assert not found.of("PodMonitor")
    assert "langfuse-metrics" not in {item.name for item in found.of("StatefulSet")}
    names = {one["name"] for item in found.of("Deployment") for one in _env(item.inputs)}
    assert not {name for name in names if name.startswith(("DD_", "OTEL_"))}


def _env(inputs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for each in inputs["spec"]["template"]["spec"]["containers"] for one in each.get("env", [])]


@pytest.mark.parametrize(
    ("name", "prometheus"),
    [
        ("monitored", PROMETHEUS),
        ("monitored from inside the mesh", IN_MESH),
        ("stores outside, monitored", PROMETHEUS),
    ],
)
def test_every_pod_monitor_names_a_port_that_prometheus_alone_can_reach(name: str, prometheus: Pod) -> None:
    network = Network(recorded(*STACKS[name]))
    for spec in monitors(network.recording).values():
        labels = spec["selector"]["matchLabels"].items()
        pods = [pod for pod in network.pods.values() if labels <= pod.labels.items()]
        assert pods, labels
        for pod in pods:
            ports = {port["name"]: port["containerPort"] for one in pod.containers for port in one.get("ports", [])}
            ports |= {"metrics": 9187} if CNPG_LABEL in pod.labels else {}
            for endpoint in spec["podMetricsEndpoints"]:
                port = ports[endpoint["port"]]
                assert network.refusal(prometheus, pod, port) is None, (pod.name, port)
                assert network.refusal(STRANGER, pod, port), (pod.name, port)


def test_targets_of_one_pod_differ_in_their_labels() -> None:
    for spec in monitors(recorded(*STACKS["monitored"])).values():
        endpoints = spec["podMetricsEndpoints"]
        labels = [(one["port"], str(one.get("relabelings")), one["path"]) for one in endpoints]
        assert len({label[:2] for label in labels if "metrics_path" not in label[1]}) + sum(
            "metrics_path" in label[1] for label in labels
        ) == len(endpoints)


def test_every_member_of_redis_is_asked_by_its_own_address() -> None:
    spec = monitors(recorded(*STACKS["monitored"]))["langfuse-metrics"]
    redis = [one for one in spec["podMetricsEndpoints"] if one["port"] == "http-redis"]
    targets = [one["params"]["target"][0] for one in redis]
    assert [target.rpartition(":")[2] for target in targets] == ["6379"] * 3 + ["26379"] * 3
    assert [one["relabelings"][0]["replacement"] for one in redis] == [target.partition("//")[2] for target in targets]
    keys = [one["params"].get("check-single-keys", [""])[0].split(",") for one in redis]
    assert "db0=langfuse-prod::ingestion-queue:wait" in keys[0]
    assert keys[3:] == [[""]] * 3  # a Sentinel has no keys


def test_keys_of_queues_in_a_cluster_have_its_hash_tag() -> None:
    cluster = {**STACKS["Redis cluster"][1], "monitoring": {}}
    spec = monitors(recorded("dev", cluster))["langfuse-metrics"]
    redis = [one for one in spec["podMetricsEndpoints"] if one["port"] == "http-redis"]
    assert "db0=%7Blangfuse-dev::ingestion-queue%7D:ingestion-queue:wait" in redis[0]["params"]["check-single-keys"][0]
    assert variables(exporters(recorded("dev", cluster))["redis"])["REDIS_EXPORTER_IS_CLUSTER"] == "true"


def test_the_exporter_of_postgres_reads_no_data() -> None:
    given = variables(exporters(recorded(*STACKS["monitored"]))["postgres"])
    assert given["DATA_SOURCE_USER"] == "metrics"
    assert given["DATA_SOURCE_PASS"]["secretKeyRef"]["name"] == "langfuse-postgres-metrics"
    assert given["DATA_SOURCE_URI"].startswith("langfuse-postgres:5432/postgres?")


def test_servers_of_an_operator_need_no_exporter() -> None:
    found = recorded("dev", {**OPERATED, "monitoring": MONITORING})
    assert {*exporters(found)} == {"statsd", "redis"}
    assert "langfuse-postgres" in monitors(found)


def test_metrics_and_traces_of_the_application_have_a_way() -> None:
    network = Network(recorded(*STACKS["monitored"]))
    metrics, collector = network.pods["langfuse-metrics"], Pod("collector", {}, namespace="monitoring")
    for name in ("langfuse-web", "langfuse-worker"):
        assert network.refusal(network.pods[name], metrics, 8125, "UDP") is None
        assert network.refusal(network.pods[name], collector, 4318) is None
        given = variables(network.pods[name].containers[0])
        assert given["DD_DOGSTATSD_HOST"] == "langfuse-metrics-headless"
        assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.monitoring.svc:4318"
    assert network.refusal(network.pods["langfuse-postgres"], metrics, 8125, "UDP")


def test_without_the_prometheus_operator_there_are_exporters_and_no_custom_resources() -> None:
    found = recorded("dev", {"monitoring": {"operator": False}})
    assert not found.of("PodMonitor")
    assert {*exporters(found)} == {"statsd", "redis", "postgres"}


def test_prometheus_selects_the_objects_by_their_labels() -> None:
    found = recorded("dev", {"monitoring": {"labels": {"release": "kps"}, "interval": "15s"}})
    for item in found.of("PodMonitor"):
        assert item.inputs["metadata"]["labels"]["release"] == "kps"
        assert {one["interval"] for one in item.inputs["spec"]["podMetricsEndpoints"]} == {"15s"}


def test_variables_of_monitoring_cannot_be_set_twice() -> None:
    given = {"monitoring": MONITORING, "extraEnv": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other.example.com:4318"}}
    assert "is set by langfuse:monitoring.traces" in refusal(given)
