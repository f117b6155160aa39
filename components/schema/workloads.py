"""The Deployments of the application: web, worker, and the pools of workers."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from components.schema.base import Model, Resources

LONGEST_POOL_NAME = 20
"""The names of pods, which are host names of at most 63 characters, are made of it."""


def _pool_name(text: str) -> str:
    if not re.fullmatch(rf"[a-z]([-a-z0-9]{{0,{LONGEST_POOL_NAME - 2}}}[a-z0-9])?", text):
        raise ValueError(
            f"is not the name of a pool: at most {LONGEST_POOL_NAME} lower-case letters, digits and '-', a letter first"
        )
    return text


PoolName = Annotated[str, AfterValidator(_pool_name)]


class Autoscaling(Model):
    """Limits for a number of pods that follows their CPU utilization."""

    min_replicas: int = Field(ge=1, le=100, description="Minimum number of pods.")
    max_replicas: int = Field(ge=1, le=100, description="Maximum number of pods.")
    cpu_percent: int = Field(default=50, ge=10, le=95, description="Target CPU utilization in percent of the request.")


class QueueLength(Model):
    """The backlog of a pod, as KEDA sees it: the operator must run in the cluster (docs/scaling.md)."""

    jobs_per_pod: int = Field(
        default=500, ge=1, le=1_000_000, description="Jobs that wait in a queue, for each pod that shall process them."
    )
    delayed_per_pod: int = Field(
        default=2000,
        ge=1,
        le=10_000_000,
        description="Jobs of a queue that are due later, for each pod. Jobs of the batch API wait for 5 to 15 seconds, "
        "and failed ones for their next attempt.",
    )


class WorkerAutoscaling(Autoscaling):
    """Limits for a number of workers that follows their CPU utilization, and the length of their queues."""

    queue_length: QueueLength | None = Field(
        default=None,
        description="Also scales with the length of the queues, by KEDA in place of a HorizontalPodAutoscaler.",
    )


class Workload(Model):
    """A Deployment of the application."""

    replicas: int = Field(ge=1, le=100, description="Number of pods, unless `autoscaling` is set.")
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Scales the number of pods with the load. Before you remove it, set both limits to `replicas`: the "
        "autoscaler is active until the end of the update.",
    )
    resources: Resources = Field(description="Resources of each pod. The heap of Node is three quarters of the memory.")


WorkloadT = TypeVar("WorkloadT", bound=Workload)


class PoolResources(Resources):
    """Resources of the pods of a pool. All keys are required: no scale has defaults for them."""


class Pool(Model):
    """A further Deployment of web or worker. What it does not set is as in the first one."""

    replicas: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Number of pods, unless `autoscaling` is set. Default: that of the first Deployment.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Scales the number of pods with the load. Default: `replicas` pods."
    )
    resources: PoolResources | None = Field(
        default=None, description="Resources of each pod. Default: those of the first Deployment."
    )

    def based_on(self, first: WorkloadT) -> WorkloadT:
        """The settings of the Deployment, with what the first one sets."""
        own = {name: value for name, value in self if value is not None and name in type(first).model_fields}
        return first.model_copy(update={"autoscaling": None, **own})


class WorkerPool(Pool):
    """Workers that process some of the queues and no others. The first Deployment processes all other queues."""

    autoscaling: WorkerAutoscaling | None = Field(
        default=None, description="Scales the number of pods with the load. Default: `replicas` pods."
    )
    queues: list[str] = Field(
        min_length=1,
        examples=[["eval-execution", "code-eval-execution"]],
        description="The queues, by the names of Langfuse's variables: `eval-execution` for "
        "`QUEUE_CONSUMER_EVAL_EXECUTION_QUEUE_IS_ENABLED` (docs/scaling.md).",
    )
    termination_grace_period_seconds: int | None = Field(
        default=None, ge=30, le=3600, description="Seconds between SIGTERM and SIGKILL. Default: those of `worker`."
    )


class Web(Workload):
    """The Deployment that serves the UI and the API."""

    ingestion: Pool | None = Field(
        default=None,
        description="A further Deployment that serves the public API (`/api/public`), which SDKs call, on pods of its "
        "own: a storm of events then delays no page.",
    )

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Further Deployments by their keys in this section."""
        return {"ingestion": self.ingestion} if self.ingestion else {}


class Worker(Workload):
    """The Deployment that processes the jobs in the queues."""

    autoscaling: WorkerAutoscaling | None = Field(
        default=None,
        description="Scales the number of pods with the load. Before you remove it, set both limits to `replicas`: the "
        "autoscaler is active until the end of the update.",
    )
    pools: dict[PoolName, WorkerPool] = Field(
        default={},
        description="Further Deployments, by name, each for some of the queues: many evaluations then delay no "
        "ingestion.",
    )

    concurrency: int = Field(
        default=20,
        ge=1,
        le=500,
        description="Number of jobs of the ingestion queue that a pod processes at a time: scores, and traces from the "
        "legacy batch API.",
    )
    otel_concurrency: int = Field(
        default=5,
        ge=1,
        le=500,
        description="Number of jobs of the OpenTelemetry queue that a pod processes at a time: traces of current SDKs.",
    )
    termination_grace_period_seconds: int = Field(
        default=330,
        ge=30,
        le=3600,
        description="Seconds between SIGTERM and SIGKILL. Unfinished jobs then run again in another pod. The worker "
        "may not exit by itself (langfuse#8156), in which case a replaced pod stays for this time.",
    )
