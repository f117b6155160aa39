"""Half-applied migrations in real databases, their repair as the CronJob does it, and the migrator of the release."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sandbox.images import probe_application
from tests.data.containers import Run, run
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import environment, secrets, stack
from tests.servers import program
from tests.unit.pods import container

MIGRATE = probe_application.APP / "probe/migrate.js"
NODE = program("node", package="nodejs")
CRON_JOB = "langfuse-repair-schema"
RECORDED = (
    "SELECT migration_name, finished_at IS NOT NULL, rolled_back_at IS NOT NULL FROM _prisma_migrations ORDER BY 1, 3"
)
"""What Prisma sees: for each attempt its name, and whether it was finished or rolled back."""

TABLE = """CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)"""


@dataclass(frozen=True, kw_only=True)
class Schemas:
    """The databases, and a folder with the migrations of a release."""

    folder: Path
    postgres: PostgresServer
    clickhouse_ports: Mapping[str, int]

    def release(self, store: str, *, folder: str = "clustered", **migrations: str) -> None:
        """Add migrations of a store to the release."""
        for name, text in migrations.items():
            file = self.folder / (
                f"postgres/{name}/migration.sql" if store == "postgres" else f"clickhouse/{folder}/{name[1:]}.up.sql"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the migrator, and those of the repair that differ on this machine."""
        password = secrets()["langfuse-postgres", "password"]
        url = f"postgresql://langfuse:{password}@127.0.0.1:{self.postgres.port}/langfuse"
        ports = self.clickhouse_ports
        return {
            "PATH": os.environ["PATH"],
            "NODE_PATH": str(probe_application.node_modules()),
            "DIRECT_URL": url,
            "CLICKHOUSE_URL": f"http://127.0.0.1:{ports['http_port']}",
            "CLICKHOUSE_MIGRATION_URL": f"clickhouse://127.0.0.1:{ports['tcp_port']}",
            "CLICKHOUSE_USER": "langfuse",
            "CLICKHOUSE_PASSWORD": secrets()["langfuse-clickhouse", "password"],
        }

    def migrator(self, store: str) -> subprocess.Popen[str]:
        """Start the migrator of the release for one store."""
        source = self.folder / ("postgres" if store == "postgres" else "clickhouse/clustered")
        return subprocess.Popen(
            [NODE, MIGRATE, store, source],
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def migrate(self, store: str) -> tuple[int, str]:
        """Run the migrator to its end. Returns its exit code and output."""
        process = self.migrator(store)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def run(self, store: str, **replaced: str) -> Run:
        """Run the container of the repair."""
        repair = container(stack().one("CronJob", CRON_JOB), "repair")
        known = {item["name"] for item in repair["env"]}
        given = {name: value for name, value in self.variables.items() if name in known}
        variables = environment(repair, **given, RELEASE_DIR=str(self.folder), STORE=store, **replaced)
        clients = self.folder / "clients"
        clients.mkdir(exist_ok=True)
        return run(repair, {**variables, "NODE_PATH": self.variables["NODE_PATH"]}, clients)

    def shown(self, store: str, **replaced: str) -> dict[str, Any]:
        """What it shows of a store."""
        done = self.run(store, **replaced)
        assert done.code == 0, done.output
        assert not done.leaks(
            [secrets()["langfuse-postgres", "password"], secrets()["langfuse-clickhouse", "password"]]
        )
        (line,) = (json.loads(line) for line in done.output.splitlines() if line.startswith("{"))
        return dict(line)

    def repaired(self, store: str, shown: Mapping[str, Any], **replaced: str) -> Run:
        """Repair it as it was shown."""
        return self.run(store, ACTION="apply", SHOWN=shown["shown"], **replaced)

    def clickhouse(self, *statements: str) -> str:
        """Run statements in ClickHouse. Returns the rows of the last one."""
        answer = b""
        for statement in statements:
            query = urllib.parse.urlencode({"mutations_sync": "1"})
            request = urllib.request.Request(  # noqa: S310  # our own server
                f"{self.variables['CLICKHOUSE_URL']}/?{query}",
                statement.encode(),
                {
                    "X-ClickHouse-User": "langfuse",
                    "X-ClickHouse-Key": self.variables["CLICKHOUSE_PASSWORD"],
                    "X-ClickHouse-Database": "default",
                },
            )
            with urllib.request.urlopen(request, timeout=60) as opened:  # noqa: S310  # our own server
                answer = opened.read()
        return answer.decode().strip()

    def half_applied_clickhouse(self, version: int, statements: Sequence[str]) -> None:
        """Record that a migration has begun, and run some of its statements."""
        begun = f"({version}, 1, toUnixTimestamp64Nano(now64(9)))"
        self.clickhouse(f"INSERT INTO schema_migrations (version, dirty, sequence) VALUES {begun}", *statements)  # noqa: S608

    def half_applied_postgres(self, name: str, done: str, *, logs: str | None = None, steps: int = 0) -> None:
        """Record that a migration has begun, and run what has taken effect."""
        checksum = sha256((self.folder / f"postgres/{name}/migration.sql").read_bytes()).hexdigest()
        log = "NULL" if logs is None else "'" + logs.replace("'", "''") + "'"
        self.postgres.query(
            f"{TABLE}; INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, applied_steps_count)"  # noqa: S608
            f" VALUES ('{uuid.uuid4()}', '{checksum}', '{name}', {log}, {steps})"
        )
        if done:
            self.postgres.query(done)

    def empty(self) -> None:
        """Drop everything, and the migrations of the release."""
        self.postgres.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        tables = "SELECT name FROM system.tables WHERE database = 'default' ORDER BY engine NOT LIKE '%View' FORMAT TSV"
        for name in self.clickhouse(tables).split():
            self.clickhouse(f"DROP TABLE IF EXISTS {name} ON CLUSTER default SYNC")
        for file in self.folder.glob("*/**/*.sql"):
            file.unlink()
