"""Backups and restore drills: CronJobs, schedules of operators, and sidecars.

A CronJob that only verifies backups is neither a backup nor a drill. Others are told by their labels and names
(`app.kubernetes.io/component: backup`, `drill-postgres`), else by the tools that their commands and scripts run:
`pg_dump`, `BACKUP DATABASE`, `rclone copy`. What one covers is told by its name, else by those tools, by the images
of its containers and by what its variables connect to. A suspended CronJob named `restore` is neither: people
start restores from it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from langfuse_policies.facts.applications import repository, stores
from langfuse_policies.facts.cron import Schedule, parse
from langfuse_policies.facts.data import STORES
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import SERVERS, Container, Pod, pod_of

Subject = Literal["postgres", "clickhouse", "object-store", "secrets"]

ALL: frozenset[Subject] = frozenset({"postgres", "clickhouse", "object-store", "secrets"})
_DATABASES: frozenset[Subject] = frozenset({"postgres", "clickhouse"})

_NAMES: dict[str, Subject] = {
    "postgres": "postgres", "postgresql": "postgres", "pg": "postgres", "clickhouse": "clickhouse",
    "media": "object-store", "objects": "object-store", "store": "object-store", "s3": "object-store",
    "minio": "object-store", "bucket": "object-store", "buckets": "object-store",
    "secrets": "secrets", "keys": "secrets", "escrow": "secrets",
}  # fmt: skip
_DRILL_NAMES = {"drill", "drills", "restore", "rehearsal", "rehearse"}
#: Of a suspended job that people start by hand when they need it. A drill that is suspended is a fault.
_BY_HAND_NAMES = {"restore"}
_BACKUP_NAMES = {"backup", "backups", "dump"}
#: Of jobs that read backups, and neither write nor restore one.
_CHECK_NAMES = {"verify", "verification"}

_TOOLS: tuple[tuple[Subject, re.Pattern[str]], ...] = (
    ("postgres", re.compile(r"\bpg_dump(all)?\b|\bpg_basebackup\b|\bbackup-push\b|\bpgbackrest\b.*\bbackup\b")),
    ("clickhouse", re.compile(r"\bBACKUP\s+(DATABASE|TABLE|ALL)\b|\bclickhouse-backup\b")),
    (
        "object-store",
        re.compile(r"\bmc\s+mirror\b|\brclone\s+(copy|sync)\b|\baws\s([^\n]*\s)?s3\s+sync\b|\brestic\s.*backup\b"),
    ),
)
_RESTORES: tuple[tuple[Subject, re.Pattern[str]], ...] = (
    ("postgres", re.compile(r"\bpg_restore\b|\bpgbackrest\b.*\brestore\b")),
    ("clickhouse", re.compile(r"\bRESTORE\s+(DATABASE|TABLE|ALL)\b")),
)
_CLIENT_IMAGES: dict[str, Subject] = {
    "postgres": "postgres", "postgresql": "postgres", "wal-g": "postgres", "pgbackrest": "postgres",
    "clickhouse": "clickhouse", "clickhouse-server": "clickhouse", "clickhouse-backup": "clickhouse",
    "mc": "object-store", "rclone": "object-store", "aws-cli": "object-store",
}  # fmt: skip
#: Commands of images, for containers without a command.
_ENTRYPOINTS = {"mc": "mc", "rclone": "rclone", "aws-cli": "aws"}
_CONNECTIONS: tuple[tuple[Subject, re.Pattern[str]], ...] = (
    ("postgres", re.compile(r"PGHOST$|POSTGRES_HOST$|DATABASE_URL$|DIRECT_URL$")),
    ("clickhouse", re.compile(r"CLICKHOUSE_(HOST|URL)$")),
)

#: Custom resources that back up on a schedule: path of the schedule, and of the field that suspends it.
_OPERATORS: dict[str, tuple[frozenset[Subject], str, str]] = {
    "postgresql.cnpg.io/ScheduledBackup": (frozenset({"postgres"}), "spec.schedule", "spec.suspend"),
    "velero.io/Schedule": (ALL, "spec.schedule", "spec.paused"),
}
#: Custom resources whose operators run a store that has to be backed up.
_STORE_KINDS: dict[str, Subject] = {kind: one for kind, store in STORES.items() for one in ALL if one == store}


@dataclass(frozen=True)
class BackupJob:
    """One backup, or one drill of a restore."""

    resource: Resource
    drill: bool
    #: Everything, while it is unknown.
    covers: frozenset[Subject]
    #: Cron; None for a job that runs all the time with its own schedule.
    schedule: Field | None
    #: Whether the schedule starts with seconds.
    seconds: bool = False
    #: The field that suspends it when it is true.
    switches: tuple[Field, ...] = ()
    pod: Pod | None = None
    #: Commands, arguments and mounted scripts.
    texts: tuple[str, ...] = field(default=(), repr=False)

    @property
    def containers(self) -> list[Container]:
        """The containers of its pods; none for an operator's resource."""
        return self.pod.containers if self.pod else []


