"""Backups: what counts as one, when it runs, and the bounds that can be configured."""

from typing import Any

import pytest
import yaml
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.backup_copies import copied_from
from langfuse_policies.facts.backup_jobs import backups, drills
from langfuse_policies.facts.cron import parse
from langfuse_policies.facts.fields import UNKNOWN
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.rules.kubernetes.backup_targets import Escrow
from langfuse_policies.rules.kubernetes.backups import RecoveryPoint
from langfuse_policies.rules.kubernetes.confidentiality import Environments
from langfuse_policies.rules.kubernetes.restores import Chain, Drills, Retention
from langfuse_policies.testing import judged, resource, resources_of

from tests.policies.corpus import FOLDER

CRON_JOB = "kubernetes:batch/v1:CronJob"


def cron_job(container: dict[str, Any], name: str = "nightly", *, suspend: bool = False, **spec: object) -> Resource:
    template = {"spec": {"containers": [{"name": "main", **container}], **spec}}
    props = {"metadata": {"name": name}, "spec": {"suspend": suspend, "jobTemplate": {"spec": {"template": template}}}}
    return resource(CRON_JOB, props, name=name)


@pytest.mark.parametrize(
    ("container", "covered"),
    [
        ({"image": "x/tools:1", "args": ["sh", "-c", "pg_dumpall | gzip > /out/all.gz"]}, {"postgres"}),
        ({"image": "x/tools:1", "args": ["-q", "BACKUP  DATABASE default TO S3(b, 'x')"]}, {"clickhouse"}),
        ({"image": "x/mc:1", "command": ["mc", "mirror", "a/media", "b/media"]}, {"object-store"}),
        ({"image": "x/tools:1", "command": ["rclone", "sync", "a:media", "b:media"]}, {"object-store"}),
        ({"image": "x/tools:1", "command": ["aws", "s3", "sync", "s3://a", "s3://b"]}, {"object-store"}),
        ({"image": "x/tools:1", "command": ["sh", "-c", "pg_dump | x && mc mirror /out b/dumps"]}, {"postgres"}),
    ],
)
def test_a_backup_is_told_by_what_it_runs(container: dict[str, Any], covered: set[str]) -> None:
    (job,) = backups(Stack([cron_job(container)]))
    assert job.covers == covered


def test_a_backup_is_told_by_the_script_that_it_runs() -> None:
    scripts = {"dump.sh": "pg_dump --format=custom", "clean.sh": "rm -r /tmp/*"}
    config = resource("kubernetes:core/v1:ConfigMap", {"metadata": {"name": "scripts"}, "data": scripts})
    volumes = [{"name": "scripts", "configMap": {"name": "scripts"}}]
    dump = cron_job({"image": "x/tools:1", "command": ["/scripts/dump.sh"]}, volumes=volumes)
    clean = cron_job({"image": "x/tools:1", "command": ["/scripts/clean.sh"]}, volumes=volumes)
    assert [job.resource for job in backups(Stack([config, dump, clean]))] == [dump]


@pytest.mark.parametrize(
    ("variable", "covered"), [("PGHOST", "postgres"), ("DATABASE_URL", "postgres"), ("CLICKHOUSE_URL", "clickhouse")]
)
def test_what_a_named_backup_covers_is_told_by_its_connections(variable: str, covered: str) -> None:
    (job,) = backups(Stack([cron_job({"image": "x/tools:1", "env": [{"name": variable, "value": "x"}]}, "backup")]))
    assert job.covers == {covered}


def test_a_backup_of_which_nothing_is_known_may_cover_everything() -> None:
    unknown = resource(CRON_JOB, {"metadata": {"name": "backup"}, "spec": UNKNOWN})
    store = resources_of(
        yaml.safe_dump(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "postgres"},
                "spec": {"template": {"spec": {"containers": [{"name": "postgres", "image": "postgres:17.10"}]}}},
            }
        )
    )
    policy = POLICIES["backup-of-each-store"]
    assert len(judged(policy, store)) == 1
    assert judged(policy, [*store, unknown]) == []


@pytest.mark.parametrize(
    ("words", "buckets"),
    [
        (["mc", "mirror", "--quiet", "store/media", "other/copies/media"], {"media"}),
        (["sh", "-c", "mc mirror 'a/media/x' b/media 2>&1 && mc cp -r a/dumps b/dumps"], {"media", "dumps"}),
        (["sh", "-c", 'mc mirror --exclude "*.lock" "store/$BUCKET" "$target" 2>&1'], {"named"}),
        (["rclone", "sync", "store:media/2026", "offsite:copies"], {"media"}),
        (["aws", "--endpoint-url", "http://store", "s3", "sync", "s3://media", "s3://copies"], {"media"}),
        (["sh", "-c", "aws s3 cp --recursive /backup s3://copies"], set()),
        (["mc", "mirror", "store", "other"], None),
        (["pg_dumpall"], set()),
    ],
)
def test_the_buckets_that_are_copied(words: list[str], buckets: set[str] | None) -> None:
    container = {"image": "x/tools:1", "command": words, "env": [{"name": "BUCKET", "value": "named"}]}
    (job,) = backups(Stack([cron_job(container, "backup")]))
    assert copied_from(job) == buckets


