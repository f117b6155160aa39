"""The pods that make backup sets, with real stores: what has a marker is complete and can be restored."""

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.backups.pods import (
    BUCKET,
    MEDIA,
    Pod,
    clickhouse_on,
    clickhouse_pod,
    emptied,
    manifests,
    objects,
    set_pod,
    wrapped,
)
from tests.data.clickhouse.server import ClickHouseServer
from tests.data.containers import Run
from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import secrets
from tests.servers import free_port


def passwords() -> list[str]:
    return [value for (_, key), value in secrets().items() if key not in {"access-key-id", "username"}]


@pytest.fixture
def fresh_store(store: Store) -> Store:
    """The store with an empty backups bucket."""
    return emptied(store, BUCKET, MEDIA)


@pytest.fixture
def rows(postgres: PostgresServer) -> Iterator[str]:
    """Fill a table and return its content."""
    postgres.query('DROP TABLE IF EXISTS traces, "Account"')
    postgres.query("CREATE TABLE traces AS SELECT n, E'COPY a FROM stdin;\\n\\\\.\\n' || md5(n::text) AS name "
                   "FROM generate_series(1, 5000) AS n")  # fmt: skip
    postgres.query('CREATE TABLE "Account" (id text)')
    postgres.query(
        "CREATE TABLE IF NOT EXISTS _prisma_migrations (id text, finished_at timestamptz, migration_name text, "
        "logs text, rolled_back_at timestamptz);"
        "INSERT INTO _prisma_migrations VALUES ('1', now(), '2024_first', E'a\\nlog', NULL), "
        "('2', now(), '2025_second', NULL, NULL), ('3', NULL, '2026_third', NULL, NULL), "
        "('4', NULL, '2026_given_up', NULL, now())"
    )
    yield postgres.query("SELECT count(*), md5(string_agg(name, ',' ORDER BY n)) FROM traces")
    postgres.query('DROP TABLE IF EXISTS traces, "Account", _prisma_migrations')


def one_set(store: Store) -> tuple[str, dict[str, object]]:
    """The only set in the bucket: its folder and its manifest."""
    ((folder, manifest),) = manifests(store, "sets/").items()
    return folder, manifest


def test_a_set_states_what_it_contains_and_is_restored(
    postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        fresh_store.client().put_object(Bucket=MEDIA, Key=f"project/{name}.png", Body=b"picture")
    result = set_pod(postgres, fresh_store).run(tmp_path)
    assert result.code == 0, result.output

    folder, manifest = one_set(fresh_store)
    assert folder == f"sets/{manifest['id']}"
    stored = {key.removeprefix(f"{folder}/"): content for key, content in objects(fresh_store, folder).items()}
    assert stored.keys() == {"database.dump", "globals.sql", "media.jsonl.gz", ".complete"}
    listed = {one["name"]: (one["bytes"], one["sha256"]) for one in manifest["files"]}  # type: ignore[attr-defined]
    assert listed == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in stored.items()
        if name != ".complete"
    }
    server = postgres.query("SHOW server_version").split()[0]
    assert manifest["postgres"] == {
        "database": "langfuse",
        "server": server,
        "client": server,
        "bytes": pytest.approx(int(postgres.query("SELECT pg_database_size(current_database())")), rel=0.05),
        "schema": {"applied": 2, "last": "2025_second", "unfinished": ["2026_third"]},
        "rows": {"public.Account": 0, "public.traces": 5000, "public._prisma_migrations": 4},
    }
    assert (manifest["format"], manifest["instance"], manifest["clickhouse"]) == (1, "langfuse-dev", None)
    media = [json.loads(line) for line in gzip.decompress(stored["media.jsonl.gz"]).splitlines()]
    assert [(one["key"], one["bytes"]) for one in media] == [("project/a.png", 7), ("project/b.png", 7)]
    assert all(one["etag"] for one in media)
    assert b"CREATE ROLE langfuse" in stored["globals.sql"]
    assert b"PASSWORD" not in stored["globals.sql"]

    for name in ("pg_dump", "rclone rcat"):
        assert f"{name} " in result.command_lines
    assert result.leaks(passwords()) == []
    everything = b"".join(content for name, content in stored.items() if name != "database.dump")
    assert [value for value in passwords() if value.encode() in everything] == []

    (tmp_path / "restored.dump").write_bytes(stored["database.dump"])
    postgres.query("DROP TABLE traces")
    subprocess.run(
        [
            *(postgres.clients / "pg_restore", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "langfuse"),
            *("-d", "langfuse", "--jobs=2", "--table=traces", tmp_path / "restored.dump"),
        ],
        env={"PGPASSWORD": secrets()["langfuse-postgres", "password"], "PATH": os.environ["PATH"]},
        check=True,
    )
    assert postgres.query("SELECT count(*), md5(string_agg(name, ',' ORDER BY n)) FROM traces") == rows


