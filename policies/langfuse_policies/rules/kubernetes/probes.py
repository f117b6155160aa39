"""Probes: when a container gets traffic, and when it is restarted."""

from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import langfuse_role
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("probes", title="Probes", pack="reliability")

#: Kubernetes' defaults of a probe: API reference, Probe v1 core.
_PERIOD_SECONDS, _FAILURES = 10.0, 3.0
_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")


def _servers(pod: Pod) -> list[Container]:
    """Main containers of pods that are restarted when they end."""
    if pod.spec["restartPolicy"].equals("Never", "OnFailure"):
        return []
    return [container for container in pod.containers if container.list_name == "containers"]


@topic.servers(
    "readiness-probe",
    title="Servers have a readiness probe",
    why="Without a probe, a pod gets traffic before the server listens, and a rollout continues past pods that "
    "never work.",
    fix="Add a readinessProbe that checks whether the container can serve requests.",
    severity=Severity.MEDIUM,
    also_in=("CKV_K8S_9", "C-0018", "kube-linter: no-readiness-probe"),
)
def readiness_probe(pod: Pod) -> Findings:
    for container in _servers(pod):
        if (probe := container["readinessProbe"]).empty:
            yield finding(probe, "it has no readinessProbe")


@topic.servers(
    "liveness-probe",
    title="Servers have a liveness probe",
    why="A process that hangs without exiting is never restarted.",
    fix="Add a livenessProbe that fails only when a restart helps.",
    severity=Severity.MEDIUM,
    also_in=("CKV_K8S_8", "C-0056", "kube-linter: no-liveness-probe"),
)
def liveness_probe(pod: Pod) -> Findings:
    for container in _servers(pod):
        if (probe := container["livenessProbe"]).empty:
            yield finding(probe, "it has no livenessProbe")


@topic.servers(
    "patient-liveness-probe",
    title="The liveness probe is more patient than the readiness probe",
    why="If both probes are the same, a busy server is killed instead of getting less traffic, and then so is the "
    "next one.",
    fix="Use another check for the livenessProbe, or a higher failureThreshold or periodSeconds.",
    severity=Severity.MEDIUM,
    also_in=("kube-score: pod-probes-identical", "Kyverno: validate-probes"),
)
def patient_liveness_probe(pod: Pod) -> Findings:
    for container in _servers(pod):
        liveness, readiness = container["livenessProbe"], container["readinessProbe"]
        if any(not leaf.known for leaf in (*_all(liveness), *_all(readiness))) or liveness.empty or readiness.empty:
            continue
        same = all(liveness[way].value == readiness[way].value for way in _HANDLERS)
        if same and _budget(liveness) <= _budget(readiness):
            yield finding(liveness, "it is the same check as the readinessProbe, without more patience")


def _all(field: Field) -> list[Field]:
    """Every field below this one, including unknown ones."""
    if not field.present:
        return [field]
    children = [child for _, child in field.entries()] or list(field)
    return [field, *(below for child in children for below in _all(child))]


def _budget(probe: Field) -> float:
    """Seconds of failure before the kubelet acts."""
    return _number(probe["periodSeconds"], _PERIOD_SECONDS) * _number(probe["failureThreshold"], _FAILURES)


def _number(field: Field, default: float) -> float:
    return default if field.number is None else field.number


class Migrations(Settings):
    """How long migrations may take."""

    budget_seconds: Annotated[
        float,
        Meta(gt=0, description="Seconds that web has to migrate its databases before the kubelet may kill it."),
    ] = 900


_SWITCHES = ("LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED", "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED")


@topic.pods(
    "migrations-survive-probes",
    title="Probes give web enough time to migrate",
    why="Web migrates ClickHouse before it listens. If the kubelet kills it during a migration, the database is "
    "left dirty and has to be repaired by hand.",
    fix="Migrate in a Job and set both LANGFUSE_AUTO_*_MIGRATION_DISABLED to true, or give web a startupProbe whose "
    "periodSeconds times failureThreshold is at least 900.",
    severity=Severity.HIGH,
    also_in=("Kyverno: require-pod-probes", "langfuse/langfuse#4975"),
    langfuse=True,
    settings=Migrations,
)
def migrations_survive_probes(pod: Pod, settings: Migrations) -> Findings:
    for container in pod.containers:
        if langfuse_role(container) != "web" or not _migrates(container):
            continue
        startup, liveness = container["startupProbe"], container["livenessProbe"]
        killer = startup if startup.present else liveness
        if not killer.present or any(not part.known for part in _all(killer)):
            continue
        if _number(killer["initialDelaySeconds"], 0) + _budget(killer) < settings.budget_seconds:
            yield finding(killer, "the kubelet may kill web during a migration")


def _migrates(container: Container) -> bool:
    """Whether this container certainly migrates at its start."""
    switches = [container.variable(name) for name in _SWITCHES]
    if container["env"].known and any(not one["name"].known for one in container["env"]):
        return False
    if not container["envFrom"].empty:  # the switches may be set there
        return False
    return any(switch.absent or (switch["value"].differs("true") and switch["valueFrom"].absent) for switch in switches)
