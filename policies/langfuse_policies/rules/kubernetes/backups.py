"""Backups: one for each store, active, and often enough."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import langfuse_servers
from langfuse_policies.facts.backup_copies import copied_from
from langfuse_policies.facts.backup_jobs import BackupJob, Subject, backups, data_stores, drills, schedule_of
from langfuse_policies.facts.cron import Schedule
from langfuse_policies.facts.resources import Resource, Stack

topic = Topic("backups", title="Backups", pack="reliability")

_MINUTES = 60


@topic.stack(
    "backup-of-each-store",
    title="Every store that holds data is backed up on a schedule",
    why="Data without a backup is lost with its volume, its cluster or one wrong command.",
    fix="Add a CronJob that backs the store up, with the label app.kubernetes.io/component: backup, or use the "
    "schedule of its operator.",
    severity=Severity.CRITICAL,
)
def backup_of_each_store(stack: Stack) -> Findings:
    servers = [container for _, container, _ in langfuse_servers(stack)]
    media = {container.variable("LANGFUSE_S3_MEDIA_UPLOAD_BUCKET")["value"].text for container in servers}
    covered = {subject for job in backups(stack) for subject in job.covers if not _copies_but(media, job)}
    for resource, subject in data_stores(stack):
        if subject not in covered:
            yield finding("", "this store has no backup", of=resource)


def _copies_but(media: set[str | None], job: BackupJob) -> bool:
    """Whether it copies buckets, but not the one that has to be backed up: Langfuse's media."""
    copied = copied_from(job) if job.covers == {"object-store"} else None
    return bool(copied) and bool(media) and None not in media and media.isdisjoint(copied or ())


@topic.resources(
    "backup-by-provider-stated",
    "langfuse/Backups",
    title="Somebody sees to the backups of external stores",
    why="No job of the stack backs them up. A provider's default may be no backup at all, or one of a day.",
    fix="Ask the provider what it backs up, test a restore, and say so in langfuse:backups.providers.",
    severity=Severity.HIGH,
    langfuse=True,
)
def backup_by_provider_stated(resource: Resource) -> Findings:
    for store, statement in resource["providers"].entries():
        if statement.text == "":
            yield finding(statement, f"nothing says who backs up the external store {store}")


@topic.resources(
    "backup-before-upgrade",
    "langfuse/Backups",
    title="A backup set is taken before a release migrates",
    why="An older release refuses a newer schema. Without a set from before the migration, going back loses everything "
    "since the last scheduled one.",
    fix="Remove langfuse:backups.beforeUpgrade, which is true by default.",
    severity=Severity.HIGH,
    langfuse=True,
)
def backup_before_upgrade(resource: Resource) -> Findings:
    if resource["beforeUpgrade"].equals(False):
        yield finding(resource["beforeUpgrade"], "no set is taken before an upgrade")


@topic.stack(
    "backup-not-suspended",
    title="Backups and restore drills are not suspended",
    why="A suspended CronJob is listed like any other, but nothing is backed up.",
    fix="Set suspend to false; delete the object if it is not needed.",
    severity=Severity.CRITICAL,
)
def backup_not_suspended(stack: Stack) -> Findings:
    for job in [*backups(stack), *drills(stack)]:
        for switch in job.switches:
            if switch.equals(True):
                yield finding(switch, "it never runs", of=job.resource)
        parallelism = job.resource.at("spec.jobTemplate.spec.parallelism")
        if parallelism.equals(0):
            yield finding(parallelism, "its runs create no pod", of=job.resource)


@topic.stack(
    "backup-schedule-valid",
    title="The schedule of a backup is a valid cron expression",
    why="Operators accept schedules that they can't parse, and Kubernetes accepts dates that do not exist, such as "
    "30 February: the backup never starts.",
    fix="Write five fields, minute first, as in `15 */6 * * *`; CloudNativePG expects six, seconds first.",
    severity=Severity.HIGH,
)
def backup_schedule_valid(stack: Stack) -> Findings:
    for job in [*backups(stack), *drills(stack)]:
        if job.schedule is not None and job.schedule.known and schedule_of(job) is None:
            yield finding(job.schedule, "this is not a cron schedule, or its date does not exist", of=job.resource)


class RecoveryPoint(Settings):
    """The recovery point objectives."""

    postgres_hours: Annotated[float, Meta(gt=0, description="Maximum hours between backups of Postgres.")] = 24
    clickhouse_hours: Annotated[float, Meta(gt=0, description="Maximum hours between backups of ClickHouse.")] = 24
    object_store_hours: Annotated[
        float, Meta(gt=0, description="Maximum hours between backups of an object store.")
    ] = 24

    def hours(self, covers: Iterable[Subject]) -> float:
        """The shortest objective of the stores that a backup covers; infinite without one."""
        limits: dict[Subject, float] = {
            "postgres": self.postgres_hours,
            "clickhouse": self.clickhouse_hours,
            "object-store": self.object_store_hours,
        }
        return min((limits[subject] for subject in covers if subject in limits), default=float("inf"))


@topic.stack(
    "backup-often-enough",
    title="Backups run as often as the recovery point objective requires",
    why="Everything written since the last backup is lost with the store.",
    fix="Shorten the interval of the schedule, or set a longer one in the configuration of this policy.",
    severity=Severity.HIGH,
    settings=RecoveryPoint,
)
def backup_often_enough(stack: Stack, settings: RecoveryPoint) -> Findings:
    jobs = backups(stack)
    gaps = [(job, schedule.longest_gap / _MINUTES) for job in jobs if (schedule := schedule_of(job)) is not None]
    for job, gap in gaps:
        limit = settings.hours(job.covers)
        # Another backup of the store may meet the objective, for example beside a weekly full backup.
        kept = any(other.covers >= job.covers and other_gap <= limit for other, other_gap in gaps)
        if gap > limit and not kept and job.schedule is not None:
            yield finding(job.schedule, f"runs can be more than {limit:g} hours apart", of=job.resource)


@topic.stack(
    "backups-not-at-once",
    title="Backups do not start in the same minute",
    why="Backups that start together compete with the application, and with each other, for disks and network.",
    fix="Change the minute of one of the schedules.",
    severity=Severity.LOW,
)
def backups_not_at_once(stack: Stack) -> Findings:
    earlier: list[tuple[str, Schedule]] = []
    for job in backups(stack):
        zone = job.resource.at("spec.timeZone")
        schedule = schedule_of(job)
        if schedule is None or job.schedule is None or not zone.known:
            continue
        place = zone.text or ""
        if any(place == other_place and schedule.meets(other) for other_place, other in earlier):
            yield finding(job.schedule, "another backup starts in the same minute", of=job.resource)
        earlier.append((place, schedule))
