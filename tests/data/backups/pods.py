"""Runs the pods of the backup CronJobs: their containers one after the other, with one folder for each volume."""

import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.images import probe_application
from sandbox.images.clickhouse import PROGRAMS
from tests.data.clickhouse.packed import Pod as ClickHouse
from tests.data.clickhouse.server import ClickHouseServer, prepared
from tests.data.containers import COMMAND_LINES, Run, install_client, run
from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import environment, secrets, stack
from tests.unit.pods import containers

BUCKET = "langfuse-dev-backups"
MEDIA = "langfuse-dev-media"
STARTED: Mapping[str, str] = {
    "client": "rclone",
    "write-dump": "postgres",
    "write-backup": "clickhouse",
    "look": "database",
    "restore": "database",
}
"""The programs of containers that run others than Node."""

NO_WARNING = {"AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true"}
"""Of 2027, about the release of Node on this machine."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of a CronJob or Job and what it connects to."""

    cron_job: str
    kind: str = "CronJob"
    clients: Mapping[str, Path]
    """The folders with the clients of `rclone`, `postgres` and `clickhouse`, and of the `database` of a restore."""
    variables: Mapping[str, str]
    kill_after: float | None = None
    """Seconds after which the pod is killed, as on a lost node."""

    def run(
        self,
        folder: Path,
        *,
        until: str | None = None,
        only: str | None = None,
        **replaced: str,
    ) -> Run:
        """Run the containers in order until one fails, or up to one of them, or one alone."""
        begun = time.monotonic()
        volumes = {name: folder / name for name in ("work", "client", "release")}
        for volume in volumes.values():
            volume.mkdir(parents=True, exist_ok=True)
        given = {
            **self.variables,
            "WORK_DIR": str(volumes["work"]),
            "CLIENT_DIR": str(volumes["client"]),
            "STORE_WAIT_SECONDS": "0",
            "RELEASE_DIR": str(volumes["release"]),
            "HOME": str(volumes["work"]),
            **replaced,
        }
        code, output, command_lines = 0, "", ""
        for container in containers(stack().one(self.kind, self.cron_job)):
            if only and container["name"] != only:
                continue
            known = {item["name"] for item in container["env"]}
            variables = environment(container, **{name: value for name, value in given.items() if name in known})
            variables |= {name: value for name, value in given.items() if name.startswith(("CHDB_", "SHARED_DIR"))}
            node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
            programs = self.clients.get(STARTED.get(re.sub("^(set|clickhouse)-", "", container["name"]), ""), folder)
            left = None if self.kill_after is None else max(0, begun + self.kill_after - time.monotonic())
            done = run(container, {**variables, **node}, programs, kill_after=left)
            output, command_lines = output + done.output, command_lines + done.command_lines
            code = done.code
            if code or container["name"] == until:
                break
        if rclone := self.clients.get("rclone"):
            command_lines += (rclone / COMMAND_LINES).read_text()  # the copy of the client is the same wrapper
        return Run(code=code, output=output, command_lines=command_lines)


def set_pod(postgres: PostgresServer, store: Store) -> Pod:
    """The pod that makes a set."""
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "WAIT_SECONDS": "10", "STORE_URL": store.url}
    return Pod(
        cron_job="langfuse-backup-postgres",
        clients={"rclone": store.clients, "postgres": postgres.clients},
        variables=address,
    )


def clickhouse_pod(server: ClickHouseServer, store: Store) -> Pod:
    """The pod that backs up ClickHouse."""
    address = {"CLICKHOUSE_HOST": "127.0.0.1", "WAIT_SECONDS": "0", "STORE_URL": store.url, **server.variables}
    return Pod(cron_job="langfuse-backup-clickhouse", clients={"clickhouse": server.clients}, variables=address)


def restore_pod(postgres: PostgresServer, store: Store) -> Pod:
    """The pod that restores Postgres."""
    made = set_pod(postgres, store)
    return replace(made, cron_job="langfuse-restore-postgres", clients={**made.clients, "database": postgres.clients})


def clickhouse_client(folder: Path) -> Path:
    """A folder with the client of the packed image."""
    folder.mkdir()
    script = folder / "client"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAMS / "client.py"} "$@"\n')
    script.chmod(0o755)
    install_client(folder / "clients", "clickhouse-client", script)
    return folder / "clients"


def packed_pods(server: ClickHouse, store: Store, clients: Path, users: Mapping[str, str]) -> tuple[Pod, Pod]:
    """The pod that backs up ClickHouse, and the one that restores it, with the passwords of their users."""
    address = {"CLICKHOUSE_HOST": server.host, "WAIT_SECONDS": "30", "STORE_URL": store.url}
    backup, restore = (
        Pod(
            cron_job=f"langfuse-{use}-clickhouse",
            clients={"clickhouse": clients, "database": clients},
            variables={**address, "CLICKHOUSE_PASSWORD": users[use]},
        )
        for use in ("backup", "restore")
    )
    return backup, restore


def server_variables(store: Store) -> dict[str, str]:
    """The variables of a packed server whose backups are written to a store."""
    return {
        "BACKUPS_URL": f"{store.url}/{BUCKET}/",
        "BACKUPS_ACCESS_KEY_ID": secrets()["langfuse-object-store-backups", "access-key-id"],
        "BACKUPS_SECRET_ACCESS_KEY": secrets()["langfuse-object-store-backups", "secret-access-key"],
    }


def clickhouse_on(store: Store, folder: Path) -> ClickHouseServer:
    """A server with some rows whose backups are written to a store."""
    server = prepared(folder, BACKUPS_URL=f"{store.url}/{BUCKET}/")
    server.query("CREATE TABLE default.traces (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    server.query("INSERT INTO default.traces SELECT number, toString(cityHash64(number)) FROM numbers(10000)")
    return server


def wrapped(clients: Path, folder: Path, name: str, script: str) -> Path:
    """A copy of a folder of clients with one of them replaced by a script, in which `REAL` is the real client."""
    copy = folder / "wrapped-clients"
    for client in clients.iterdir():
        if client.name != COMMAND_LINES:
            install_client(copy, client.name, client)
    replacement = folder / f"{name}-replacement"
    replacement.write_text(f"#!/bin/sh\n{script.replace('REAL', str(clients / name))}\n")
    replacement.chmod(0o755)
    install_client(copy, name, replacement)
    (copy / COMMAND_LINES).touch()
    return copy


def objects(store: Store, prefix: str = "", bucket: str = BUCKET) -> dict[str, bytes]:
    """The objects under a prefix of a bucket."""
    s3 = store.client()
    found: dict[str, bytes] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            found[item["Key"]] = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
    return found


def put(store: Store, bucket: str, files: Mapping[str, bytes]) -> None:
    """Write objects into a bucket, by their keys."""
    for key, content in files.items():
        store.client().put_object(Bucket=bucket, Key=key, Body=content)


def emptied(store: Store, *buckets: str) -> Store:
    """The store without the objects of some buckets."""
    for bucket in buckets:
        for key in objects(store, bucket=bucket):
            store.client().delete_object(Bucket=bucket, Key=key)
    return store


def manifests(store: Store, prefix: str) -> dict[str, Any]:
    """The manifests of complete folders under a prefix, by the folder."""
    ending = "/.complete"
    found = objects(store, prefix).items()
    return {key.removesuffix(ending): json.loads(content) for key, content in found if key.endswith(ending)}
