"""Shutdown of Langfuse's servers, and members of ClickHouse and Keeper."""

from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import has_langfuse, langfuse_role, store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.hooks import GRACE_SECONDS, pre_stop_seconds
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Pod, pod_of

topic = Topic("members", title="Langfuse: shutdown and quorum", pack="reliability")


class WebGrace(Settings):
    """The grace period of web."""

    least_seconds: Annotated[
        int, Meta(gt=0, description="web/src/utils/shutdown.ts waits 110 s after SIGTERM before it closes.")
    ] = 120


class WorkerGrace(Settings):
    """The grace period of the worker."""

    least_seconds: Annotated[int, Meta(gt=0, description="Minimum seconds: running jobs need them to finish.")] = 60
    most_seconds: Annotated[
        int,
        Meta(
            gt=0,
            description="Maximum seconds: five minutes of jobs and their flush; more delays rollouts (langfuse#8156).",
        ),
    ] = 360


@topic.servers(
    "web-drains",
    title="Web has enough time to drain",
    why="Web waits 110 seconds after SIGTERM before it closes. If it is killed earlier, it drops requests that it "
    "has accepted.",
    fix="Set terminationGracePeriodSeconds of web to at least 120, plus the time of a preStop hook.",
    severity=Severity.HIGH,
    langfuse=True,
    settings=WebGrace,
)
def web_drains(pod: Pod, settings: WebGrace) -> Findings:
    grace = pod.spec["terminationGracePeriodSeconds"]
    seconds = _seconds(grace)
    if seconds is None or not _runs(pod, "web"):
        return
    hooks = max(pre_stop_seconds(container["lifecycle"]["preStop"]) for container in pod.containers)
    if seconds < settings.least_seconds + hooks:
        yield finding(grace, "web is killed before it is drained")


@topic.servers(
    "worker-drains",
    title="The worker has enough time to finish its jobs, and no more",
    why="If it is killed too early, it loses events that it has taken from the queue. It may never exit by itself, "
    "so every rollout takes the whole grace period.",
    fix="Set terminationGracePeriodSeconds of the worker to between 60 and 360.",
    severity=Severity.HIGH,
    langfuse=True,
    settings=WorkerGrace,
)
def worker_drains(pod: Pod, settings: WorkerGrace) -> Findings:
    grace = pod.spec["terminationGracePeriodSeconds"]
    seconds = _seconds(grace)
    if seconds is None or not _runs(pod, "worker"):
        return
    if seconds < settings.least_seconds:
        yield finding(grace, "the worker is killed during its jobs")
    elif seconds > settings.most_seconds:
        yield finding(grace, "a worker that hangs delays every rollout")


def _runs(pod: Pod, role: str) -> bool:
    return any(container.restarts and langfuse_role(container) == role for container in pod.containers)


def _seconds(grace: Field) -> float | None:
    return GRACE_SECONDS if grace.absent else grace.number


class Quorum(Settings):
    """The number of Keepers."""

    least: Annotated[int, Meta(gt=0, description="Minimum members; the number must be odd in any case.")] = 3


_ALTINITY_LAYOUTS = "spec.configuration.clusters"


@topic.resources(
    "keeper-quorum",
    "apps/StatefulSet", "clickhouse.com/KeeperCluster", "clickhouse-keeper.altinity.com/ClickHouseKeeperInstallation",
    title="Keeper has an odd number of members, and enough of them",
    why="Without a majority of Keepers, replicated tables are read-only. An even number tolerates no more failures "
    "than the odd number below it.",
    fix="Set the replicas of Keeper to 3 or 5; the setting `least` of this policy sets the minimum.",
    severity=Severity.HIGH,
    also_in=("ClickHouse: Keeper sizing",),
    settings=Quorum,
)  # fmt: skip
def keeper_quorum(keeper: Resource, settings: Quorum) -> Findings:
    for replicas in _keepers(keeper):
        members = 1.0 if replicas.absent else replicas.number
        if members is not None and members < settings.least:
            yield finding(replicas, f"there are fewer than {settings.least} members")
        elif members is not None and members % 2 == 0:
            yield finding(replicas, "an even number of members tolerates no more failures than one less")


def _keepers(resource: Resource) -> list[Field]:
    """The number of members of each quorum in a resource."""
    if resource.kind == "clickhouse.com/KeeperCluster":
        return [resource.at("spec.replicas")]
    if resource.kind.endswith("/ClickHouseKeeperInstallation"):
        return [cluster["layout"]["replicasCount"] for cluster in resource.at(_ALTINITY_LAYOUTS)]
    pod = pod_of(resource)
    is_keeper = pod is not None and any(store_of(container) == "keeper" for container in pod.containers)
    return [resource.at("spec.replicas")] if is_keeper else []


@topic.stack(
    "single-shard",
    title="Langfuse's ClickHouse has one shard",
    why="Langfuse's tables are replicated, not distributed: with two shards, a query returns a trace only if it "
    "reaches the right one (langfuse/langfuse-k8s#91).",
    fix="Set the number of shards to 1; scale with larger nodes and with replicas.",
    severity=Severity.HIGH,
    langfuse=True,
)
def single_shard(stack: Stack) -> Findings:
    if not has_langfuse(stack):
        return
    for cluster in stack.of("clickhouse.com/ClickHouseCluster"):
        if (shards := cluster.at("spec.shards").number) is not None and shards > 1:
            yield finding(cluster.at("spec.shards"), "each shard holds different traces", cluster)
    for installation in stack.of("clickhouse.altinity.com/ClickHouseInstallation"):
        for layout in (one["layout"] for one in installation.at(_ALTINITY_LAYOUTS)):
            several = (layout["shardsCount"].number or 1) > 1 or layout["shards"].size > 1
            if several:
                yield finding(layout, "each shard holds different traces", installation)
