"""Langfuse and its stores: settings that must match, and settings that can lose data."""

import re

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.applications import (
    is_langfuse,
    langfuse_role,
    langfuse_servers,
    stores,
)
from langfuse_policies.facts.langfuse_environment import certainly_not_true
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.scaling import workloads
from langfuse_policies.facts.store_configuration import Configuration, stores_of_langfuse
from langfuse_policies.facts.workloads import Container, Pod, pod_of

topic = Topic("langfuse-stores", title="Langfuse: stores", pack="reliability")

#: System tables of ClickHouse that outgrow the traces (langfuse#13123); query_log stays, Langfuse v4 reads it.
_NOISY_LOGS = (
    "trace_log",
    "text_log",
    "opentelemetry_span_log",
    "asynchronous_metric_log",
    "metric_log",
    "latency_log",
)


@topic.stack(
    "clickhouse-cluster-mode",
    title="CLICKHOUSE_CLUSTER_ENABLED matches the ClickHouse server",
    why="The table engines are chosen once: without replication, replicas differ; with it, a server without Keeper "
    "does not start.",
    fix="Set CLICKHOUSE_CLUSTER_ENABLED=true for replicas or Keeper, false for a single server without Keeper.",
    severity=Severity.HIGH,
    also_in=("Langfuse: ClickHouse guide",),
    langfuse=True,
)
def clickhouse_cluster_mode(stack: Stack) -> Findings:
    replicas: dict[str, float] = {}
    coordinated = any(store == "keeper" for _, _, store in stores(stack))
    for pod, _, configuration in stores_of_langfuse(stack, "clickhouse"):
        number = pod.resource.at("spec.replicas")
        replicas[pod.resource.namespace] = 1 if number.absent else number.number or 0
        coordinated |= not configuration.complete
        coordinated |= any("zookeeper" in file.text or "keeper_server" in file.text for file in configuration.files)
    for pod, container, _ in langfuse_servers(stack):
        count = replicas.get(pod.resource.namespace, 0)
        variable = container.variable("CLICKHOUSE_CLUSTER_ENABLED")
        if count > 1 and variable["value"].equals("false"):
            yield finding(
                variable["value"], "ClickHouse has replicas, but its tables would not be replicated", pod.resource
            )
        elif count == 1 and not coordinated and (variable.absent or variable["value"].equals("true")):
            place = variable["value"] if variable.present else container["env"]
            yield finding(
                place, "ClickHouse is a single server without Keeper, but the default is a cluster", pod.resource
            )


@topic.stack(
    "stores-in-utc",
    title="Postgres and ClickHouse run in UTC",
    why="Langfuse supports no other time zone: queries over time return empty or shifted results.",
    fix="Set the time zone to UTC.",
    severity=Severity.HIGH,
    also_in=("Langfuse: ClickHouse guide",),
    langfuse=True,
)
def stores_in_utc(stack: Stack) -> Findings:
    for pod, container, configuration in stores_of_langfuse(stack, "postgres", "clickhouse"):
        if (zone := container.variable("TZ")["value"]).text and not _is_utc(zone.text or "UTC"):
            yield finding(zone, "the time zone is not UTC", pod.resource)
        for file in configuration.files:
            if any(not _is_utc(match[1] or match[2]) for match in _TIME_ZONE.finditer(file.text)):
                yield finding(file.place, "the time zone is not UTC", file.owner)
        for word in (*container["command"], *container["args"]):
            if any(not _is_utc(match[1] or match[2]) for match in _TIME_ZONE.finditer(word.text or "")):
                yield finding(word, "the time zone is not UTC", pod.resource)


_TIME_ZONE = re.compile(r"<timezone>\s*([^<\s]+)\s*<|^[ \t]*(?:--)?timezone[ \t]*=[ \t]*'?([\w/+-]+)", re.M)


def _is_utc(zone: str) -> bool:
    return zone.upper() in {"UTC", "ETC/UTC", "GMT", "ETC/GMT", "UTC0", "ZULU", "ETC/UCT", "UCT"}


@topic.stack(
    "one-migrator",
    title="One process migrates the databases",
    why="ClickHouse migrations take no lock: two at once leave the database dirty, and web no longer starts.",
    fix="Set LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED and LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED to true on web.",
    severity=Severity.HIGH,
    also_in=("Langfuse: discussion 10697",),
    langfuse=True,
)
def one_migrator(stack: Stack) -> Findings:
    jobs = {job.namespace for job in stack.of("batch/Job") if _migrates(job)}
    for pod, container, role in langfuse_servers(stack):
        several = (pod.resource.at("spec.replicas").number or 1) > 1
        if role != "web" or not (several or pod.resource.namespace in jobs):
            continue
        for store in ("POSTGRES", "CLICKHOUSE"):
            name = f"LANGFUSE_AUTO_{store}_MIGRATION_DISABLED"
            if certainly_not_true(container, name):
                yield finding(container["env"], f"{name} is not true, so web is not the only migrator", pod.resource)