def test_a_bucket_that_is_named_elsewhere_may_be_any() -> None:
    variable = {"name": "BUCKET", "valueFrom": {"configMapKeyRef": {"name": "buckets", "key": "media"}}}
    container = {"image": "x/mc:1", "command": ["mc", "mirror", "a/$BUCKET", "b/copies"], "env": [variable]}
    (job,) = backups(Stack([cron_job(container)]))
    assert copied_from(job) is None


def test_arguments_alone_are_those_of_the_program_of_the_image() -> None:
    container = {"image": "rclone/rclone:1.71.2", "args": ["copy", "store:media", "offsite:copies"]}
    (job,) = backups(Stack([cron_job(container)]))
    assert copied_from(job) == {"media"}


def test_what_only_verifies_backups_is_neither_a_backup_nor_a_drill() -> None:
    stack = Stack([cron_job({"image": "x/tools:1", "command": ["node", "/check.js"]}, "langfuse-verify-backups")])
    assert (backups(stack), drills(stack)) == ([], [])


def test_a_suspended_restore_is_started_by_hand_and_is_no_drill() -> None:
    container = {"image": "postgres:17.10", "args": ["pg_restore", "--dbname=langfuse"]}
    active = cron_job(container, "langfuse-restore-postgres")
    by_hand = cron_job(container, "langfuse-restore-postgres", suspend=True)
    forgotten = cron_job(container, "restore-drill", suspend=True)
    copied = {"image": "rclone/rclone:1", "command": ["rclone", "copy", "copies:media", "store:media"]}
    back = cron_job(copied, "langfuse-restore-media", suspend=True)
    stack = Stack([active, by_hand, forgotten, back])
    assert ([job.resource for job in drills(stack)], backups(stack)) == ([active, forgotten], [])


def test_what_restores_is_a_drill_and_no_backup() -> None:
    restore = cron_job({"image": "postgres:17.10", "args": ["pg_restore", "--dbname=scratch", "/in/dump"]})
    stack = Stack([restore, cron_job({"image": "x/web:1", "args": ["clean-sessions"]})])
    assert backups(stack) == []
    assert [job.resource for job in drills(stack)] == [restore]


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("15 */6 * * *", 6),
        ("0,30 * * * *", 0.5),
        ("@daily", 24),
        ("@every 1h30m", 1.5),
        ("0 3 * * mon-fri", 72),
        ("0 3 1 * *", 31 * 24),
        ("0 0 1,15 * 0", 7 * 24),
        ("0 0 31 2 *", float("inf")),
    ],
)
def test_the_longest_gap_of_a_schedule(schedule: str, hours: float) -> None:
    found = parse(schedule)
    assert found is not None
    assert found.longest_gap == hours * 60


@pytest.mark.parametrize(
    "schedule", ["", "daily", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "@x"]
)
def test_what_is_no_schedule(schedule: str) -> None:
    assert parse(schedule) is None


@pytest.mark.parametrize(
    ("schedule", "every_day_it_could"),
    [("0 2 */2 * 1", 400), ("0 2 * * 1", 100), ("0 2 1 * *", 20), ("0 2 */2 * *", 360), ("0 2 13 * 5", 120)],
)
def test_both_day_fields_must_fit_only_where_one_of_them_is_free(schedule: str, every_day_it_could: int) -> None:
    """At a step, as in `*/2`, robfig/cron no longer counts a field as free."""
    found = parse(schedule)
    assert found is not None
    assert every_day_it_could < len(found.days) < every_day_it_could + 30


def test_operators_with_seconds_want_six_fields() -> None:
    assert parse("0 0 2 * * *", seconds=True) == parse("0 2 * * *")
    assert parse("0 2 * * *", seconds=True) is None


BASE = resources_of((FOLDER / "base" / "langfuse.yaml").read_text())


@pytest.mark.parametrize(
    ("policy", "strict", "generous"),
    [
        ("backup-often-enough", RecoveryPoint(postgres_hours=5), RecoveryPoint(postgres_hours=6)),
        ("backup-retention", Retention(days=31), Retention(days=30)),
        ("backup-retention", Retention(count=31), Retention(count=30)),
        ("backup-chain-short", Chain(length=6), Chain(length=7)),
        ("restore-drill-often-enough", Drills(days=6), Drills(days=7)),
        ("keys-kept-outside", Escrow(state_counts=False), Escrow(state_counts=True)),
        ("no-other-environment", Environments(words={"prod": ("prod",), "x": ("offsite",)}), Environments()),
    ],
)
def test_bounds_can_be_configured(policy: str, strict: Settings, generous: Settings) -> None:
    stack = [one for one in BASE if one.object_name != "backup-secrets"]
    if policy == "no-other-environment":
        stack = [resource(CRON_JOB, _bucket("shop-offsite-data"), name="backup")]
    assert judged(POLICIES[policy], stack, strict)
    assert judged(POLICIES[policy], stack, generous) == []


def _bucket(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "x/tools:1", "env": [{"name": "BUCKET", "value": name}]}
    return {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}}}
