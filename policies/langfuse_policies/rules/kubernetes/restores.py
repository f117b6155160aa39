"""Restores: retention of backups, length of their chains, and restore drills."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import store_of
from langfuse_policies.facts.backup_jobs import BackupJob, backups, data_stores, drills, schedule_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import SERVERS, Container, Pod, pods_of

topic = Topic("restores", title="Retention and restore drills", pack="reliability")

_HOURS_A_DAY = 24
_MINUTES_A_DAY = 24 * 60
_KEEPS_DAYS = re.compile(r"(RETENTION|RETAIN|KEEP).*DAYS")
_KEEPS_COUNT = re.compile(r"(RETENTION|RETAIN|KEEP).*(COUNT|LAST|BACKUPS)|BACKUPS_TO_KEEP")
_KEEPS = re.compile(r"--keep-|--older-than|-mtime|retention|retain|\bkeep_|\bexpire", re.IGNORECASE)
_DURATION = re.compile(r"(\d{1,6})(h|d|w|m)", re.IGNORECASE)
_DAYS = {"h": 1 / _HOURS_A_DAY, "d": 1, "w": 7, "m": 30}
_PASSWORD = re.compile(r"PASSWORD$|DATABASE_URL$|DIRECT_URL$")

#: Resources with the retention of backups, and its path: a number of days or a text such as `30d` or `720h`.
_RETENTIONS = {
    "langfuse/Backups": "retentionDays",
    "postgresql.cnpg.io/Cluster": "spec.backup.retentionPolicy",
    "barmancloud.cnpg.io/ObjectStore": "spec.retentionPolicy",
    "velero.io/Schedule": "spec.template.ttl",
}


class Retention(Settings):
    """The minimum retention of backups."""

    days: Annotated[
        int, Meta(gt=0, description="Minimum days: damage must be noticed before the last good backup is deleted.")
    ] = 7
    count: Annotated[int, Meta(gt=0, description="Minimum number of backups, where the retention is a number.")] = 3


@topic.stack(
    "backup-retention",
    title="Backups are kept long enough to notice damage",
    why="Damage that is noticed after a week can't be undone with backups of three days.",
    fix="Raise the retention of the backup.",
    severity=Severity.HIGH,
    settings=Retention,
)
def backup_retention(stack: Stack, settings: Retention) -> Findings:
    for resource in stack.of(*_RETENTIONS):
        place = resource.at(_RETENTIONS[resource.kind])
        days = _days(place)
        if days is not None and days < settings.days:
            yield finding(place, f"backups are kept for less than {settings.days} days", of=resource)
    for job in backups(stack):
        for variable in _variables(job.containers):
            name, number = variable["name"].text or "", variable["value"].number
            if number is None:
                continue
            if _KEEPS_DAYS.search(name) and number < settings.days:
                yield finding(variable["value"], f"kept for less than {settings.days} days", of=job.resource)
            if _KEEPS_COUNT.search(name) and number < settings.count:
                yield finding(variable["value"], f"fewer than {settings.count} of them are kept", of=job.resource)


def _days(place: Field) -> float | None:
    if place.number is not None:
        return place.number
    parts = _DURATION.findall(place.text or "")
    return sum(int(number) * _DAYS[unit.lower()] for number, unit in parts) if parts else None


def _variables(containers: Iterable[Container]) -> Iterator[Field]:
    for container in containers:
        yield from container.variables


@topic.stack(
    "backup-retention-stated",
    title="The retention of backups is set",
    why="Without it, backups accumulate until the disk is full, or until somebody deletes one that was still needed.",
    fix="Set the days in the job (RETENTION_DAYS), in the operator's resource, or in a lifecycle rule of the bucket.",
    severity=Severity.HIGH,
)
def backup_retention_stated(stack: Stack) -> Findings:
    if any(_is_lifecycle(resource) for resource in stack.resources):
        return
    for cluster in stack.of("postgresql.cnpg.io/Cluster"):
        backup = cluster.at("spec.backup.barmanObjectStore")
        if backup.present and cluster.at("spec.backup.retentionPolicy").absent:
            yield finding(backup, "they have no retention", of=cluster)
    for store in stack.of("barmancloud.cnpg.io/ObjectStore"):
        if store.at("spec.retentionPolicy").absent:
            yield finding("spec.retentionPolicy", "the retention is not set", of=store)
    for job in backups(stack):
        if job.pod is not None and job.pod.spec["containers"].present and not _states_retention(job):
            yield finding(job.pod.spec, "these backups have no retention", of=job.resource)


def _is_lifecycle(resource: Resource) -> bool:
    """Whether it is, or contains, lifecycle rules of a bucket."""
    if resource.kind == "langfuse/Backups":
        return not resource["retentionDays"].absent
    rules_of_bucket = ("lifecycleRules", "lifecycleRule", "expireDays")
    return "Lifecycle" in resource.kind or any(resource[key].present for key in rules_of_bucket)


def _states_retention(job: BackupJob) -> bool:
    names = (variable["name"] for variable in _variables(job.containers))
    return any(
        not name.known or _KEEPS.search(name.text or "") or "KEEP" in (name.text or "") for name in names
    ) or any(map(_KEEPS.search, job.texts))


class Chain(Settings):
    """How many backups a restore may need at most."""

    length: Annotated[int, Meta(gt=0, description="Maximum incremental backups on one full backup.")] = 7


@topic.pods(
    "backup-chain-short",
    title="Chains of incremental backups are short",
    why="One damaged backup makes every later one of its chain useless, although each of them is reported as a "
    "success.",
    fix="Make full backups more often.",
    severity=Severity.HIGH,
    settings=Chain,
)
def backup_chain_short(pod: Pod, settings: Chain) -> Findings:
    for container in pod.containers:
        # The variable of WAL-G, and usual names in scripts.
        for name in ("WALG_DELTA_MAX_STEPS", "CHAIN_LENGTH", "MAX_CHAIN_LENGTH"):
            steps = container.variable(name)["value"]
            if (number := steps.number) is not None and number > settings.length:
                yield finding(steps, f"a restore may need more than {settings.length} increments", of=pod.resource)
        # Of `clickhouse-backup watch` (Altinity/clickhouse-backup, ReadMe: WATCH_INTERVAL 1h, FULL_INTERVAL 24h).
        full, increment = container.variable("FULL_INTERVAL")["value"], container.variable("WATCH_INTERVAL")["value"]
        long, short = _days(full), _days(increment)
        if long and short and long / short > settings.length + 1:
            yield finding(full, f"a restore may need more than {settings.length} increments", of=pod.resource)


@topic.stack(
    "restore-drill-of-each-store",
    title="Restores of every store are rehearsed on a schedule",
    why="A backup that was never restored may be empty or damaged, or its key may be missing.",
    fix="Add a CronJob that restores the newest backup into a scratch place and checks the result, with the label "
    "app.kubernetes.io/component: restore-drill.",
    severity=Severity.CRITICAL,
)
def restore_drill_of_each_store(stack: Stack) -> Findings:
    rehearsed = {subject for job in drills(stack) for subject in job.covers}
    for resource, subject in data_stores(stack):
        if subject not in rehearsed:
            yield finding("", "this store has no restore drill", of=resource)


class Drills(Settings):
    """How old the last drill may be."""

    days: Annotated[float, Meta(gt=0, description="Maximum days between two drills.")] = 7


@topic.stack(
    "restore-drill-often-enough",
    title="Restores are rehearsed often enough",
    why="Between two drills, backups can be broken without anyone noticing.",
    fix="Shorten the interval of the drill's schedule.",
    severity=Severity.HIGH,
    settings=Drills,
)
def restore_drill_often_enough(stack: Stack, settings: Drills) -> Findings:
    for job in drills(stack):
        schedule = schedule_of(job)
        if schedule is not None and job.schedule is not None and schedule.longest_gap > settings.days * _MINUTES_A_DAY:
            yield finding(job.schedule, f"drills can be more than {settings.days:g} days apart", of=job.resource)


@topic.stack(
    "restore-drill-apart",
    title="Restore drills have no access to the stores in use",
    why="A drill that can reach the real database may overwrite it.",
    fix="Restore into a separate server with a password of its own.",
    severity=Severity.CRITICAL,
)
def restore_drill_apart(stack: Stack) -> Findings:
    used = {
        (pod.resource.namespace, reference.text)
        for pod in pods_of(stack)
        if pod.resource.kind in SERVERS
        for reference in _passwords(pod.containers)
    }
    for job in drills(stack):
        own = {store for container in job.containers if (store := store_of(container)) is not None}
        for reference in _passwords(job.containers):
            if not own and (job.resource.namespace, reference.text) in used:
                yield finding(reference, "these credentials can write to a store in use", of=job.resource)


def _passwords(containers: Iterable[Container]) -> Iterator[Field]:
    for variable in _variables(containers):
        reference = variable["valueFrom"]["secretKeyRef"]["name"]
        if _PASSWORD.search(variable["name"].text or "") and reference.text is not None:
            yield reference
