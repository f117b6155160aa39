"""Jobs on the real node: migrations and their gate, provisioning, and backups that are started by hand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from tests.node import jobs
from tests.node.contents import Contents
from tests.node.shapes import Installation

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

DIRTY: Final = "INSERT INTO schema_migrations (version, dirty, sequence) VALUES (2, 1, toUnixTimestamp64Nano(now64(9)))"
UNFINISHED: Final = (
    "UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0 WHERE migration_name = "
    "(SELECT max(migration_name) FROM _prisma_migrations)"
)
UNDO: Final = ("DROP TABLE IF EXISTS probe_exports", "DROP TABLE IF EXISTS probe_media")
"""What the last migration of the probe application created (its folder `media_and_exports`)."""
APPLIED: Final = "SELECT count(*), count(DISTINCT migration_name), count(finished_at) FROM _prisma_migrations"
FIRST: Final = ("probe_organizations", "probe_projects", "probe_users", "probe_memberships", "api_keys")
"""The tables that the first start writes to."""
BUCKET_READERS: Final = (
    *("get_bucket_lifecycle_configuration", "get_bucket_versioning", "get_bucket_policy", "get_bucket_encryption"),
    "get_bucket_tagging",
)


@pytest.fixture
def contents(shape: Installation) -> Contents:
    return Contents(shape.view)


def test_a_second_migration_changes_nothing(shape: Installation, contents: Contents) -> None:
    def state() -> tuple[str, ...]:
        tables = "SELECT name, create_table_query FROM system.tables WHERE database = 'default' ORDER BY name"
        return (
            contents.psql(APPLIED),
            contents.clickhouse("SELECT * FROM schema_migrations ORDER BY sequence"),
            contents.clickhouse(tables),
        )

    before = state()
    done = jobs.again(shape.view, "migrations", "migrate-again")
    assert done.succeeded, done.log
    assert re.search(r"Postgres: \d+ migrations, all finished", done.log)
    assert re.search(r"ClickHouse: at migration \d+ of \d+, clean", done.log)
    assert state() == before


@pytest.mark.long
def test_a_half_migrated_clickhouse_is_refused_until_it_is_repaired(shape: Installation, contents: Contents) -> None:
    before = contents.psql(APPLIED)
    contents.clickhouse(DIRTY)
    refused = jobs.again(shape.view, "migrations", "migrate-dirty")
    assert not refused.succeeded
    assert "migration 2 started but did not finish: the database is dirty" in refused.log
    assert contents.psql(APPLIED) == before

    (shown,) = repair(shape, "clickhouse", "--plan")
    assert (shown["migration"], shown["repair"]) == ("0002_served_by", "finish")
    assert [one["migration"] for one in repair(shape, "clickhouse", "--yes")] == ["0002_served_by"]
    repaired = jobs.again(shape.view, "migrations", "migrate-repaired")
    assert repaired.succeeded, repaired.log


@pytest.mark.long
def test_a_half_migrated_postgres_is_refused_until_it_is_repaired(shape: Installation, contents: Contents) -> None:
    before = contents.clickhouse("SELECT * FROM schema_migrations ORDER BY sequence")
    contents.psql(UNFINISHED, *UNDO)
    refused = jobs.again(shape.view, "migrations", "migrate-unfinished")
    assert not refused.succeeded
    assert "started but did not finish. This run changed nothing." in refused.log
    assert contents.clickhouse("SELECT * FROM schema_migrations ORDER BY sequence") == before

    (done,) = repair(shape, "all", "--yes")
    assert (done["store"], done["repair"]) == ("postgres", "rerun")
    assert {one["effect"] for one in done["statements"]} == {"not-applied"}
    assert repair(shape, "all", "--yes") == []
    repaired = jobs.again(shape.view, "migrations", "migrate-repaired")
    assert repaired.succeeded, repaired.log
    assert "applied 1 migrations to Postgres" in repaired.log


def repair(shape: Installation, store: str, option: str) -> list[Any]:
    """What the command shows or repairs."""
    found = json.loads(shape.operate("repair", options=["--store", store, option, "--json"]).ok().stdout)
    return found if option == "--plan" else found["repaired"]  # type: ignore[no-any-return]


def test_a_second_first_start_changes_nothing(shape: Installation, contents: Contents) -> None:
    def state() -> Mapping[str, str]:
        return {table: contents.psql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in FIRST}  # noqa: S608

    before = state()
    assert all(before.values())
    done = jobs.again(shape.view, "first-start", "first-start-again")
    assert done.succeeded, done.log
    assert "organization, project, owner and keys exist" in done.log
    assert state() == before


def settings(client: S3Client) -> Mapping[str, object]:
    """Everything about the buckets that provisioning sets."""
    found: dict[str, object] = {}
    for bucket in client.list_buckets()["Buckets"]:
        for reader in BUCKET_READERS:
            try:
                answer = getattr(client, reader)(Bucket=bucket["Name"])
            except ClientError as error:
                answer = {"error": error.response["Error"]["Code"]}
            answer.pop("ResponseMetadata", None)
            found[f"{bucket['Name']}/{reader}"] = json.loads(json.dumps(answer, default=str))
    return found


@pytest.mark.long
def test_provisioning_twice_gives_the_same(shape: Installation, contents: Contents) -> None:
    with contents.object_store() as client:
        before = settings(client)
    done = jobs.again(shape.view, "object-store-provisioning", "provision-again")
    assert done.succeeded, done.log
    with contents.object_store() as client:
        assert settings(client) == before
    assert {name.split("/")[0] for name in before} == {
        contents.bucket(purpose) for purpose in ("events", "media", "exports", "backups")
    }


def objects(client: S3Client, bucket: str, folder: str) -> Mapping[str, int]:
    """The size of each object in a folder, by its name there."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    return {item["Key"].removeprefix(f"{folder}/"): item["Size"] for page in pages for item in page.get("Contents", [])}


