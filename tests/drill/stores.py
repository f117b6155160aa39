"""The stores of an installation on this machine, and how the drill runs Jobs on them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.backups.steps import SCRIPTS
from sandbox.images.clickhouse import PROGRAMS
from tests.data.backups import off_site
from tests.data.backups.pods import BUCKET, MEDIA, Pod
from tests.data.clickhouse.packed import Pod as ClickHouse
from tests.data.clickhouse.packed import installation
from tests.data.containers import Run, install_client
from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.data.postgres.server import PostgresServer, started
from tests.data.rendered import secrets

EVENTS: Final = "langfuse-dev-events"

LIMIT_SECONDS: Final = 1800
"""For one statement of ClickHouse."""

Contents = Mapping[str, str]
"""By table the number of its rows and a hash of all of them; by object the hash of its content."""


class RehearsalError(Exception):
    """Something was not restored as it was, or a script failed."""


@dataclass(kw_only=True)
class Rehearsal:
    """The stores of an installation."""

    folder: Path
    postgres: PostgresServer
    clickhouse: ClickHouse
    store: Store
    other: Store
    """The off-site store."""
    say: Callable[[str], None]

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

    def manifests(self, folder: str) -> Sequence[Mapping[str, Any]]:
        """The manifests of all sets (`sets/`) or backups of ClickHouse (`clickhouse/`)."""
        s3, keys = self.store.client(), [key for key in sizes(self.store, BUCKET, folder) if key.endswith("/.complete")]
        return [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]

    def newest(self, folder: str) -> Mapping[str, Any]:
        """The manifest of the newest set (`sets/`) or backup of ClickHouse (`clickhouse/`)."""
        return max(self.manifests(folder), key=lambda one: str(one["finished"]))

    def dump_bytes(self) -> int:
        """The size of the dump in the newest set."""
        return int(next(file["bytes"] for file in self.newest("sets/")["files"] if file["name"] == "database.dump"))

    def chain_bytes(self) -> int:
        """The size of all backups of ClickHouse."""
        return sum(int(one["bytes"]) for one in self.manifests("clickhouse/"))

    def query(self, statement: str, user: str = "langfuse") -> str:
        """The result of a statement of ClickHouse, as values between tabs.

        Raises:
            RehearsalError: It failed.
        """
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": f"password of {user}"}
        request = urllib.request.Request(f"http://{self.clickhouse.host}:8123/", statement.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:  # noqa: S310  # see above
                return str(answer.read().decode()).strip()
        except urllib.error.HTTPError as error:
            raise RehearsalError(f"{statement}: {error.read().decode()}") from error

    def drop_postgres(self) -> None:
        """Drop everything in Postgres."""
        self.postgres.query((SCRIPTS / "drop-everything.sql").read_text())

    def drop_clickhouse(self) -> None:
        """Drop all tables of ClickHouse."""
        names = self.query(
            "SELECT name FROM system.tables WHERE database = 'default' AND NOT startsWith(name, '.') "
            "ORDER BY endsWith(engine, 'View') DESC"
        )
        for name in names.splitlines():
            self.query(f"DROP TABLE IF EXISTS {name} ON CLUSTER default SYNC")

    def empty_stores(self) -> None:
        """Drop everything in Postgres, and delete all objects of the buckets that the drill uses."""
        self.drop_postgres()
        for bucket in (BUCKET, MEDIA, EVENTS):
            empty(self.store, bucket)
        empty(self.other, off_site.TARGET)

    def clickhouse_contents(self) -> Contents:
        """The rows of all tables of ClickHouse."""
        found = self.query(
            "SELECT name, engine LIKE '%Replacing%' FROM system.tables WHERE database = 'default' "
            "AND engine LIKE '%MergeTree' AND NOT startsWith(name, '.')"
        )
        tables = dict(line.split("\t") for line in found.splitlines())
        # A merge removes replaced rows at any time, so they don't count.
        selects = [
            f"SELECT '{name}', count(), sum(cityHash64(*)) FROM {name}{' FINAL' if replacing == '1' else ''}"
            for name, replacing in tables.items()
        ]
        lines = self.query(" UNION ALL ".join(selects)).splitlines()
        return {f"clickhouse {name}": rest for name, _, rest in (line.partition("\t") for line in lines)}

    def postgres_contents(self) -> Contents:
        """The rows of all tables of Postgres."""
        tables = self.postgres.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").splitlines()
        statements = [
            f"SELECT '{one}', count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM \"{one}\" AS t;"
            for one in tables
        ]
        lines = self.postgres.query("\n".join(statements)).splitlines()
        return {f"postgres {name}": rest for name, _, rest in (line.partition("|") for line in lines)}

    def media(self) -> Contents:
        """The SHA-256 of each object in the bucket of media."""
        s3 = self.store.client()

        def read(key: str) -> tuple[str, str]:
            return key, hashlib.sha256(s3.get_object(Bucket=MEDIA, Key=key)["Body"].read()).hexdigest()

        with ThreadPoolExecutor(8) as pool:
            return dict(pool.map(read, sizes(self.store, MEDIA)))


def sizes(store: Store, bucket: str, prefix: str = "") -> Mapping[str, int]:
    """The size of each object under a prefix."""
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


def empty(store: Store, bucket: str, prefix: str = "") -> None:
    """Delete all objects under a prefix."""
    keys, s3 = list(sizes(store, bucket, prefix)), store.client()
    for first in range(0, len(keys), 1000):
        objects = [{"Key": key} for key in keys[first : first + 1000]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})  # type: ignore[typeddict-item]
        assert not answer.get("Errors"), answer["Errors"]


@contextlib.contextmanager
def serving_stores(folder: Path) -> Iterator[tuple[PostgresServer, Store, Store]]:
    """Start Postgres and two MinIO servers."""
    for name in ("minio", "other", "postgres", "provisioning"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as stack:
        store, other = (
            stack.enter_context(serving(folder / name, server_variables(folder / name))) for name in ("minio", "other")
        )
        for made in (store, other):
            if (done := provision(made, folder / "provisioning")).code:
                raise RehearsalError(f"the buckets could not be made: {done.output}")
        yield stack.enter_context(started(folder / "postgres")), store, other


@contextlib.contextmanager
def rehearsal(
    folder: Path, say: Callable[[str], None], postgres: PostgresServer, store: Store, other: Store
) -> Iterator[Rehearsal]:
    """Start ClickHouse with one Keeper, and use empty other stores.

    Args:
        folder: For the data of ClickHouse, and for all files of the rehearsal.
        say: Gets a line about each step.
        postgres: The server.
        store: The object store.
        other: The off-site store.
    """
    script = folder / "clickhouse-client"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAMS / "client.py"} "$@"\n')
    script.chmod(0o755)
    install_client(folder / "clients", "clickhouse-client", script)
    keys = {key: secrets()["langfuse-object-store-backups", key] for key in ("access-key-id", "secret-access-key")}
    variables = {
        "BACKUPS_URL": f"{store.url}/{BUCKET}/",
        "BACKUPS_ACCESS_KEY_ID": keys["access-key-id"],
        "BACKUPS_SECRET_ACCESS_KEY": keys["secret-access-key"],
    }
    (folder / "clickhouse").mkdir()
    with installation(folder / "clickhouse", replicas=1, keepers=1, variables=variables) as ((clickhouse,), _):
        made = Rehearsal(folder=folder, postgres=postgres, clickhouse=clickhouse, store=store, other=other, say=say)
        made.empty_stores()
        yield made
        made.empty_stores()
