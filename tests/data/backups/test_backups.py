"""The backup scripts with real stores: every complete backup can be restored."""

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.clickhouse.server import ClickHouseServer, prepared
from tests.data.containers import COMMAND_LINES, Run, install_client, run
from tests.data.object_store.minio import Store
from tests.data.postgres.server import CLIENTS, PostgresServer
from tests.data.rendered import container, environment, secrets
from tests.servers import free_port

BUCKET = "langfuse-dev-backups"


def passwords() -> list[str]:
    return [value for (_, key), value in secrets().items() if key not in {"access-key-id", "username"}]


def objects(store: Store, prefix: str) -> dict[str, bytes]:
    """The objects under a prefix of the backups bucket."""
    s3 = store.client()
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in found}


def markers(store: Store, prefix: str) -> list[str]:
    """The markers of complete backups under a prefix."""
    return [key for key in objects(store, prefix) if key.endswith("/.complete")]


@pytest.fixture
def fresh_store(store: Store) -> Store:
    """The store with an empty backups bucket."""
    s3 = store.client()
    for key in objects(store, ""):
        s3.delete_object(Bucket=BUCKET, Key=key)
    return store


def back_up_postgres(postgres: PostgresServer, store: Store, folder: Path, **replaced: str) -> Run:
    """Run the containers of the Postgres backup: one copies the client, the other writes the dump."""
    shared = folder / "client"
    shared.mkdir(exist_ok=True)
    job = container("CronJob", "langfuse-backup-postgres", "client")
    copied = run(job, environment(job, CLIENT_DIR=str(shared)), store.clients)
    assert copied.code == 0, copied.output
    job = container("CronJob", "langfuse-backup-postgres", "backup")
    variables = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "WAIT_SECONDS": "10",
        "STORE_URL": store.url,
        "CLIENT_DIR": str(shared),
        "MC_CONFIG_DIR": str(folder / "config"),
        **replaced,
    }
    result = run(job, environment(job, **variables), postgres.clients)
    left = {path.name for path in shared.iterdir()}
    assert left <= {"mc", "ca-bundle.pem"}, "the pod keeps no part of the dump"
    noted = (store.clients / COMMAND_LINES).read_text()  # the copy of the client is the same wrapper
    return replace(result, command_lines=result.command_lines + noted)


def wrapped(postgres: PostgresServer, folder: Path, name: str, script: str) -> PostgresServer:
    """The server with one client replaced by a script, in which `REAL` is the real client."""
    clients = folder / "clients"
    for other in CLIENTS:
        install_client(clients, other, postgres.clients / other)
    replacement = folder / name
    replacement.write_text(f"#!/bin/sh\n{script.replace('REAL', str(postgres.clients / name))}\n")
    replacement.chmod(0o755)
    install_client(clients, name, replacement)
    return replace(postgres, clients=clients)


def wrapped_client(store: Store, folder: Path, script: str) -> Store:
    """The store with its client replaced by a script, in which `REAL` is the real client."""
    replacement = folder / "mc-replacement"
    replacement.write_text(f"#!/bin/sh\n{script.replace('REAL', str(store.clients / 'mc'))}\n")
    replacement.chmod(0o755)
    install_client(folder / "store-clients", "mc", replacement)
    (folder / "store-clients" / COMMAND_LINES).touch()
    return replace(store, clients=folder / "store-clients")


@pytest.fixture
def rows(postgres: PostgresServer) -> str:
    """Fill a table and return its content."""
    postgres.query("DROP TABLE IF EXISTS traces")
    postgres.query("CREATE TABLE traces AS SELECT n, md5(n::text) AS name FROM generate_series(1, 5000) AS n")
    return postgres.query("SELECT count(*), md5(string_agg(name, ',' ORDER BY n)) FROM traces")