def schedule_of(job: BackupJob) -> Schedule | None:
    """Its schedule; None when it is unknown, invalid, never due, or managed by the operator."""
    text = job.schedule.text if job.schedule else None
    found = None if text is None else parse(text, seconds=job.seconds)
    return None if found is None or found.never else found


def backups(stack: Stack) -> list[BackupJob]:
    """Every backup."""
    return [job for job in _jobs(stack) if not job.drill]


def drills(stack: Stack) -> list[BackupJob]:
    """Every drill of a restore."""
    return [job for job in _jobs(stack) if job.drill]


def data_stores(stack: Stack) -> Iterator[tuple[Resource, Subject]]:
    """Stores with data that can't be created again: databases and object stores, not queues and caches."""
    for pod, _, store in stores(stack):
        if store in ("postgres", "clickhouse", "object-store") and not pod.resource.partial:
            yield pod.resource, store
    for resource in stack.of(*_STORE_KINDS):
        if not resource.partial:
            yield resource, _STORE_KINDS[resource.kind]


def _jobs(stack: Stack) -> Iterator[BackupJob]:
    scripts = {(one.namespace, one.object_name): one["data"] for one in stack.of("core/ConfigMap") if one.object_name}
    for resource in stack.resources:
        if resource.kind in _OPERATORS:
            covers, schedule, switch = _OPERATORS[resource.kind]
            six_fields = resource.kind.startswith("postgresql.cnpg.io/")
            yield BackupJob(resource, False, covers, resource.at(schedule), six_fields, (resource.at(switch),))
        elif resource.kind == "batch/CronJob" and (job := _cron_job(resource, scripts)):
            yield job
        elif resource.kind in SERVERS and (pod := pod_of(resource)):
            for container in pod.containers:
                image = repository(container).rpartition("/")[2]
                if "backup" in image.split("-"):
                    named = frozenset(_NAMES[word] for word in image.split("-") if word in _NAMES)
                    yield BackupJob(resource, False, named or ALL, None, pod=pod)


def _cron_job(resource: Resource, scripts: dict[tuple[str, str], Field]) -> BackupJob | None:
    pod = pod_of(resource)
    if pod is None:
        return None
    labels = resource.metadata["labels"]
    words = {
        word
        for name in (
            labels["app.kubernetes.io/component"].text, labels["app.kubernetes.io/name"].text,
            pod.labels["app.kubernetes.io/component"].text, resource.object_name, resource.name,
        )
        for word in re.split(r"[^a-z0-9]+", (name or "").lower())
    }  # fmt: skip
    texts = tuple(_texts(pod, scripts))
    tools = {subject for subject, tool in _TOOLS if any(map(tool.search, texts))}
    restored = {subject for subject, tool in _RESTORES if any(map(tool.search, texts))}
    drill = bool(words & _DRILL_NAMES) or (bool(restored) and not tools and not words & _BACKUP_NAMES)
    if not (drill or words & _BACKUP_NAMES or tools) or (words & _CHECK_NAMES and not (tools or restored)):
        return None
    # What copies objects copies them back here.
    by_hand = words & (_DRILL_NAMES | _BACKUP_NAMES) == _BY_HAND_NAMES and tools <= {"object-store"}
    if by_hand and resource.at("spec.suspend").equals(True):
        return None
    spec = resource.at("spec.jobTemplate.spec")
    return BackupJob(
        resource,
        drill,
        frozenset({_NAMES[word] for word in words if word in _NAMES} or _covered(pod, tools | restored)),
        resource.at("spec.schedule"),
        switches=(resource.at("spec.suspend"), spec["suspend"]),
        pod=pod,
        texts=texts,
    )


def _texts(pod: Pod, scripts: dict[tuple[str, str], Field]) -> Iterator[str]:
    """Its commands, and the scripts of its volumes: those that a command names, or all when none is named."""
    commands = [_command(container) for container in pod.containers]
    yield from commands
    files: dict[str, Field] = {}
    for volume in pod.volumes:
        data = scripts.get((pod.resource.namespace, volume["configMap"]["name"].text or ""))
        files.update(data.entries() if data else ())
    named = {name for name in files if any(name in command for command in commands)}
    for name, content in files.items():
        if (name in named or not named) and (text := content.text) is not None:
            yield text


def _command(container: Container) -> str:
    command = container["command"].texts
    if container["command"].absent and (program := _ENTRYPOINTS.get(repository(container).rpartition("/")[2])):
        command = [program]
    return " ".join([*command, *container["args"].texts])


def _covered(pod: Pod, tools: set[Subject]) -> set[Subject]:
    """By tools, images and connections. A tool that copies objects after a dump only moves the dump."""
    found = set(tools)
    for container in pod.containers:
        if (client := _CLIENT_IMAGES.get(repository(container).rpartition("/")[2])) is not None:
            found.add(client)
        for variable in container.variables:
            name = variable["name"].text or ""
            found |= {subject for subject, connection in _CONNECTIONS if connection.search(name)}
    return (found & _DATABASES) or found or set(ALL)
