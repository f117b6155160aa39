from collections.abc import Mapping
from typing import Any

from components.application.queue_scaling import BULL_QUEUES, job_key, queue_names, redis_triggers
from components.application.queues import consumers
from components.schema.workloads import QueueLength
from components.stores.connections import RedisConnection
from components.stores.modes import StoreModes
from tests.unit.application.test_environment import ref
from tests.unit.configuration import refusal, settings
from tests.unit.program import recorded

BOUNDS = {"minReplicas": 2, "maxReplicas": 6, "queueLength": {"jobsPerPod": 100, "delayedPerPod": 900}}
EXTERNAL = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
CLUSTER = {"mode": "external", "topology": "cluster", "nodes": ["a.example.org:7000", "b.example.org:7001"]}
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SHARDS = {"LANGFUSE_INGESTION_QUEUE_SHARD_COUNT": "3"}


def scaled(name: str, profile: str = "prod", **config: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The specs of the ScaledObject and the TriggerAuthentication of a Deployment."""
    found = recorded(profile, {"worker": {"autoscaling": BOUNDS}, **config})
    return found.one("ScaledObject", name).inputs["spec"], found.one("TriggerAuthentication", name).inputs["spec"]


def connection(**config: object) -> RedisConnection:
    given = settings(config)
    return StoreModes.of(given).redis.connection({"redis_password": ref("redis")})


def test_keda_takes_the_place_of_the_other_autoscaler() -> None:
    recording = recorded("prod", {"worker": {"autoscaling": BOUNDS}})
    deployment, spec = recording.one("Deployment", "langfuse-worker"), scaled("langfuse-worker")[0]
    assert not recording.of("HorizontalPodAutoscaler")
    assert deployment.ignore_changes == {"spec.replicas"}
    assert deployment.inputs["spec"]["replicas"] == spec["minReplicaCount"] == 2
    assert spec["maxReplicaCount"] == 6
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "langfuse-worker"}
    assert spec["triggers"][-1] == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
    assert deployment.name in recording.one("ScaledObject").dependencies


def test_jobs_that_wait_and_jobs_that_are_due_later_count() -> None:
    spec, authentication = scaled("langfuse-worker", "dev")
    found = {one["metadata"]["listName"]: one["metadata"]["listLength"] for one in spec["triggers"][:-1]}
    assert found["langfuse-dev::otel-ingestion-queue:wait"] == "100"
    assert found["langfuse-dev::otel-ingestion-queue:delayed"] == "900"
    assert "langfuse-dev::secondary-ingestion-queue:wait" not in found  # no project is kept apart
    assert spec["triggers"][0]["type"] == "redis"
    assert spec["triggers"][0]["metadata"]["address"] == "langfuse-redis.langfuse-dev.svc:6379"
    assert authentication["secretTargetRef"] == [{"parameter": "password", "name": "langfuse-redis", "key": "password"}]


def test_no_password_is_in_the_objects() -> None:
    for item in recorded("prod", {"worker": {"autoscaling": BOUNDS}}).of("ScaledObject"):
        assert "password" not in str(item.inputs).lower()


def test_sentinels_are_asked_for_the_primary() -> None:
    spec, authentication = scaled("langfuse-worker", redis={"mode": "sentinel"})
    trigger = spec["triggers"][0]
    assert trigger["type"] == "redis-sentinel"
    assert trigger["metadata"]["sentinelMaster"] == "langfuse"
    assert trigger["metadata"]["addresses"].count(".langfuse-prod.svc:26379") == 3
    assert {one["parameter"] for one in authentication["secretTargetRef"]} == {"password", "sentinelPassword"}


def test_the_keys_of_a_cluster_have_hash_tags_and_shards() -> None:
    config = {**EXTERNAL, "redis": {**CLUSTER, "ca": CA, "username": "langfuse"}, "extraEnv": SHARDS}
    spec, authentication = scaled("langfuse-worker", "dev", **config)
    keys = [one["metadata"]["listName"] for one in spec["triggers"][:-1]]
    assert keys[0] == "{langfuse-dev::ingestion-queue}:ingestion-queue:wait"
    assert "{langfuse-dev::ingestion-queue-2}:ingestion-queue-2:delayed" in keys
    metadata = spec["triggers"][0]["metadata"]
    assert metadata["addresses"] == "a.example.org:7000,b.example.org:7001"
    assert (metadata["enableTLS"], metadata["username"]) == ("true", "langfuse")
    (bundle,) = authentication["configMapTargetRef"]
    found = recorded("dev", {"worker": {"autoscaling": BOUNDS}, **config})
    assert bundle["name"] in {item.inputs["metadata"]["name"] for item in found.of("ConfigMap")}
    assert (bundle["parameter"], bundle["key"]) == ("ca", "redis.pem")


def test_without_a_cluster_only_the_first_shard_gets_jobs() -> None:
    given = settings({"extraEnv": SHARDS})
    names = list(queue_names(given, connection(), "worker"))
    assert "ingestion-queue" in names
    assert "ingestion-queue-1" not in names


def test_a_pool_scales_with_its_own_queues() -> None:
    pools = {"evaluations": {"queues": ["eval-execution", "eval-execution-secondary"], "autoscaling": BOUNDS}}
    found = recorded("prod", {"worker": {"pools": pools}})
    assert not found.of("HorizontalPodAutoscaler")
    (one,) = found.of("ScaledObject")
    names = {trigger["metadata"]["listName"].split(":")[2] for trigger in one.inputs["spec"]["triggers"][:-1]}
    assert names == {
        "evaluation-execution-queue",
        "llm-as-a-judge-execution-queue",
        "secondary-evaluation-execution-queue",
    }


def test_pods_that_drain_are_replaced_in_no_hurry() -> None:
    """No more than a quarter of the pods leaves within the grace period, with either autoscaler."""
    spec, _ = scaled("langfuse-worker")
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert {(one["type"], one["value"], one["periodSeconds"]) for one in down["policies"]} == {
        ("Pods", 1, 330),
        ("Percent", 25, 330),
    }
    plain = recorded("prod", {"worker": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}})
    assert plain.one("HorizontalPodAutoscaler").inputs["spec"]["behavior"]["scaleDown"] == down


def test_while_redis_is_away_no_pod_leaves() -> None:
    fallback = scaled("langfuse-worker")[0]["fallback"]
    assert fallback == {"failureThreshold": 4, "replicas": 2, "behavior": "currentReplicasIfHigher"}


def test_queues_that_more_pods_do_not_process_faster_are_refused() -> None:
    pools = {"exports": {"queues": ["batch-export"], "autoscaling": BOUNDS}}
    refused = refusal({"worker": {"pools": pools}})
    assert "langfuse:worker.pools.exports.autoscaling.queueLength: has no effect" in refused


def test_every_queue_in_the_table_is_one_of_langfuse() -> None:
    assert BULL_QUEUES.keys() <= consumers("4.82.0").keys()


def test_the_number_of_jobs_for_each_pod_is_a_setting() -> None:
    for length, expected in ((QueueLength(), ("500", "2000")), (QueueLength(jobs_per_pod=7), ("7", "2000"))):
        found = redis_triggers(settings(), connection(), "worker", length)[:2]
        assert tuple(one["metadata"]["listLength"] for one in found) == expected  # type: ignore[index]  # a map
    assert job_key(settings(), connection(), "a", "wait") == "langfuse-dev::a:wait"
