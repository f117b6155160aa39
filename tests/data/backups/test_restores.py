"""The pods that restore sets, with real stores: all rows are back, or the database is as before."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.data.backups.pods import (
    BUCKET,
    MEDIA,
    Pod,
    clickhouse_client,
    emptied,
    manifests,
    objects,
    packed_pods,
    restore_pod,
    server_variables,
    set_pod,
    wrapped,
)
from tests.data.clickhouse.packed import Pod as ClickHouse
from tests.data.clickhouse.packed import installation
from tests.data.containers import Run
from tests.data.object_store.minio import Store, provision
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import secrets

OVERWRITE = {"ACTION": "restore", "OVERWRITE": "true"}
REFUSED = 3


def passwords() -> list[str]:
    return [value for (_, key), value in secrets().items() if key not in {"access-key-id", "username"}]


def plan_of(done: Run) -> dict[str, Any]:
    """The last line of a plan."""
    assert done.code == 0, done.output
    found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def fresh(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of this module, whose keys one of its tests changes."""
    made = make_store()
    assert provision(made, tmp_path_factory.mktemp("provisioning")).code == 0
    return made


def folder_in(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


# Postgres

SCHEMA = """
CREATE TYPE role AS ENUM ('OWNER', 'MEMBER');
CREATE TABLE projects (id text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, settings jsonb);
CREATE TABLE "Account" (id serial PRIMARY KEY, project_id text REFERENCES projects ON DELETE CASCADE, role role,
    note text DEFAULT E'COPY a FROM stdin;\\n\\\\.\\n');
CREATE INDEX ON "Account" (project_id);
CREATE TABLE empty (id int);
CREATE TABLE _prisma_migrations (id text, finished_at timestamptz, migration_name text, rolled_back_at timestamptz);
CREATE VIEW owners AS SELECT * FROM "Account" WHERE role = 'OWNER';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION touch();
CREATE SCHEMA other;
CREATE TABLE other.logs AS SELECT n, md5(n::text) AS line FROM generate_series(1, 20000) AS n;
INSERT INTO projects (id, settings) SELECT 'p' || n, jsonb_build_object('n', n) FROM generate_series(1, 500) AS n;
INSERT INTO "Account" (project_id, role) SELECT 'p' || n, CASE n % 2 WHEN 0 THEN 'OWNER' ELSE 'MEMBER' END::role
    FROM generate_series(1, 500) AS n;
"""
CHANGE = """
DROP VIEW owners; DROP TABLE other.logs; DELETE FROM projects WHERE n % 3 = 0;
CREATE TABLE of_a_newer_release (id int PRIMARY KEY REFERENCES "Account"); CREATE TYPE newer AS ENUM ('x');
"""
CONTENT = """
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s AS t', name, name)
FROM (SELECT c.oid::regclass AS name, relkind, nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace) AS r
WHERE relkind IN ('r', 'v') AND nspname IN ('public', 'other') ORDER BY 1 \\gexec
SELECT tgname FROM pg_trigger WHERE NOT tgisinternal;
SELECT typname FROM pg_type WHERE typtype = 'e' ORDER BY 1;
"""


@pytest.fixture
def one_set(postgres: PostgresServer, fresh: Store, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A set, after which the database was changed: the id of the set, and the content that it has."""
    clean = (Path("components/backups/scripts") / "drop-everything.sql").read_text()
    postgres.query(clean)
    postgres.query(SCHEMA)
    done = set_pod(postgres, emptied(fresh, BUCKET, MEDIA)).run(tmp_path / "backup")
    assert done.code == 0, done.output
    content = postgres.query(CONTENT)
    postgres.query(CHANGE)
    ((folder, _),) = manifests(fresh, "sets/").items()
    yield folder.removeprefix("sets/"), content
    postgres.query(clean)


def test_postgres_is_restored_over_other_rows_only_if_that_is_wanted(
    postgres: PostgresServer, fresh: Store, one_set: tuple[str, str], tmp_path: Path
) -> None:
    id_, content = one_set
    pod, changed = restore_pod(postgres, fresh), postgres.query(CONTENT)
    plan = plan_of(pod.run(tmp_path, SET_ID=id_))
    assert plan["rows"]["public.projects"] == [334, 500]
    assert plan["rows"]["other.logs"] == [None, 20_000]
    assert plan["rows"]["public.of_a_newer_release"] == [0, None]
    assert plan["refusals"] == ["the database has 668 rows in 2 tables: OVERWRITE=true replaces them"]
    assert (plan["store"], plan["set"], plan["connected"]) == ("postgres", id_, [])
    assert plan["lost"]["since"] < plan["finished"]

    refused = pod.run(tmp_path, SET_ID=id_, ACTION="restore")
    assert (refused.code, postgres.query(CONTENT)) == (REFUSED, changed)
    assert "choose-set: refused, and nothing was changed: the database has 668 rows" in refused.output
    busy = subprocess.Popen(
        [
            postgres.clients / "psql",
            "-h",
            "127.0.0.1",
            "-p",
            str(postgres.port),
            "-U",
            "langfuse",
            "-c",
            "SELECT pg_sleep(90)",
        ],
        env={"PGPASSWORD": secrets()["langfuse-postgres", "password"], "PGAPPNAME": "worker", "PATH": "/usr/bin:/bin"},
    )
    try:
        for _ in range(100):
            refused = pod.run(tmp_path, only="look", ACTION="restore", WAIT_SECONDS="0")
            if "worker" in (tmp_path / "work/connected").read_text():
                break
        refused = pod.run(tmp_path, only="choose", SET_ID=id_, **OVERWRITE)
        assert (refused.code, postgres.query(CONTENT)) == (REFUSED, changed)
        assert "the database is in use (langfuse at 127.0.0.1 worker): stop web and worker" in refused.output
    finally:
        postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker'")
        busy.wait()

    for _ in range(2):
        done = pod.run(tmp_path, SET_ID=id_, **OVERWRITE)
        assert done.code == 0, done.output
        assert postgres.query(CONTENT) == content
        assert 'restoring "public.projects"' in done.output
        assert json.loads(done.output.splitlines()[-1])["set"] == id_
        assert done.leaks(passwords()) == []
    assert postgres.query("INSERT INTO \"Account\" (role) VALUES ('OWNER') RETURNING id") == "501", "sequences too"
    # It has traces of projects that this database does not have any more.
    later = {"format": 1, "id": "c1", "base": None, "chain": ["c1"]}
    later |= dict.fromkeys(("started", "finished"), manifests(fresh, "sets/")[f"sets/{id_}"]["finished"])
    fresh.client().put_object(Bucket=BUCKET, Key="clickhouse/c1/.complete", Body=json.dumps(later).encode())
    backup = set_pod(postgres, fresh).run(tmp_path / "after")
    assert backup.code == 0, backup.output
    assert "without a backup of ClickHouse, because none was finished since the restore" in backup.output

    postgres.query((Path("components/backups/scripts") / "drop-everything.sql").read_text())
    done = pod.run(tmp_path, SET_ID=id_, ACTION="restore")
    assert (done.code, postgres.query(CONTENT)) == (0, content), "an empty database needs no OVERWRITE"


def test_postgres_is_restored_after_a_rotation_of_its_password(
    postgres: PostgresServer, fresh: Store, one_set: tuple[str, str], tmp_path: Path
) -> None:
    """The role of the set has no password, so that a restore brings no former one back."""
    id_, content = one_set
    pod, former = restore_pod(postgres, fresh), secrets()["langfuse-postgres", "password"]
    with_new = {**OVERWRITE, "PGPASSWORD": "another-than-in-the-set"}
    client: list[str | Path] = [
        postgres.clients / "psql",
        "--host=127.0.0.1",
        f"--port={postgres.port}",
        "--dbname=langfuse",
    ]
    postgres.query(f"ALTER ROLE langfuse PASSWORD '{with_new['PGPASSWORD']}'")
    try:
        refused = pod.run(tmp_path / "former", SET_ID=id_, WAIT_SECONDS="0", **OVERWRITE)
        done = pod.run(tmp_path / "new", SET_ID=id_, **with_new)
    finally:
        subprocess.run(
            [*client, "--username=langfuse", f"--command=ALTER ROLE langfuse PASSWORD '{former}'"],
            env={"PGPASSWORD": with_new["PGPASSWORD"], "PATH": "/usr/bin:/bin"},
            check=True,
        )
    assert refused.code != 0
    assert "password authentication failed" in refused.output
    assert done.code == 0, done.output
    assert postgres.query(CONTENT) == content
    assert done.leaks([*passwords(), with_new["PGPASSWORD"]]) == []


@pytest.mark.long
def test_postgres_is_as_before_after_a_restore_that_was_killed_or_found_a_fault(
    postgres: PostgresServer, fresh: Store, one_set: tuple[str, str], tmp_path: Path
) -> None:
    id_, content = one_set
    pod, changed, s3 = restore_pod(postgres, fresh), postgres.query(CONTENT), fresh.client()
    key = f"sets/{id_}/database.dump"
    dump = objects(fresh, key)[key]
    prepared = pod.run(tmp_path, until="choose", SET_ID=id_, **OVERWRITE)
    assert prepared.code == 0, prepared.output

    def restore(script: str = 'exec REAL "$@"') -> Run:
        clients = wrapped(postgres.clients, tmp_path, "pg_restore", script)
        faulty = replace(pod, clients={**pod.clients, "database": clients})
        done = faulty.run(tmp_path, only="restore", ACTION="restore")
        shutil.rmtree(clients)
        return done

    for half in (2_000, 300_000):
        killed = restore(f'REAL "$@" | head -c {half}; kill -9 0')
        assert (killed.code, postgres.query(CONTENT)) == (-9, changed)
    stopped = restore('REAL "$@" | head -c 300000; exit 1')
    assert (stopped.code, postgres.query(CONTENT)) == (1, changed)
    assert "the database is as before" in stopped.output
    fewer = restore("REAL \"$@\" | grep -v '^19999'")
    assert (fewer.code, postgres.query(CONTENT)) == (1, changed)
    assert "after the restore, table other.logs has 19999 rows, and in the set 20000" in fewer.output
    for damaged in (dump[:-1000] + bytes(1000), dump + b"x", dump[: len(dump) // 2]):
        s3.put_object(Bucket=BUCKET, Key=key, Body=damaged)
        done = restore()
        assert (done.code, postgres.query(CONTENT)) == (1, changed)
        assert "the database is as before" in done.output
    s3.put_object(Bucket=BUCKET, Key=key, Body=dump)
    committed = wrapped(postgres.clients, tmp_path, "psql", 'REAL "$@"; case "$*" in *--file=-*) kill -9 0 ;; esac')
    lost = replace(pod, clients={**pod.clients, "database": committed}).run(tmp_path, SET_ID=id_, **OVERWRITE)
    assert (lost.code, postgres.query(CONTENT)) == (-9, content), "the pod was lost after the commit"
    assert pod.run(tmp_path, SET_ID=id_, ACTION="restore").code == REFUSED, "as rows of anybody"
    again = pod.run(tmp_path, SET_ID=id_, **OVERWRITE)  # as in each Job of the command
    assert (again.code, postgres.query(CONTENT)) == (0, content), again.output


@pytest.mark.long
def test_a_set_that_does_not_fit_is_refused_in_one_line(
    postgres: PostgresServer, fresh: Store, one_set: tuple[str, str], tmp_path: Path
) -> None:
    id_, _ = one_set
    pod, s3 = restore_pod(postgres, fresh), fresh.client()
    marker, dump = f"sets/{id_}/.complete", f"sets/{id_}/database.dump"
    manifest = manifests(fresh, "sets/")[f"sets/{id_}"]

    def refusal(code: int = REFUSED, **replaced: str) -> str:
        done = pod.run(tmp_path, only="choose", **{"SET_ID": id_, **OVERWRITE, **replaced})
        assert done.code == code, done.output
        assert not (tmp_path / "work/set").exists(), "the next step has nothing to restore"
        (line,) = done.output.splitlines()
        assert done.leaks(passwords()) == []
        return line

    assert pod.run(tmp_path, until="look", ACTION="restore").code == 0
    for key, other in (("SALT", "x"), ("ENCRYPTION_KEY", "0" * 64)):
        assert pod.run(tmp_path, only="keys", **{key: other}).code == 0
        assert f"refused, and nothing was changed: the set was made with another {key}" in refusal()
    assert pod.run(tmp_path, only="keys").code == 0
    assert "set langfuse:version to" in refusal(LANGFUSE_VERSION="3.9.0")
    assert "the volume of Postgres has 0.1 GB, and the restore needs" in refusal(STORAGE_BYTES="100000000")
    assert "there is no set other" in refusal(SET_ID="other")
    assert "none of the 1 complete sets in the bucket can be restored" in refusal(SET_ID="")
    assert "ACTION is resotre, not plan or restore" in refusal(1, ACTION="resotre")
    assert "SignatureDoesNotMatch" in refusal(1, SECRET_ACCESS_KEY="wrong-wrong-wrong")  # noqa: S106  # of nobody
    older = {**manifest, "postgres": {**manifest["postgres"], "server": "14.9"}}
    s3.put_object(Bucket=BUCKET, Key=marker, Body=json.dumps(older).encode())
    assert "the dump is of Postgres 14.9" in refusal()
    s3.put_object(Bucket=BUCKET, Key=marker, Body=json.dumps({**manifest, "format": 2}).encode())
    assert "has format 2" in refusal()
    s3.put_object(Bucket=BUCKET, Key=marker, Body=json.dumps(manifest).encode())
    s3.put_object(Bucket=BUCKET, Key=dump, Body=b"less")
    assert "database.dump of the set has 4 bytes" in refusal()
    s3.delete_object(Bucket=BUCKET, Key=marker)
    assert f"set {id_} is not complete: it has no marker" in refusal()
    emptied(fresh, BUCKET, MEDIA)
    assert "none of the 0 complete sets" in refusal(SET_ID="")
    plan = plan_of(pod.run(tmp_path))
    assert (plan["set"], plan["refusals"]) == (None, ["none of the 0 complete sets in the bucket can be restored"])


# ClickHouse

TABLES = (
    "schema_migrations ON CLUSTER default (version Int64, dirty UInt8, sequence UInt64) ENGINE = ReplicatedMergeTree "
    "ORDER BY sequence",
    "traces ON CLUSTER default (id UInt64, name String, version UInt64) "
    "ENGINE = ReplicatedReplacingMergeTree(version) ORDER BY id",
    "events_full ON CLUSTER default (id UInt64, name String) ENGINE = ReplicatedMergeTree ORDER BY id",
    "events_core ON CLUSTER default (id UInt64, length UInt64) ENGINE = ReplicatedMergeTree ORDER BY id",
)
VIEWS = (
    "CREATE MATERIALIZED VIEW events_core_mv ON CLUSTER default TO events_core AS "
    "SELECT id, length(name) AS length FROM events_full",
    "CREATE VIEW analytics_traces ON CLUSTER default AS SELECT id FROM traces FINAL",
)
READ = ("schema_migrations", "traces FINAL", "events_full", "events_core", "analytics_traces")


def fill(server: ClickHouse, version: int) -> None:
    """Add rows, of which some replace others."""
    for table, values in (
        ("traces", f"number, 'first', {version}"),
        ("traces", f"number * 2, 'second', {version + 1}"),
        ("events_full", f"number, repeat('{version}', number % 7)"),
    ):
        server.query(f"INSERT INTO {table} SELECT {values} FROM numbers(20000)")  # noqa: S608  # our own


def content_of(server: ClickHouse) -> dict[str, str]:
    return {table: server.query(f"SELECT count(), sum(cityHash64(*)) FROM {table}") for table in READ}  # noqa: S608  # our own


@pytest.mark.long
def test_clickhouse_is_restored_from_a_chain_after_a_rotation_and_after_kills(
    postgres: PostgresServer, fresh: Store, tmp_path: Path
) -> None:
    emptied(fresh, BUCKET, MEDIA)
    variables = server_variables(fresh)
    clients = clickhouse_client(tmp_path / "client")
    with installation(tmp_path / "pods", replicas=2, keepers=1, variables=variables) as ((server, other), _):
        for table in TABLES:
            server.query(f"CREATE TABLE {table}")
        for view in VIEWS:
            server.query(view)
        server.query("INSERT INTO schema_migrations VALUES (46, 0, 1)")
        users = {use: f"password of {use}" for use in ("backup", "restore")}
        backup, restore = packed_pods(server, fresh, clients, users)
        for version in (10, 20):
            fill(server, version)
            done = backup.run(tmp_path / f"backup-{version}")
            assert done.code == 0, done.output
        content = content_of(server)
        assert set_pod(postgres, fresh).run(tmp_path / "set").code == 0
        ((folder, manifest),) = manifests(fresh, "sets/").items()
        assert len(manifest["clickhouse"]["chain"]) == 2
        assert manifest["clickhouse"]["rows"]["default.traces"] > 60_000, "with rows that a merge will remove"

        fill(server, 30)
        changed = content_of(server)
        plan = plan_of(restore.run(tmp_path / "plan"))
        assert plan["set"] == folder.removeprefix("sets/"), "the newest"
        assert plan["rows"]["default.schema_migrations"] == [1, 1]
        assert [reason.partition(" rows in ")[2] for reason in plan["refusals"]] == [
            "4 tables: OVERWRITE=true replaces them"
        ]
        assert plan["lost"]["newestRow"][:19] >= plan["lost"]["since"][:19]
        refused = restore.run(tmp_path / "refused", ACTION="restore")
        assert (refused.code, content_of(server)) == (REFUSED, changed)

        rotated = {name: f"another-{name.lower()}" for name in ("BACKUPS_SECRET_ACCESS_KEY", "RESTORE_PASSWORD")}
        key = rotated["BACKUPS_SECRET_ACCESS_KEY"]
        keys = dict.fromkeys(("BACKUPS_SECRET_ACCESS_KEY", "VERIFY_SECRET_ACCESS_KEY"), key)
        assert provision(fresh, folder_in(tmp_path, "rotation"), None, **keys).code == 0
        for replica in (server, other):
            replica.stop()
            replica.environment.update(rotated)
            replica.start()
        _, restore = packed_pods(server, fresh, clients, {**users, "restore": rotated["RESTORE_PASSWORD"]})
        with_key = {**OVERWRITE, "SECRET_ACCESS_KEY": key}
        for moment in (
            '"DROP "*',
            "*structure_only*",
            '"SYSTEM STOP MERGES"*',
            '"RESTORE DATABASE"*"_def = 1 FORMAT"*',
        ):
            killing = wrapped(
                clients,
                tmp_path,
                "clickhouse-client",
                f'for last; do :; done; case $last in {moment}) REAL "$@"; kill -9 0 ;; *) exec REAL "$@" ;; esac',
            )
            pod = replace(restore, clients={"database": killing})
            assert pod.run(tmp_path / "killed", **with_key).code == -9
            shutil.rmtree(killing)
        done = restore.run(tmp_path / "restored", **with_key)
        assert done.code == 0, done.output
        assert done.leaks([*passwords(), *rotated.values()]) == []
        assert json.loads(done.output.splitlines()[-1])["set"] == plan["set"]
        assert content_of(server) == content_of(other) == content
        fill(server, 40)
        for table in ("traces", "events_full", "events_core"):
            other.query(f"SYSTEM SYNC REPLICA {table}")
        assert content_of(server) == content_of(other), "rows are replicated, and views work"
        server.query("OPTIMIZE TABLE traces FINAL")
        assert server.query("SELECT count() = uniqExact(id) FROM traces") == "1", "merges run again"
    assert provision(fresh, folder_in(tmp_path, "back")).code == 0


@pytest.mark.long
def test_a_chain_that_is_not_whole_is_refused_and_a_copy_of_it_is_not(fresh: Store, tmp_path: Path) -> None:
    s3 = emptied(fresh, BUCKET, MEDIA).client()
    keys = {"encryptionKey": "k", "salt": "s"}
    for id_, base, chain in (("c1", None, ["c1"]), ("c2", "c1", ["c1", "c2"])):
        s3.put_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/data.bin", Body=b"content")
        etag = s3.head_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/data.bin")["ETag"]
        file = {"name": "data.bin", "bytes": 7, "etag": etag, "sha256": hashlib.sha256(b"content").hexdigest()}
        s3.put_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/files.jsonl", Body=json.dumps(file).encode())
        xml = b"<config><contents><file><name>data.bin</name><size>7000000000</size></file></contents></config>"
        s3.put_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/.backup", Body=xml)
        backup = {"format": 1, "id": id_, "base": base, "chain": chain, "finished": "2026-11-01T00:00:00Z"}
        s3.put_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/.complete", Body=json.dumps(backup).encode())
    pair = {"by": "job", "id": "c2", "chain": ["c1", "c2"], "version": "26.4.1", "rows": {"default.traces": 5}}
    found = {"format": 1, "id": "s1", "finished": "2026-11-01T02:00:00Z", "langfuse": "4.0.0", "keys": keys}
    s3.put_object(Bucket=BUCKET, Key="sets/s1/.complete", Body=json.dumps({**found, "clickhouse": pair}).encode())
    work = tmp_path / "work"
    work.mkdir()
    looked = {
        "server": "26.4.2.1",
        "rows": "",
        "connected": "",
        "disks": "host-0\t6000000000\t2000000000",
        "newest": "",
    }
    for name, text in {**looked, "keys.json": json.dumps(keys)}.items():
        (work / name).write_text(text)
    pod = Pod(cron_job="langfuse-restore-clickhouse", clients={}, variables={"STORE_URL": fresh.url})

    def chosen(set_id: str = "s1") -> Run:
        return pod.run(tmp_path, only="choose", SET_ID=set_id, **OVERWRITE)

    def refusal(**given: str) -> str:
        done = chosen(**given)
        assert done.code == REFUSED, done.output
        (line,) = done.output.splitlines()
        return line

    def replace_by(body: bytes) -> None:
        """An object of several parts has an ETag of another kind."""
        key = "clickhouse/c1/data.bin"
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=body)["ETag"]
        s3.complete_multipart_upload(
            Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]}
        )

    replace_by(b"content")
    done = chosen()
    assert done.code == 0, done.output
    assert (work / "expected").read_text() == "[('default.traces', 5)]"
    (work / "disks").write_text("host-0\t6000000000\t2000000000\nhost-1\t5000000000\t1900000000\n")
    assert "the volume of host-1 has room for 6.9 GB, and the set needs 7.0 GB" in refusal()
    (work / "disks").write_text("")
    replace_by(b"CONTENT")
    assert "clickhouse/c1 is damaged: data.bin was replaced" in refusal()
    s3.delete_object(Bucket=BUCKET, Key="clickhouse/c1/data.bin")
    assert "clickhouse/c1 is damaged: data.bin is missing" in refusal()
    s3.delete_object(Bucket=BUCKET, Key="clickhouse/c1/.complete")
    assert "its backup of ClickHouse is incomplete: clickhouse/c1 is missing" in refusal()
    assert "none of the 1 complete sets in the bucket can be restored" in refusal(set_id="")
