from collections.abc import Mapping
from typing import Any

import pytest

from components.application.queues import consumers, queues_of
from components.settings.load import SettingsError
from tests.unit.configuration import settings
from tests.unit.pods import container, pod_spec, variables
from tests.unit.program import recorded

EVALUATIONS = ["eval-execution", "eval-execution-secondary", "code-eval-execution"]
POOLS: Mapping[str, Mapping[str, Any]] = {
    "evaluations": {
        "queues": EVALUATIONS,
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
        "resources": {"cpu": "1", "cpuLimit": "2", "memory": "2Gi"},
        "terminationGracePeriodSeconds": 200,
    },
    "exports": {"queues": ["batch-export", "blob-storage-integration", "in-app-agent-run"]},
}


def gates(name: str, config: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which a Deployment processes queues, by queue."""
    found = variables(container(recorded("prod", config).one("Deployment", name)))
    return {queue: found[name] for queue, name in consumers("4.82.0").items() if name in found}


def processed(config: Mapping[str, Any]) -> dict[str, set[str]]:
    """The Deployments that process each queue, with the defaults of worker/src/env.ts."""
    off = {"dead-letter-retry", "in-app-agent-run"}
    deployments = [item.name for item in recorded("prod", config).of("Deployment") if "worker" in item.name]
    return {
        queue: {
            name
            for name in deployments
            if gates(name, config).get(queue, "false" if queue in off else "true") == "true"
        }
        for queue in consumers("4.82.0")
    }


def test_every_queue_has_one_consumer() -> None:
    found = processed({"worker": {"pools": POOLS}})
    of_pools = {queue: f"langfuse-worker-{name}" for name, pool in POOLS.items() for queue in pool["queues"]}
    assert found.pop("dead-letter-retry") == set()  # it is off by default
    assert found == {queue: {of_pools.get(queue, "langfuse-worker")} for queue in found}
    assert found["in-app-agent-run"] == {"langfuse-worker-exports"}
    assert found["otel-ingestion"] == {"langfuse-worker"}


def test_without_pools_nothing_is_set() -> None:
    assert gates("langfuse-worker", {}) == {}
    assert queues_of(settings(), "worker") == set(consumers("4.82.0"))


def test_a_pool_is_a_deployment_of_its_own() -> None:
    recording = recorded("prod", {"worker": {"pools": POOLS, "replicas": 4}})
    pool = recording.one("Deployment", "langfuse-worker-evaluations")
    budgets = {item.name: item.inputs["spec"] for item in recording.of("PodDisruptionBudget")}
    scalers = {item.name: item.inputs["spec"] for item in recording.of("HorizontalPodAutoscaler")}
    assert budgets[pool.name]["selector"]["matchLabels"] == pool.inputs["spec"]["selector"]["matchLabels"]
    assert scalers[pool.name]["maxReplicas"] == 5
    assert pool.inputs["spec"]["replicas"] == 2
    assert pod_spec(pool)["terminationGracePeriodSeconds"] == 200
    assert pod_spec(pool)["serviceAccountName"] == pool.name
    assert container(pool)["resources"]["limits"]["memory"] == "2Gi"
    assert str(variables(container(pool))["NODE_OPTIONS"]).split()[0] == "--max-old-space-size=1536"
    exports = recording.one("Deployment", "langfuse-worker-exports")  # as the first one
    assert exports.inputs["spec"]["replicas"] == 4
    assert container(exports)["resources"] == container(recording.one("Deployment", "langfuse-worker"))["resources"]
    selectors = [item.inputs["spec"]["selector"]["matchLabels"] for item in recording.of("Deployment")]
    for pod in recording.of("Deployment"):
        labels = pod.inputs["spec"]["template"]["metadata"]["labels"]
        assert sum(selector.items() <= labels.items() for selector in selectors) == 1, "two Deployments share pods"


def test_a_pool_that_may_be_idle_is_not_restarted_every_hour() -> None:
    recording = recorded("prod", {"worker": {"pools": POOLS, "replicas": 4}})
    name = "LANGFUSE_QUEUE_CONSUMPTION_STUCK_THRESHOLD_MINUTES"
    found = {item.name: variables(container(item)).get(name) for item in recording.of("Deployment")}
    assert found["langfuse-worker-evaluations"] == "720"
    assert found["langfuse-worker-exports"] is None  # it has a job every 20 minutes
    assert found["langfuse-worker"] is None


def test_background_migrations_run_in_the_first_deployment_unless_configured() -> None:
    name = "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS"
    recording = recorded("prod", {"worker": {"pools": POOLS, "replicas": 4}})
    found = {item.name: variables(container(item)).get(name) for item in recording.of("Deployment")}
    assert found["langfuse-worker-evaluations"] == "false"
    assert found["langfuse-worker"] != "false"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"worker": {"pools": {"evals": {"queues": ["eval-executon"]}}}},
            'langfuse:worker.pools.evals.queues: "eval-executon" is not a queue of Langfuse 4.82.0; did you mean '
            '"eval-execution"?',
        ),
        (
            {"worker": {"pools": {"a": {"queues": ["webhook"]}, "b": {"queues": ["webhook", "monitor"]}}}},
            'langfuse:worker.pools.b.queues: "webhook" is also in pool a; remove it from one of them',
        ),
        (
            {"extraEnv": {"QUEUE_CONSUMER_INGESTION_QUEUE_IS_ENABLED": "false"}},
            "langfuse:extraEnv.QUEUE_CONSUMER_INGESTION_QUEUE_IS_ENABLED: no worker would process the queue",
        ),
        (
            {
                "worker": {"pools": {"a": {"queues": ["webhook"]}}},
                "extraEnv": {"QUEUE_CONSUMER_DEAD_LETTER_RETRY_QUEUE_IS_ENABLED": "true"},
            },
            "langfuse:extraEnv.QUEUE_CONSUMER_DEAD_LETTER_RETRY_QUEUE_IS_ENABLED: is set by langfuse:worker.pools",
        ),
        (
            {"worker": {"pools": {"a": {"queues": ["webhook"], "autoscaling": {"minReplicas": 3, "maxReplicas": 2}}}}},
            "langfuse:worker.pools.a.autoscaling.minReplicas: 3 is more than maxReplicas (2)",
        ),
        (
            {
                "worker": {
                    "pools": {
                        "a": {"queues": ["webhook"], "resources": {"cpu": "2", "cpuLimit": "1", "memory": "256Mi"}}
                    }
                }
            },
            'langfuse:worker.pools.a.resources.memory: "256Mi" is less than the process needs',
        ),
        (
            {
                "patches": [{"kind": "Deployment", "name": "langfuse-worker-a", "patch": {"spec": {"replicas": 9}}}],
                "worker": {"pools": {"a": {"queues": ["webhook"]}}},
            },
            "is set by langfuse:worker.pools.a.replicas",
        ),
    ],
)
def test_a_mistake_is_one_error(config: Mapping[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(config)
    assert message in str(caught.value)


def test_a_cluster_that_ties_memory_to_cpu_raises_the_requests_of_pools() -> None:
    resources = {"cpu": "100m", "cpuLimit": "1", "memory": "4Gi"}
    config = {
        "cluster": {"memoryPerCpu": "4Gi"},
        "worker": {"pools": {"a": {"queues": ["webhook"], "resources": resources}}},
    }
    assert settings(config).deployments["worker-a"].resources.cpu == "1000m"
