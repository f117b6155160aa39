"""Autoscaling of workers by the length of their queues: a ScaledObject of KEDA for a Deployment.

KEDA evaluates one trigger for each list of BullMQ, and creates a HorizontalPodAutoscaler that takes the trigger that
asks for most pods. Its scaler for Redis counts lists by LLEN and sorted sets by ZCARD (pkg/scalers/redis_scaler.go of
kedacore/keda, 2.21), so it counts jobs that wait (`<prefix>:<queue>:wait`) and those that are due later
(`<prefix>:<queue>:delayed`). Langfuse gives no job a priority, so there are no jobs in `prioritized`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pydantic import JsonValue

from components.application.component import ApplicationContext
from components.application.environment import redis_key_prefix
from components.application.queues import queues_of
from components.kubernetes.deployments import REMOVED_PERCENT, SCALE_DOWN_SECONDS, drain_period
from components.kubernetes.objects import Scope, custom_resource
from components.kubernetes.pods import PodTemplate
from components.schema.environment import Settings, deployment_key
from components.schema.workloads import QueueLength, Worker, WorkerAutoscaling
from components.stores.connections import Endpoint, RedisConnection

API_VERSION: Final = "keda.sh/v1alpha1"

KEDA_PODS: Final[Mapping[str, str]] = {"app": "keda-operator"}
"""The labels of the pods that look at the queues (config/manager/manager.yaml of kedacore/keda, and its chart)."""

FAILURES: Final = 4
"""How many looks at the queues fail before the fallback, one every 15 s (--horizontal-pod-autoscaler-sync-period). A
restart of Redis takes less."""


@dataclass(frozen=True, kw_only=True)
class BullQueue:
    """A queue of BullMQ whose jobs more pods process faster."""

    name: str
    """Its name in Redis (QueueName in packages/shared/src/server/queues.ts)."""
    shards: str | None = None
    """The variable with the number of its shards, which only a Redis cluster has."""
    is_usual: bool = True
    """Whether it has jobs in every installation. The first Deployment looks at no others."""


BULL_QUEUES: Final[Mapping[str, Sequence[BullQueue]]] = {
    "ingestion": [BullQueue(name="ingestion-queue", shards="LANGFUSE_INGESTION_QUEUE_SHARD_COUNT")],
    "ingestion-secondary": [
        BullQueue(
            name="secondary-ingestion-queue", shards="LANGFUSE_INGESTION_SECONDARY_QUEUE_SHARD_COUNT", is_usual=False
        )
    ],
    "otel-ingestion": [BullQueue(name="otel-ingestion-queue", shards="LANGFUSE_OTEL_INGESTION_QUEUE_SHARD_COUNT")],
    "otel-ingestion-secondary": [
        BullQueue(
            name="secondary-otel-ingestion-queue",
            shards="LANGFUSE_OTEL_INGESTION_SECONDARY_QUEUE_SHARD_COUNT",
            is_usual=False,
        )
    ],
    "trace-upsert": [BullQueue(name="trace-upsert", shards="LANGFUSE_TRACE_UPSERT_QUEUE_SHARD_COUNT")],
    "eval-execution": [
        BullQueue(name="evaluation-execution-queue", shards="LANGFUSE_EVAL_EXECUTION_QUEUE_SHARD_COUNT"),
        BullQueue(name="llm-as-a-judge-execution-queue", shards="LANGFUSE_LLM_AS_JUDGE_EXECUTION_QUEUE_SHARD_COUNT"),
    ],
    "eval-execution-secondary": [
        BullQueue(
            name="secondary-evaluation-execution-queue",
            shards="LANGFUSE_EVAL_EXECUTION_SECONDARY_QUEUE_SHARD_COUNT",
            is_usual=False,
        )
    ],
    "code-eval-execution": [
        BullQueue(name="code-eval-execution-queue", shards="LANGFUSE_CODE_EVAL_EXECUTION_QUEUE_SHARD_COUNT")
    ],
    "dataset-run-item-upsert": [BullQueue(name="dataset-run-item-upsert-queue", is_usual=False)],
    "experiment-create": [BullQueue(name="experiment-create-queue", is_usual=False)],
    "webhook": [BullQueue(name="webhook-queue", is_usual=False)],
    "entity-change": [BullQueue(name="entity-change-queue", is_usual=False)],
    "notification": [BullQueue(name="notification-queue", is_usual=False)],
    "monitor": [BullQueue(name="monitor-queue", is_usual=False)],
    "in-app-agent-run": [BullQueue(name="in-app-agent-run-queue", is_usual=False)],
}
"""By the names of `queues.consumers`. The others have a limit for all pods together, or one job at a time in each
(worker/src/app.ts), so their length says nothing about the number of pods."""


def queue_length(worker: Worker) -> QueueLength | None:
    """How a Deployment scales with its queues; None if it does not."""
    bounds = worker.autoscaling
    return bounds.queue_length if bounds else None


def looks_at_queues(settings: Settings) -> bool:
    """Whether KEDA connects to Redis."""
    return any(queue_length(worker) for worker in settings.worker_deployments.values())


def keda_namespace(settings: Settings) -> list[str]:
    """The namespace from which KEDA connects to the Redis of this stack; none if it does not."""
    return [settings.cluster.operators.keda] if looks_at_queues(settings) and settings.redis.mode != "external" else []


def queue_autoscaler(scope: Scope, context: ApplicationContext, template: PodTemplate, of: pulumi.Resource) -> None:
    """Creates the ScaledObject of a Deployment, and the TriggerAuthentication with the password of Redis.

    Args:
        scope: The workload.
        context: Settings and stores.
        template: The template of its pods, which takes a while to drain.
        of: The Deployment.
    """
    settings, redis, name = context.settings, context.stores.redis, scope.workload.resource_name
    worker = settings.worker_deployments[scope.workload.name]
    bounds, length = worker.autoscaling, queue_length(worker)
    if bounds is None or length is None:
        return
    own = pulumi.ResourceOptions(depends_on=[of])
    authentication = custom_resource(
        scope, API_VERSION, "TriggerAuthentication", _authentication(context, redis), opts=own
    )
    triggers = [
        *redis_triggers(settings, redis, scope.workload.name, length),
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(bounds.cpu_percent)}},
    ]
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicaCount": bounds.min_replicas,
        "maxReplicaCount": bounds.max_replicas,
        "fallback": _fallback(bounds),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(template)}},
        "triggers": triggers,
    }
    custom_resource(
        scope, API_VERSION, "ScaledObject", spec, opts=pulumi.ResourceOptions(depends_on=[of, authentication])
    )


def redis_triggers(
    settings: Settings, redis: RedisConnection, workload: str, length: QueueLength
) -> list[Mapping[str, object]]:
    """The triggers of a Deployment: two for each of its queues."""
    kind = {"single": "redis", "cluster": "redis-cluster", "sentinel": "redis-sentinel"}[redis.topology]
    nodes = ",".join(_address(node, settings) for node in redis.nodes or [redis.endpoint])
    connection = {
        **({"address": nodes} if redis.topology == "single" else {"addresses": nodes}),
        **({"sentinelMaster": redis.master_name} if redis.master_name and redis.topology == "sentinel" else {}),
        **({"username": redis.username} if redis.username else {}),
        **({"enableTLS": "true"} if redis.endpoint.tls else {}),
    }
    return [
        {
            "type": kind,
            "metadata": {**connection, "listName": key, "listLength": str(jobs)},
            "authenticationRef": {"name": f"langfuse-{workload}"},
        }
        for queue in queue_names(settings, redis, workload)
        for key, jobs in (
            (job_key(settings, redis, queue, "wait"), length.jobs_per_pod),
            (job_key(settings, redis, queue, "delayed"), length.delayed_per_pod),
        )
    ]


def queue_names(settings: Settings, redis: RedisConnection, workload: str) -> Iterator[str]:
    """The names in Redis of the queues by whose length a Deployment scales, with those of their shards.

    A shard has the name of the queue and its number, except the first one. Jobs are spread over shards only in a Redis
    cluster (`getInstance` in packages/shared/src/server/redis/ingestionQueue.ts).
    """
    own = queues_of(settings, workload)
    for consumer, queues in BULL_QUEUES.items():
        for queue in queues if consumer in own else ():
            if workload == "worker" and not (queue.is_usual or _is_configured(settings, queue)):
                continue
            yield queue.name
            shards = _shards(settings, queue) if redis.topology == "cluster" else 1
            yield from (f"{queue.name}-{number}" for number in range(1, shards))


def job_key(settings: Settings, redis: RedisConnection, queue: str, state: str) -> str:
    """The key of the jobs of a queue in a state (`getQueuePrefix` in packages/shared/src/server/redis/redis.ts).

    In a cluster, the prefix is a hash tag, which puts all keys of a queue on one node.
    """
    prefix = redis_key_prefix(settings)
    if redis.topology == "cluster":
        prefix = f"{{{prefix}:{queue}}}"
    return f"{prefix}:{queue}:{state}"


def queue_length_has_triggers(settings: Settings) -> Iterator[str]:
    """A Deployment whose queues have a limit for all pods together gains nothing from more pods."""
    for name, worker in settings.worker_deployments.items():
        if queue_length(worker) and not queues_of(settings, name) & BULL_QUEUES.keys():
            key = f"{deployment_key(name)}.autoscaling.queueLength"
            yield (
                f"{key}: has no effect, because more pods do not process the queues of this pool faster; remove it, or "
                f"add one of {', '.join(BULL_QUEUES)} to them"
            )


def _authentication(context: ApplicationContext, redis: RedisConnection) -> Mapping[str, object]:
    secrets = {"password": redis.password, "sentinelPassword": redis.sentinel_password}
    found: dict[str, object] = {
        "secretTargetRef": [
            {"parameter": parameter, "name": ref.name, "key": ref.key} for parameter, ref in secrets.items() if ref
        ]
    }
    if redis.ca_path:
        _, _, file = redis.ca_path.rpartition("/")
        volume = context.ca_bundles[0].volume
        found["configMapTargetRef"] = [{"parameter": "ca", "name": volume["config_map"]["name"], "key": file}]  # type: ignore[index]  # the volume of a ConfigMap
    return found


def _fallback(bounds: WorkerAutoscaling) -> JsonValue:
    """While Redis can't be asked, nothing is known about the queues: no pod is added or removed."""
    return {"failureThreshold": FAILURES, "replicas": bounds.min_replicas, "behavior": "currentReplicasIfHigher"}