def test_fingerprints_differ_for_other_keys_and_are_the_same_again(
    postgres: PostgresServer, store: Store, tmp_path: Path
) -> None:
    def fingerprints(**keys: str) -> dict[str, str]:
        done = set_pod(postgres, store).run(tmp_path, until="keys", **keys)
        assert done.code == 0, done.output
        found: dict[str, str] = json.loads((tmp_path / "work/keys.json").read_text())
        return found

    first = fingerprints()
    assert fingerprints() == first
    assert {len(value) for value in first.values()} == {16}
    other_salt = fingerprints(SALT="x")
    assert other_salt["encryptionKey"] == first["encryptionKey"]
    assert other_salt["salt"] != first["salt"]
    other_key = fingerprints(ENCRYPTION_KEY="0" * 64)
    assert other_key.keys() == first.keys()
    assert set(other_key.values()).isdisjoint(first.values()), "a guess of SALT needs ENCRYPTION_KEY"


@pytest.mark.long
def test_a_dump_of_many_parts_is_complete(
    postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    assert rows
    postgres.query("CREATE TABLE noise AS SELECT gen_random_bytes FROM (SELECT sha512(random()::text::bytea) AS "
                   "gen_random_bytes FROM generate_series(1, 300000)) AS made")  # fmt: skip
    try:
        result = set_pod(postgres, fresh_store).run(tmp_path, PART_SIZE="5Mi")
    finally:
        postgres.query("DROP TABLE noise")
    assert result.code == 0, result.output
    folder, _ = one_set(fresh_store)
    key = f"{folder}/database.dump"
    assert fresh_store.client().head_object(Bucket=BUCKET, Key=key, PartNumber=1)["PartsCount"] > 2


GUARD = 'case $1 in --version) exec REAL "$@" ;; esac; '
FAULTS = {
    "pg_dump fails half way": ("pg_dump", f'{GUARD}REAL "$@" | head -c 3000; exit 1', "incomplete: pg_dump failed"),
    "pg_dump is killed": ("pg_dump", f'{GUARD}REAL "$@" | head -c 3000; kill -9 $$', "incomplete: pg_dump failed"),
    "the end of the dump is missing": (
        "pg_dump",
        f'{GUARD}REAL "$@" | head -c -2000',
        "pg_restore can't read the dump to its end",
    ),
    "the roles can't be read": ("pg_dumpall", f"{GUARD}exit 1", ""),
    "the client is older than the server": ("pg_dump", "echo 'pg_dump (PostgreSQL) 14.3'", "pg_dump is 14.3"),
    "the upload is killed": (
        "rclone",
        "rcat) head -c 2000 > /dev/null; kill -9 $$",
        "cannot write langfuse-dev-backups/",
    ),
    "the upload fails": ("rclone", "rcat) echo no room >&2; exit 1", "no room"),
    "the store keeps less": ("rclone", 'rcat) head -c -100 | REAL "$@"', "differs from the dump"),
    "the store gives back less": ("rclone", 'cat) REAL "$@" | head -c -100', "differs from the dump"),
    "the store adds something": ("rclone", 'cat) REAL "$@" && echo more', "differs from the dump"),
    "the download fails": ("rclone", 'cat) REAL "$@"; exit 1', "cannot be read back: rclone failed"),
    "a small file can't be written": (
        "rclone",
        'rcat) for last; do :; done; case $last in *globals.sql) echo refused >&2; exit 1 ;; *) exec REAL "$@" ;; esac',
        "globals.sql: refused",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize(("name", "script", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_leaves_no_set(
    name: str, script: str, message: str, postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    assert rows
    pod = set_pod(postgres, fresh_store)
    key = "rclone" if name == "rclone" else "postgres"
    if name == "rclone":
        script = f'case $1 in {script} ;; *) exec REAL "$@" ;; esac'
    pod = replace(pod, clients={**pod.clients, key: wrapped(pod.clients[key], tmp_path, name, script)})
    for container in ("client", "begin"):
        assert pod.run(tmp_path, only=container).code == 0
    result = pod.run(tmp_path, only="write-dump")
    assert result.code != 0, "the steps after it do not run"
    assert message in result.output
    assert manifests(fresh_store, "") == {}
    left = {path.name for path in (tmp_path / "client").iterdir()}
    assert left <= {"rclone", "ca-bundle.pem"}, "the pod keeps no part of the dump"


def test_what_is_lost_after_the_dump_is_noticed(postgres: PostgresServer, fresh_store: Store, tmp_path: Path) -> None:
    pod = set_pod(postgres, fresh_store)
    assert pod.run(tmp_path, until="write-dump").code == 0
    (dump,) = (key for key in objects(fresh_store, "sets/") if key.endswith(".dump"))
    fresh_store.client().put_object(Bucket=BUCKET, Key=dump, Body=b"less")
    result = finish(pod, tmp_path)
    assert result.code == 1
    assert "database.dump has 4 bytes, not" in result.output
    assert manifests(fresh_store, "sets/") == {}


def finish(pod: Pod, folder: Path) -> Run:
    """Run the last container of a pod alone."""
    return pod.run(folder, only="finish")


def test_a_dump_that_is_too_small_is_an_error(postgres: PostgresServer, fresh_store: Store, tmp_path: Path) -> None:
    result = set_pod(postgres, fresh_store).run(tmp_path, MINIMUM_BYTES="100000000")
    assert result.code == 1
    assert "expected at least 100000000" in result.output
    assert manifests(fresh_store, "") == {}


def test_an_unreachable_store_is_a_clear_error(postgres: PostgresServer, store: Store, tmp_path: Path) -> None:
    gone = Store(url=f"http://127.0.0.1:{free_port()}", clients=store.clients)
    result = set_pod(postgres, gone).run(tmp_path)
    assert result.code == 1
    assert "begin-backup: ECONNREFUSED" in result.output
    assert result.leaks(passwords()) == []


def test_a_list_of_media_that_is_not_allowed_does_not_stop_the_set(
    postgres: PostgresServer, fresh_store: Store, tmp_path: Path
) -> None:
    """The key of an external store may be allowed only what Langfuse does, which never lists media."""
    pod = set_pod(postgres, fresh_store)
    assert pod.run(tmp_path, until="keys").code == 0
    refused = pod.run(tmp_path, only="media", BUCKET="langfuse-dev-events")
    assert refused.code == 0, refused.output
    assert "allow s3:ListBucket to the key of the media bucket" in refused.output
    for container in ("write-dump", "finish"):
        done = pod.run(tmp_path, only=container)
        assert done.code == 0, done.output
    _, manifest = one_set(fresh_store)
    assert "403" in manifest["media"]["error"]  # type: ignore[index]


CONTENT = "SELECT count(), sum(cityHash64(n, name)) FROM"


def back_up(server: ClickHouseServer, store: Store, folder: Path) -> Run:
    done = clickhouse_pod(server, store).run(folder)
    assert done.code == 0, done.output
    assert done.leaks(passwords()) == []
    return done


@pytest.fixture
def clickhouse(fresh_store: Store, tmp_path: Path) -> ClickHouseServer:
    (tmp_path / "server").mkdir()
    return clickhouse_on(fresh_store, tmp_path / "server")


@pytest.mark.long
def test_an_incremental_backup_is_restored_with_its_chain_and_belongs_to_the_next_set(
    clickhouse: ClickHouseServer, postgres: PostgresServer, fresh_store: Store, tmp_path: Path
) -> None:
    clickhouse.query("CREATE TABLE default.schema_migrations (version Int64, dirty UInt8, sequence UInt64) "
                     "ENGINE = MergeTree ORDER BY sequence")  # fmt: skip
    clickhouse.query("INSERT INTO default.schema_migrations VALUES (45, 1, 1), (46, 0, 2)")
    full = back_up(clickhouse, fresh_store, tmp_path / "full")
    assert "a full backup: there is no backup yet" in full.output
    clickhouse.query("INSERT INTO default.traces SELECT number, 'new' FROM numbers(500)")
    before = clickhouse.query(f"{CONTENT} default.traces")
    back_up(clickhouse, fresh_store, tmp_path / "increment")

    first, second = sorted(manifests(fresh_store, "clickhouse/").values(), key=lambda one: len(one["chain"]))
    assert (first["base"], second["base"]) == (None, first["id"])
    assert second["chain"] == [first["id"], second["id"]]
    assert second["rows"] == {"default.traces": 10_500, "default.schema_migrations": 2}
    assert second["schema"] == {"version": 46, "dirty": False}
    assert second["bytes"] < first["bytes"] / 2
    folder = f"clickhouse/{second['id']}"
    stored = objects(fresh_store, folder)
    lines = stored[f"{folder}/files.jsonl"]
    assert hashlib.sha256(lines).hexdigest() == second["filesSha256"]
    listed = {one["name"]: one["sha256"] for one in map(json.loads, lines.splitlines())}
    own = {"files.jsonl", ".complete"}
    names = {key.removeprefix(f"{folder}/"): content for key, content in stored.items()}
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in names.items() if name not in own}
    assert clickhouse.restore(folder, f"{CONTENT} drill.traces") == before

    done = set_pod(postgres, fresh_store).run(tmp_path / "set")
    assert done.code == 0, done.output
    _, manifest = one_set(fresh_store)
    facts = ("id", "chain", "rows", "schema", "version")
    assert {name: manifest["clickhouse"][name] for name in facts} == {name: second[name] for name in facts}  # type: ignore[index]


def test_a_damaged_base_is_not_built_upon(clickhouse: ClickHouseServer, fresh_store: Store, tmp_path: Path) -> None:
    """The server itself would acknowledge an increment on it (ClickHouse issue 112395)."""
    pod = clickhouse_pod(clickhouse, fresh_store)
    back_up(clickhouse, fresh_store, tmp_path)
    ((folder, _),) = manifests(fresh_store, "clickhouse/").items()
    s3, content = fresh_store.client(), objects(fresh_store, folder)
    (data,) = (key for key in content if key.endswith("/data.bin"))
    faults: dict[str, Callable[[], object]] = {
        "data.bin was replaced": lambda: s3.put_object(Bucket=BUCKET, Key=data, Body=bytes(len(content[data]))),
        "data.bin has 5 bytes": lambda: s3.put_object(Bucket=BUCKET, Key=data, Body=b"short"),
        "data.bin is missing": lambda: s3.delete_object(Bucket=BUCKET, Key=data),
        "files.jsonl is missing": lambda: s3.delete_object(Bucket=BUCKET, Key=f"{folder}/files.jsonl"),
    }
    for message, damage in faults.items():
        damage()
        begun = pod.run(tmp_path, until="begin")
        assert begun.code == 0
        assert "a full backup: the backup" in begun.output
        assert message in begun.output
        assert (tmp_path / "work/base").read_text() == ""


def test_a_part_that_is_lost_before_the_end_leaves_no_marker(
    clickhouse: ClickHouseServer, fresh_store: Store, tmp_path: Path
) -> None:
    pod = clickhouse_pod(clickhouse, fresh_store)
    assert pod.run(tmp_path, until="write-backup").code == 0
    (data,) = (key for key in objects(fresh_store, "clickhouse/") if key.endswith("/data.bin"))
    fresh_store.client().delete_object(Bucket=BUCKET, Key=data)
    result = pod.run(tmp_path, only="finish")
    assert result.code == 1
    assert "data.bin is missing, which the server lists" in result.output
    assert manifests(fresh_store, "clickhouse/") == {}


@pytest.mark.long
def test_a_backup_that_cannot_be_written_leaves_no_marker(fresh_store: Store, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    server = clickhouse_on(replace(fresh_store, url=f"http://127.0.0.1:{free_port()}"), tmp_path / "server")
    result = clickhouse_pod(server, fresh_store).run(tmp_path)
    assert result.code == 1
    assert "backup-clickhouse: the server could not write clickhouse/" in result.output
    assert "Connection refused" in result.output
    assert manifests(fresh_store, "clickhouse/") == {}
