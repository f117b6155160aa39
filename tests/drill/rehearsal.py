"""Loses everything and restores it: the scripts of the Jobs on real stores, measured beside the plain tools."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from components.kubernetes.jobs import FAULT_EXIT
from sandbox.images.clickhouse import PROGRAMS
from tests.data.backups import off_site
from tests.data.backups.pods import BUCKET, MEDIA, Pod, manifests, restore_pod, set_pod
from tests.data.clickhouse.packed import Pod as ClickHouse
from tests.data.clickhouse.packed import installation
from tests.data.containers import Run, install_client
from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.data.postgres.server import PostgresServer, started
from tests.data.rendered import secrets
from tests.drill import data

INCREMENTS: Final = 3
POSTGRES_SHARE: Final = 50
"""How many times fewer rows a large table of Postgres gets than ClickHouse in total."""
OBJECT_BYTES: Final = 4096
MEBIBYTE: Final = 1024**2

Contents = Mapping[str, str]
"""For each table, the number of its rows and a hash of all of them."""


class RehearsalError(Exception):
    """Something was not restored as it was, or a script failed."""


@dataclass(frozen=True)
class Measurement:
    """One line of the report."""

    what: str
    seconds: float
    bytes: int = 0

    def __str__(self) -> str:
        rate = f"{self.bytes / MEBIBYTE / self.seconds:8.1f} MiB/s" if self.bytes else ""
        return f"{self.what:58} {self.seconds:8.1f} s {rate}"


@dataclass
class Rehearsal:
    """The stores, and what was measured on them."""

    folder: Path
    postgres: PostgresServer
    clickhouse: ClickHouse
    store: Store
    other: Store
    """The off-site store."""
    say: Callable[[str], None]
    measured: list[Measurement] = field(default_factory=list)

    def pod(self, cron_job: str, **variables: str) -> Pod:
        """A pod that connects to ClickHouse, or to the object store alone."""
        clients = self.folder / "clients"
        found = {"STORE_URL": self.store.url, "CLICKHOUSE_HOST": self.clickhouse.host, "WAIT_SECONDS": "30"}
        return Pod(
            cron_job=cron_job, clients={"clickhouse": clients, "database": clients}, variables={**found, **variables}
        )

    def run(self, pod: Pod, **replaced: str) -> Run:
        """Run a pod to its end.

        Raises:
            RehearsalError: It failed.
        """
        return self.require(pod.run(self.folder / f"pod-{time.monotonic_ns()}", **replaced))

    def require(self, done: Run) -> Run:
        """Fail unless a script succeeded.

        Raises:
            RehearsalError: It failed.
        """
        if done.code:
            raise RehearsalError(f"a script failed: {done.output}")
        return done

    def media(self) -> Contents:
        """The SHA-256 of each object in the bucket of media."""
        s3 = self.store.client()

        def read(key: str) -> tuple[str, str]:
            return key, hashlib.sha256(s3.get_object(Bucket=MEDIA, Key=key)["Body"].read()).hexdigest()

        with ThreadPoolExecutor(8) as pool:
            return dict(pool.map(read, _keys(self.store, MEDIA)))

    @contextlib.contextmanager
    def measure(self, what: str, size: Callable[[], int] = int) -> Iterator[None]:
        """Measure what is done, and how many bytes it was for."""
        begun = time.monotonic()
        yield
        self.measured.append(Measurement(what, time.monotonic() - begun, size()))
        self.say(str(self.measured[-1]))

    def back_up_clickhouse(self, what: str) -> None:
        """Make a backup of ClickHouse as the CronJob does."""
        pod = self.pod("langfuse-backup-clickhouse", CLICKHOUSE_PASSWORD="password of backup")  # noqa: S106
        with self.measure(f"langfuse-backup-clickhouse, {what}", self.newest_backup_bytes):
            self.run(pod)

    def newest_backup_bytes(self) -> int:
        """The size of the newest backup of ClickHouse, without its base."""
        found = manifests(self.store, "clickhouse/")
        return int(max(found.values(), key=lambda one: str(one["finished"]))["bytes"])

    def dump_bytes(self) -> int:
        """The size of the dump in the only set."""
        ((_, manifest),) = manifests(self.store, "sets/").items()
        return int(next(file["bytes"] for file in manifest["files"] if file["name"] == "database.dump"))

    def contents(self) -> Contents:
        """The rows of all tables of both databases."""
        # A merge removes replaced rows at any time, so they don't count.
        tables = [*(f"{one} FINAL" for one in (*data.FILLED, "events_core")), "schema_migrations"]
        clickhouse = {
            f"clickhouse {one}": self.clickhouse.query(f"SELECT count(), sum(cityHash64(*)) FROM {one}")
            for one in tables
        }
        statements = [
            f"SELECT '{one}', count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM \"{one}\" AS t;"
            for one in data.POSTGRES
        ]
        lines = self.postgres.query("\n".join(statements)).splitlines()
        return {**clickhouse, **{f"postgres {name}": rest for name, _, rest in (line.partition("|") for line in lines)}}


@contextlib.contextmanager
def stores(folder: Path, say: Callable[[str], None]) -> Iterator[Rehearsal]:
    """Start Postgres, MinIO and ClickHouse with one Keeper."""
    (folder / "minio").mkdir()
    (folder / "other").mkdir()
    (folder / "postgres").mkdir()
    (folder / "provisioning").mkdir()
    script = folder / "clickhouse-client"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAMS / "client.py"} "$@"\n')
    script.chmod(0o755)
    install_client(folder / "clients", "clickhouse-client", script)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(serving(folder / "minio", server_variables(folder / "minio")))
        if (done := provision(store, folder / "provisioning")).code:
            raise RehearsalError(f"the buckets could not be made: {done.output}")
        other = stack.enter_context(serving(folder / "other", server_variables(folder / "other")))
        if (done := provision(other, folder / "provisioning")).code:
            raise RehearsalError(f"the buckets of the off-site store could not be made: {done.output}")
        postgres = stack.enter_context(started(folder / "postgres"))
        keys = {key: secrets()["langfuse-object-store-backups", key] for key in ("access-key-id", "secret-access-key")}
        variables = {
            "BACKUPS_URL": f"{store.url}/{BUCKET}/",
            "BACKUPS_ACCESS_KEY_ID": keys["access-key-id"],
            "BACKUPS_SECRET_ACCESS_KEY": keys["secret-access-key"],
        }
        servers, _ = stack.enter_context(
            installation(folder / "clickhouse", replicas=1, keepers=1, variables=variables)
        )
        yield Rehearsal(folder, postgres, servers[0], store, other, say)


def load(rehearsal: Rehearsal, rows: int, objects: int) -> None:
    """Create all tables, and fill them and the bucket of media."""
    for statement in data.clickhouse_tables():
        rehearsal.clickhouse.query(statement)
    for statement in data.clickhouse_rows(rows, seed=0):
        rehearsal.clickhouse.query(statement)
    statements = [
        *data.postgres_tables(),
        data.postgres_migrations(),
        *data.postgres_rows(max(100, rows // POSTGRES_SHARE), first=1),
    ]
    rehearsal.postgres.query(";\n".join(statements))
    client = rehearsal.store.client("media")

    def put(number: int) -> None:
        content = hashlib.sha256(str(number).encode()).digest() * (OBJECT_BYTES // 32)
        client.put_object(Bucket=MEDIA, Key=f"project-{number % 20}/{number}", Body=content)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(objects)))


def rehearse(
    rehearsal: Rehearsal, rows: int, objects: int, *, increments: int = INCREMENTS, compared: bool = True
) -> None:
    """Back up, lose and restore everything, and measure it.

    Args:
        rehearsal: The stores.
        rows: Rows of ClickHouse in total.
        objects: Media.
        increments: Backups of ClickHouse after the full one.
        compared: Whether to measure what the tools do by themselves as well.

    Raises:
        RehearsalError: A table is not as it was.
    """
    first = rows // 2
    load(rehearsal, first, objects)
    rehearsal.say(f"loaded {first} rows of ClickHouse, {len(data.POSTGRES)} tables of Postgres and {objects} media")
    rehearsal.back_up_clickhouse("full")
    for number in range(1, increments + 1):
        for statement in data.clickhouse_rows((rows - first) // increments, seed=number):
            rehearsal.clickhouse.query(statement)
        rehearsal.postgres.query(
            ";\n".join(data.postgres_rows(max(100, first // POSTGRES_SHARE), first=number * 1_000_000))
        )
        rehearsal.back_up_clickhouse(f"increment {number}")
    with rehearsal.measure("langfuse-backup-postgres, a set", rehearsal.dump_bytes):
        rehearsal.run(set_pod(rehearsal.postgres, rehearsal.store))
    chain = sum(int(one["bytes"]) for one in manifests(rehearsal.store, "clickhouse/").values())
    if compared:
        plain_backups(rehearsal)
    with rehearsal.measure("langfuse-verify-backups", lambda: chain + rehearsal.dump_bytes()):
        rehearsal.run(rehearsal.pod("langfuse-verify-backups"))
    before = rehearsal.contents()
    lost = lose_media(rehearsal, compared=compared)

    lose(rehearsal)
    require_refusal(rehearsal)
    restored = {"ACTION": "restore", "OVERWRITE": "false"}
    begun = time.monotonic()
    with rehearsal.measure("langfuse-restore-postgres", rehearsal.dump_bytes):
        rehearsal.run(restore_pod(rehearsal.postgres, rehearsal.store), **restored)
    pod = rehearsal.pod("langfuse-restore-clickhouse", CLICKHOUSE_PASSWORD="password of restore")  # noqa: S106
    with rehearsal.measure("langfuse-restore-clickhouse, the chain", lambda: chain):
        rehearsal.run(pod, **restored)
    recovered = time.monotonic() - begun
    require_same(before, rehearsal.contents())
    with rehearsal.measure("langfuse-restore-media", lambda: objects * OBJECT_BYTES):
        rehearsal.require(off_site.restore(rehearsal.folder, rehearsal.store, rehearsal.other, ACTION="restore"))
    require_same(lost, rehearsal.media())
    if compared:
        plain_restores(rehearsal)
    rehearsal.say(
        f"every one of {len(before)} tables has its rows, and {len(lost)} media their content. "
        f"RTO of both databases: {recovered:.0f} s. RPO: events since "
        "the last backup of ClickHouse are replayed; rows of Postgres since the last set are lost"
    )


def lose(rehearsal: Rehearsal) -> None:
    """Lose all tables of both databases."""
    rehearsal.postgres.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for table in ("events_core_mv", "analytics_traces", "analytics_observations", *data.CLICKHOUSE):
        rehearsal.clickhouse.query(f"DROP TABLE IF EXISTS {table} ON CLUSTER default SYNC")


def lose_media(rehearsal: Rehearsal, *, compared: bool) -> Contents:
    """Copy media to the off-site store, and lose them.

    Returns:
        What was lost.
    """
    lost = rehearsal.media()
    size = len(lost) * OBJECT_BYTES
    with rehearsal.measure("langfuse-backup-off-site, media", lambda: size):
        rehearsal.require(off_site.copy("media", rehearsal.store, rehearsal.other.url, rehearsal.folder))
    if compared:
        with rehearsal.measure("rclone copy, media", lambda: size):
            plain_copy(rehearsal)
    s3 = rehearsal.store.client()

    def delete(key: str) -> None:
        s3.delete_object(Bucket=MEDIA, Key=key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(delete, lost))
    return lost


def plain_copy(rehearsal: Rehearsal) -> None:
    """Copy media as rclone does by itself, into another folder of the off-site store."""
    environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": "/dev/null"}
    for name, store in (("FROM", rehearsal.store), ("TO", rehearsal.other)):
        remote = {
            "TYPE": "s3",
            "PROVIDER": "Minio",
            "ENDPOINT": store.url,
            "ACCESS_KEY_ID": secrets()["langfuse-object-store-root", "access-key-id"],
            "SECRET_ACCESS_KEY": secrets()["langfuse-object-store-root", "secret-access-key"],
        }
        environment |= {f"RCLONE_CONFIG_{name}_{key}": value for key, value in remote.items()}
    words = ["copy", "--quiet", "--ignore-checksum", f"from:{MEDIA}", f"to:{off_site.TARGET}/plain/"]
    subprocess.run([rehearsal.store.clients / "rclone", *words], env=environment, check=True)


def require_refusal(rehearsal: Rehearsal) -> None:
    """A restore with other keys than those of the set is refused before anything is changed.

    Raises:
        RehearsalError: It is not.
    """
    pod = restore_pod(rehearsal.postgres, rehearsal.store)
    for key, other in (("ENCRYPTION_KEY", "0" * 64), ("SALT", "another")):
        done = pod.run(rehearsal.folder / f"other-{key}", ACTION="restore", OVERWRITE="false", **{key: other})
        if done.code != FAULT_EXIT or f"the set was made with another {key}" not in done.output:
            raise RehearsalError(f"another {key} is not refused: {done.output}")


def require_same(before: Contents, after: Contents) -> None:
    """Compare all tables.

    Raises:
        RehearsalError: One of them differs.
    """
    different = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if different:
        raise RehearsalError(f"not restored as they were: {', '.join(different)}")


def plain_backups(rehearsal: Rehearsal) -> None:
    """Measure what the tools do by themselves."""
    file = rehearsal.folder / "plain.dump"
    with rehearsal.measure("pg_dump --format=custom, to a file", lambda: file.stat().st_size):
        _postgres_tool(rehearsal, "pg_dump", "--format=custom", f"--file={file}")
    statement = "BACKUP DATABASE default TO S3(backups, 'clickhouse/plain')"
    with rehearsal.measure("BACKUP DATABASE, full", lambda: _size(rehearsal.store, "clickhouse/plain/")):
        rehearsal.clickhouse.query(statement, user="backup")


def plain_restores(rehearsal: Rehearsal) -> None:
    """Measure what the tools do by themselves."""
    file = rehearsal.folder / "plain.dump"
    lose(rehearsal)
    with rehearsal.measure("pg_restore, from a file", lambda: file.stat().st_size):
        _postgres_tool(rehearsal, "pg_restore", "--no-owner", "--dbname=langfuse", str(file))
    statement = (
        "RESTORE DATABASE default ON CLUSTER default FROM S3(backups, 'clickhouse/plain') SETTINGS create_database = 0"
    )
    with rehearsal.measure("RESTORE DATABASE, full", lambda: _size(rehearsal.store, "clickhouse/plain/")):
        rehearsal.clickhouse.query(f"{statement}, allow_different_database_def = 1", user="restore")


def _postgres_tool(rehearsal: Rehearsal, name: str, *words: str) -> None:
    server = rehearsal.postgres
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "langfuse", "PGDATABASE": "langfuse"}
    environment = {**address, "PGPASSWORD": secrets()["langfuse-postgres", "password"], "PATH": os.environ["PATH"]}
    subprocess.run([server.clients / name, *words], env=environment, check=True)


def _keys(store: Store, bucket: str) -> list[str]:
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _size(store: Store, prefix: str) -> int:
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return sum(item["Size"] for page in pages for item in page.get("Contents", []))