def _behavior(template: PodTemplate) -> JsonValue:
    """The same as of a HorizontalPodAutoscaler that this program creates."""
    period = drain_period(template)
    return {
        "scaleDown": {
            "stabilizationWindowSeconds": SCALE_DOWN_SECONDS,
            "policies": [
                {"type": "Pods", "value": 1, "periodSeconds": period},
                {"type": "Percent", "value": REMOVED_PERCENT, "periodSeconds": period},
            ],
            "selectPolicy": "Max",
        }
    }


def _address(node: Endpoint, settings: Settings) -> str:
    """An address as KEDA reaches it from its own namespace."""
    if "." in node.host or ":" in node.host:
        return node.authority
    return f"{node.host}.{settings.namespace}.svc:{node.port}"


def _is_configured(settings: Settings, queue: BullQueue) -> bool:
    """Whether `extraEnv` keeps projects apart in a secondary queue (LANGFUSE_SECONDARY_*_QUEUE_ENABLED_PROJECT_IDS)."""
    name = queue.name.upper().replace("-", "_").replace("EVALUATION_", "EVAL_")
    return f"LANGFUSE_{name}_ENABLED_PROJECT_IDS" in settings.extra_env


def _shards(settings: Settings, queue: BullQueue) -> int:
    """The number of shards in `extraEnv`; one is the default."""
    variable = settings.extra_env.get(queue.shards or "")
    return int(variable.value) if variable and variable.value and variable.value.isdigit() else 1