@pytest.mark.long
def test_backups_that_are_started_by_hand_are_complete(shape: Installation, contents: Contents) -> None:
    bucket = contents.bucket("backups")
    folders: dict[str, str] = {}
    for store, prefix in (("clickhouse", "clickhouse"), ("postgres", "sets")):
        done = jobs.from_cron_job(shape.view, f"langfuse-backup-{store}", f"before-upgrade-{store}")
        assert done.succeeded, done.log
        found = re.search(rf"{prefix}/\S+ is complete", done.log)
        assert found, done.log
        folders[store] = found[0].split()[0]

    with contents.object_store() as client:
        made = objects(client, bucket, folders["postgres"])
        assert made.keys() == {"database.dump", "globals.sql", "media.jsonl.gz", ".complete"}
        read = {
            name: client.get_object(Bucket=bucket, Key=f"{folders['postgres']}/{name}")["Body"].read() for name in made
        }
        manifest = json.loads(read[".complete"])
        sums = {one["name"]: one["sha256"] for one in manifest["files"]}
        assert sums == {name: hashlib.sha256(read[name]).hexdigest() for name in sums}
        assert sums.keys() == made.keys() - {".complete"}
        assert f"clickhouse/{manifest['clickhouse']['id']}" == folders["clickhouse"]
        assert manifest["postgres"]["rows"]["public.probe_projects"] >= 1
        saved = objects(client, bucket, folders["clickhouse"])
        assert {".backup", ".complete", "files.jsonl"} <= saved.keys()
        marker = json.loads(client.get_object(Bucket=bucket, Key=f"{folders['clickhouse']}/.complete")["Body"].read())
    tables = set(contents.clickhouse("SELECT name FROM system.tables WHERE database = 'default'").split())
    assert (marker["database"], marker["behind"]) == ("default", [])
    if marker["base"] is None:
        assert {f"metadata/default/{table}.sql" for table in tables} <= saved.keys()
    pruned = jobs.from_cron_job(shape.view, "langfuse-retention", "retention-by-hand")
    assert pruned.succeeded, pruned.log
    assert "can be restored" in pruned.log
    verified = jobs.from_cron_job(shape.view, "langfuse-verify-backups", "verify-by-hand")
    assert verified.succeeded, verified.log
    assert f"verdict {folders['postgres']}/verdicts/verify.json: ok" in verified.log