@topic.stack(
    "one-first-start",
    title="One process creates the first organization",
    why="Web creates it at its start (LANGFUSE_INIT_*). Several instances conflict with each other's rows, do not "
    "exit, and answer every request with 500 until a probe restarts them.",
    fix="Set LANGFUSE_INIT_* on a Job that runs web until it responds, and not on web itself.",
    severity=Severity.MEDIUM,
    langfuse=True,
)
def one_first_start(stack: Stack) -> Findings:
    for workload in workloads(stack):
        if not workload.autoscaler and (workload.replicas is None or workload.replicas <= 1):
            continue
        for container in workload.pod.containers:
            organization = container.variable("LANGFUSE_INIT_ORG_ID")
            if container.restarts and langfuse_role(container) == "web" and organization.present:
                yield finding(organization, "each pod tries to create the first organization", workload.resource)


def _migrates(job: Resource) -> bool:
    pod = pod_of(job)
    return pod is not None and any(is_langfuse(one) for one in pod.containers)


_V4 = {"mode": "events_only", "otel": "direct", "preview": "true", "backfill": "true"}
_V3 = {"mode": "legacy", "otel": "dual_write", "preview": "false", "backfill": "false"}
_PHASE = {
    "mode": "LANGFUSE_MIGRATION_V4_WRITE_MODE",
    "otel": "LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR",
    "preview": "LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN",
    "backfill": "LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL",
}


@topic.servers(
    "v4-phase-coherent",
    title="The settings of the migration to v4 are consistent",
    why="Some combinations stop the worker at its start; legacy writes together with the backfill lose rows "
    "permanently.",
    fix="Use legacy with dual_write and no backfill, and events_only with direct and the preview opt-in.",
    severity=Severity.HIGH,
    also_in=("Langfuse: upgrade guide v3 to v4",),
    langfuse=True,
)
def v4_phase_coherent(pod: Pod) -> Findings:
    for container in pod.containers:
        defaults = _V3 if _major(container) == "3" else _V4 if _major(container) == "4" else None
        if defaults is None or langfuse_role(container) is None:
            continue
        fields = {key: container.variable(name) for key, name in _PHASE.items()}
        if not all(one.known and one["value"].known and one["valueFrom"].empty for one in fields.values()):
            continue
        now = {key: one["value"].text or defaults[key] for key, one in fields.items()}
        for key, mode, value, problem in _CONFLICTS:
            if now["mode"] == mode and now[key] == value:
                place = next((one for one in (fields[key], fields["mode"]) if one.present), container["image"])
                yield finding(place, problem)


_CONFLICTS = (
    ("otel", "legacy", "direct", "legacy writes can't receive spans directly"),
    ("backfill", "legacy", "true", "legacy writes with the backfill lose rows"),
    ("otel", "events_only", "dual_write", "dual writes need legacy writes, but only events are written"),
    ("preview", "events_only", "false", "the preview must be on when only events are written"),
)


def _major(container: Container) -> str:
    """The major version of an image's tag; empty when it names none."""
    match = re.search(r":v?(\d+)(?:\.[\w.-]*)?(?:@.*)?$", container["image"].text or "")
    return match[1] if match else ""


@topic.stack(
    "clickhouse-system-logs-bounded",
    title="System logs of ClickHouse are off or expire",
    why="They are on by default and never expire: they grow to many times the size of the traces and fill the volume.",
    fix="Remove them from the configuration or give each a ttl; keep query_log, which Langfuse v4 reads.",
    severity=Severity.MEDIUM,
    also_in=("Langfuse: issue 13123",),
    langfuse=True,
)
def clickhouse_system_logs_bounded(stack: Stack) -> Findings:
    for pod, container, configuration in stores_of_langfuse(stack, "clickhouse"):
        for file in configuration.files:
            for table in _NOISY_LOGS:
                if _endless(table, file.text):
                    yield finding(file.place, f"{table} is on and never expires", file.owner)
            if re.search(r"<query_log\s[^>]*remove", file.text):
                yield finding(file.place, "query_log is off, which Langfuse v4 reads", file.owner)
        if configuration.complete and container["command"].known and not _own_configuration(container, configuration):
            unnamed = [table for table in _NOISY_LOGS if not any(table in file.text for file in configuration.files)]
            if unnamed:
                problem = f"on by default and never expiring: {', '.join(unnamed)}"
                yield finding(container.fields, problem, pod.resource)


def _endless(table: str, text: str) -> bool:
    """Whether the table's XML element exists and sets no ttl."""
    element = re.search(rf"<{table}(\s[^>]*)?>(.*?)</{table}>", text, re.S)
    return element is not None and "remove" not in (element[1] or "") and "ttl" not in element[2].lower()


def _own_configuration(container: Container, configuration: Configuration) -> bool:
    """Whether the image's configuration, in which the tables are on, is replaced completely."""
    words = [*container["command"].texts, *container["args"].texts]
    return any("config-file" in word or word == "-C" for word in words) or any(
        file.name in {"config.xml", "config.yaml"} for file in configuration.files
    )
