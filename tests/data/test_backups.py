"""The shipped backup scripts against real stores: what counts as a backup can be restored."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.clickhouse_server import ClickHouseServer, prepared
from tests.data.jobs import Run, client, run
from tests.data.postgres_server import PostgresServer
from tests.data.provisioning import Store
from tests.data.rendered import container, environment, secrets
from tests.data.servers import free_port

BUCKET = "langfuse-dev-backups"
PASSWORDS = [value for (_, key), value in secrets().items() if key not in {"access-key-id", "username"}]


def objects(store: Store, prefix: str) -> dict[str, bytes]:
    """Everything under a prefix of the backups bucket."""
    s3 = store.client()
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in found}


def markers(store: Store, prefix: str) -> list[str]:
    """The backups under a prefix that count."""
    return [key for key in objects(store, prefix) if key.endswith("/.complete")]


@pytest.fixture
def fresh_store(store: Store) -> Store:
    """The store with an empty backups bucket."""
    s3 = store.client()
    for key in objects(store, ""):
        s3.delete_object(Bucket=BUCKET, Key=key)
    return store


def dump(postgres: PostgresServer, folder: Path, **replaced: str) -> Run:
    """Run the first container of the Postgres backup."""
    job = container("CronJob", "langfuse-backup-postgres", "dump")
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "WAIT_SECONDS": "10"}
    return run(job, environment(job, **{**address, "BACKUP_DIR": str(folder), **replaced}), postgres.clients)


def upload(store: Store, folder: Path, client_folder: Path) -> Run:
    """Run the second container of the Postgres backup."""
    job = container("CronJob", "langfuse-backup-postgres", "upload")
    variables = environment(job, STORE_URL=store.url, BACKUP_DIR=str(folder), MC_CONFIG_DIR=str(client_folder))
    return run(job, variables, store.clients)


@pytest.fixture
def rows(postgres: PostgresServer) -> str:
    """Fill a table; give back what it holds."""
    postgres.query("DROP TABLE IF EXISTS traces")
    postgres.query("CREATE TABLE traces AS SELECT n, md5(n::text) AS name FROM generate_series(1, 5000) AS n")
    return postgres.query("SELECT count(*), md5(string_agg(name, ',' ORDER BY n)) FROM traces")


def test_postgres_comes_back_from_its_backup(
    postgres: PostgresServer, fresh_store: Store, rows: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    assert (dumped := dump(postgres, folder)).code == 0, dumped.output
    assert (uploaded := upload(fresh_store, folder, tmp_path)).code == 0, uploaded.output

    stored = objects(fresh_store, "postgres/")
    (marker,) = markers(fresh_store, "postgres/")
    prefix = marker.removesuffix(".complete")
    files = {"database.dump", "globals.sql", "manifest.json", "SHA256SUMS", ".complete"}
    assert stored.keys() == {f"{prefix}{name}" for name in files}
    manifest = json.loads(stored[marker])
    assert (manifest["store"], manifest["database"]) == ("postgres", "langfuse")
    assert manifest["bytes"] == len(stored[f"{prefix}database.dump"])
    assert prefix == f"postgres/{manifest['name']}/"
    assert b"CREATE ROLE langfuse" in stored[f"{prefix}globals.sql"]
    assert b"PASSWORD" not in stored[f"{prefix}globals.sql"]

    (tmp_path / "restored.dump").write_bytes(stored[f"{prefix}database.dump"])
    postgres.query("DROP TABLE traces")
    subprocess.run(
        [
            *(postgres.clients / "pg_restore", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "langfuse"),
            *("-d", "langfuse", "--table=traces", tmp_path / "restored.dump"),
        ],
        env={"PGPASSWORD": secrets()["langfuse-postgres", "password"], "PATH": os.environ["PATH"]},
        check=True,
    )
    assert postgres.query("SELECT count(*), md5(string_agg(name, ',' ORDER BY n)) FROM traces") == rows


def test_a_truncated_dump_is_found_out(postgres: PostgresServer, rows: str, tmp_path: Path) -> None:
    assert rows
    folder = tmp_path / "backup"
    folder.mkdir()
    clients = tmp_path / "clients"
    for name in ("psql", "pg_dumpall", "pg_restore"):
        client(clients, name, postgres.clients / name)
    cut = tmp_path / "pg_dump"
    cut.write_text(
        f'#!/bin/sh\n"{postgres.clients}/pg_dump" "$@" || exit 1\ntruncate -s -2000 "{folder}/database.dump"\n'
    )
    cut.chmod(0o755)
    client(clients, "pg_dump", cut)
    result = dump(replace(postgres, clients=clients), folder)
    assert result.code == 1
    assert "the dump cannot be read to its end" in result.output
    assert not (folder / "SHA256SUMS").exists()


def test_a_dump_that_is_too_small_is_found_out(postgres: PostgresServer, tmp_path: Path) -> None:
    result = dump(postgres, tmp_path, MINIMUM_BYTES="100000000")
    assert result.code == 1
    assert "at least 100000000 were expected" in result.output


def test_files_that_changed_since_the_dump_are_not_uploaded(
    postgres: PostgresServer, fresh_store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    assert dump(postgres, folder).code == 0
    with (folder / "database.dump").open("ab") as file:
        file.write(b"more")
    result = upload(fresh_store, folder, tmp_path)
    assert result.code == 1
    assert "differ from those that were dumped" in result.output
    assert objects(fresh_store, "postgres/") == {}


def test_an_unreachable_store_is_a_clear_error(postgres: PostgresServer, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    assert dump(postgres, folder).code == 0
    gone = Store(url=f"http://127.0.0.1:{free_port()}", clients=store.clients)
    result = upload(gone, folder, tmp_path)
    assert result.code == 1
    assert "upload-backup: cannot write" in result.output
    assert "connection refused" in result.output


def test_a_postgres_backup_shows_no_password(postgres: PostgresServer, fresh_store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    for result in (dump(postgres, folder), upload(fresh_store, folder, tmp_path)):
        assert result.code == 0
        assert result.command_lines
        assert result.leaks(PASSWORDS) == []


def clickhouse_on(store: Store, folder: Path) -> ClickHouseServer:
    """A server whose backups go to a store, with some rows."""
    server = prepared(folder, BACKUPS_URL=f"{store.url}/{BUCKET}/")
    server.query("CREATE TABLE default.traces (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    server.query("INSERT INTO default.traces SELECT number, toString(cityHash64(number)) FROM numbers(10000)")
    return server


def back_up(server: ClickHouseServer) -> Run:
    """Run the ClickHouse backup."""
    job = container("CronJob", "langfuse-backup-clickhouse", "backup")
    variables = environment(job, CLICKHOUSE_HOST="127.0.0.1", WAIT_SECONDS="0")
    return run(job, variables | server.variables, server.clients)


def test_clickhouse_comes_back_from_its_backup(fresh_store: Store, tmp_path: Path) -> None:
    server = clickhouse_on(fresh_store, tmp_path)
    content = "SELECT count(), sum(cityHash64(n, name)) FROM"
    before = server.query(f"{content} default.traces")
    result = back_up(server)
    assert result.code == 0, result.output
    assert result.leaks(PASSWORDS) == []

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