def test_postgres_is_restored_from_its_backup(
    postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    result = back_up_postgres(postgres, fresh_store, tmp_path)
    assert result.code == 0, result.output

    stored = objects(fresh_store, "postgres/")
    (marker,) = markers(fresh_store, "postgres/")
    prefix = marker.removesuffix(".complete")
    files = {"database.dump", "globals.sql", "manifest.json", "SHA256SUMS", ".complete"}
    assert stored.keys() == {f"{prefix}{name}" for name in files}
    manifest = json.loads(stored[marker])
    assert (manifest["store"], manifest["database"]) == ("postgres", "langfuse")
    assert manifest["server"] == postgres.query("SHOW server_version").split()[0]
    assert manifest["bytes"] == len(stored[f"{prefix}database.dump"])
    assert prefix == f"postgres/{manifest['name']}/"
    lines = [line.split("  ") for line in stored[f"{prefix}SHA256SUMS"].decode().splitlines()]
    sums = {name: checksum for checksum, name in lines}
    assert sums.keys() == {"database.dump", "globals.sql", "manifest.json"}
    for name, checksum in sums.items():
        assert hashlib.sha256(stored[f"{prefix}{name}"]).hexdigest() == checksum
    assert manifest["sha256"] == sums["database.dump"]
    assert b"CREATE ROLE langfuse" in stored[f"{prefix}globals.sql"]
    assert b"PASSWORD" not in stored[f"{prefix}globals.sql"]

    (tmp_path / "restored.dump").write_bytes(stored[f"{prefix}database.dump"])
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


def test_a_dump_of_many_parts_is_complete(
    postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    assert rows
    postgres.query("CREATE TABLE noise AS SELECT gen_random_bytes FROM (SELECT sha512(random()::text::bytea) AS "
                   "gen_random_bytes FROM generate_series(1, 300000)) AS made")  # fmt: skip
    try:
        result = back_up_postgres(postgres, fresh_store, tmp_path, PART_SIZE="5MiB")
    finally:
        postgres.query("DROP TABLE noise")
    assert result.code == 0, result.output
    (marker,) = markers(fresh_store, "postgres/")
    key = marker.replace(".complete", "database.dump")
    assert fresh_store.client().head_object(Bucket=BUCKET, Key=key, PartNumber=1)["PartsCount"] > 2


CUT_SHORT = {
    "pg_dump fails half way": ("pg_dump", 'REAL "$@" | head -c 3000; exit 1', "the dump is incomplete: pg_dump failed"),
    "pg_dump is killed": ("pg_dump", 'REAL "$@" | head -c 3000; kill -9 $$', "the dump is incomplete: pg_dump failed"),
    "the end of the dump is missing": (
        "pg_dump",
        'REAL "$@" | head -c -2000',
        "pg_restore can't read the dump to its end",
    ),
    "the roles can't be read": ("pg_dumpall", "exit 1", ""),
}


@pytest.mark.parametrize(("name", "script", "message"), CUT_SHORT.values(), ids=CUT_SHORT.keys())
def test_a_truncated_dump_is_not_a_backup(
    name: str, script: str, message: str, postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    assert rows
    guard = 'case $1 in --version) exec REAL "$@" ;; esac; '
    result = back_up_postgres(wrapped(postgres, tmp_path, name, guard + script), fresh_store, tmp_path)
    assert result.code != 0
    assert message in result.output
    assert markers(fresh_store, "") == []


LOST_ON_THE_WAY = {
    "the upload is killed": ("pipe) head -c 2000 > /dev/null; kill -9 $$", "cannot write langfuse-dev-backups/"),
    "the upload fails": ("pipe) echo no room >&2; exit 1", "no room"),
    "the store keeps less": ('pipe) head -c -100 | REAL "$@"', "pg_restore can't read the dump to its end"),
    "the store gives back less": ('cat) REAL "$@" | head -c -100', "pg_restore can't read the dump to its end"),
    "the store adds something": ('cat) REAL "$@" && echo more', "differs from the dump"),
    "the download fails": ('cat) REAL "$@"; exit 1', "cannot be read back: mc failed"),
    "a small file can't be written": ("cp) echo refused; exit 1", "globals.sql: refused"),
}


@pytest.mark.parametrize(("script", "message"), LOST_ON_THE_WAY.values(), ids=LOST_ON_THE_WAY.keys())
def test_an_incomplete_upload_is_not_a_backup(
    script: str, message: str, postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    assert rows
    client = wrapped_client(fresh_store, tmp_path, f'case $1 in {script} ;; *) exec REAL "$@" ;; esac')
    result = back_up_postgres(postgres, client, tmp_path)
    assert result.code != 0
    assert message in result.output
    assert markers(fresh_store, "") == []


def test_a_dump_that_is_too_small_is_an_error(postgres: PostgresServer, fresh_store: Store, tmp_path: Path) -> None:
    result = back_up_postgres(postgres, fresh_store, tmp_path, MINIMUM_BYTES="100000000")
    assert result.code == 1
    assert "expected at least 100000000" in result.output
    assert markers(fresh_store, "") == []


def test_a_newer_server_than_the_client_is_one_clear_error(
    postgres: PostgresServer, fresh_store: Store, tmp_path: Path
) -> None:
    old = wrapped(postgres, tmp_path, "pg_dump", "echo 'pg_dump (PostgreSQL) 14.3 (Debian 14.3-1)'")
    result = back_up_postgres(old, fresh_store, tmp_path)
    assert result.code == 1
    assert "pg_dump is 14.3" in result.output
    assert "set langfuse:postgres.version to the server's release" in result.output
    assert objects(fresh_store, "") == {}


def test_an_unreachable_store_is_a_clear_error(postgres: PostgresServer, store: Store, tmp_path: Path) -> None:
    gone = Store(url=f"http://127.0.0.1:{free_port()}", clients=store.clients)
    result = back_up_postgres(postgres, gone, tmp_path)
    assert result.code == 1
    assert "backup-postgres: cannot write" in result.output
    assert "connection refused" in result.output


def test_a_postgres_backup_does_not_show_the_password(
    postgres: PostgresServer, fresh_store: Store, tmp_path: Path
) -> None:
    result = back_up_postgres(postgres, fresh_store, tmp_path)
    assert result.code == 0
    assert "pg_dump " in result.command_lines
    assert "mc pipe " in result.command_lines
    assert result.leaks(passwords()) == []


def clickhouse_on(store: Store, folder: Path) -> ClickHouseServer:
    """A server with some rows whose backups are written to a store."""
    server = prepared(folder, BACKUPS_URL=f"{store.url}/{BUCKET}/")
    server.query("CREATE TABLE default.traces (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    server.query("INSERT INTO default.traces SELECT number, toString(cityHash64(number)) FROM numbers(10000)")
    return server


def back_up(server: ClickHouseServer) -> Run:
    """Run the ClickHouse backup."""
    job = container("CronJob", "langfuse-backup-clickhouse", "backup")
    variables = environment(job, CLICKHOUSE_HOST="127.0.0.1", WAIT_SECONDS="0")
    return run(job, variables | server.variables, server.clients)


def test_clickhouse_is_restored_from_its_backup(fresh_store: Store, tmp_path: Path) -> None:
    server = clickhouse_on(fresh_store, tmp_path)
    content = "SELECT count(), sum(cityHash64(n, name)) FROM"
    before = server.query(f"{content} default.traces")
    result = back_up(server)
    assert result.code == 0, result.output
    assert result.leaks(passwords()) == []

    (marker,) = markers(fresh_store, "clickhouse/")
    manifest = json.loads(objects(fresh_store, marker)[marker])
    prefix = marker.removesuffix("/.complete")
    assert prefix == f"clickhouse/{manifest['name']}"
    assert (manifest["store"], manifest["database"]) == ("clickhouse", "default")
    assert not [key for key in objects(fresh_store, prefix) if key.endswith(".lock")]

    restored = server.restore(prefix, f"{content} drill.traces")
    assert restored == before


def test_a_backup_that_cannot_be_written_leaves_no_marker(fresh_store: Store, tmp_path: Path) -> None:
    server = clickhouse_on(replace(fresh_store, url=f"http://127.0.0.1:{free_port()}"), tmp_path)
    result = back_up(server)
    assert result.code == 1
    assert "backup-clickhouse: the server could not write clickhouse/" in result.output
    assert "Connection refused" in result.output
    assert markers(fresh_store, "clickhouse/") == []
