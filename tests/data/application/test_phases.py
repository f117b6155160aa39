"""The phases of the way from version 3 of Langfuse to version 4, against both databases with tables of their shape."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.application.phase_check import CONTAINER, SCRIPTS
from sandbox.images import probe_application
from tests.data.application.store_checks import FOLDER, NODE
from tests.data.object_store.minio import Store
from tests.data.postgres.server import started
from tests.data.probe_application.installation import Installation, clickhouse
from tests.data.rendered import container, secrets
from tests.drill import data

JOB = ("Job", "langfuse-migrations", CONTAINER)
PHASES = ("legacy", "dual", "backfill", "events_only")
V3_TABLES = ("traces", "observations", "dataset_run_items_rmt")
GATE = "LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL"
STEPS = ("20260701_v4_step_1_create_root_spans_from_traces", "20260701_v4_step_2_rewrite_observations")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a check."""

    code: int
    output: str

    @property
    def failed(self) -> str:
        """The lines of what failed."""
        return "\n".join(line for line in self.output.splitlines() if line.startswith("failed"))

    @property
    def reported(self) -> dict[str, str]:
        """What a report says, by check."""
        lines = [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]
        return {line["check"]: f"{line['outcome']}: {line['detail']}" for line in lines}


@dataclass(frozen=True, kw_only=True)
class Databases:
    """Both databases of an installation, and the check against them."""

    installation: Installation

    def clickhouse(self, *statements: str, **settings: str) -> None:
        """Run statements as Langfuse."""
        port, arguments = self.installation.clickhouse_ports["http_port"], urllib.parse.urlencode(settings)
        url = f"http://127.0.0.1:{port}/?{arguments}"
        password = secrets()["langfuse-clickhouse", "password"]
        headers = {"X-ClickHouse-User": "langfuse", "X-ClickHouse-Key": password}
        for statement in statements:
            request = urllib.request.Request(url, statement.encode(), headers)  # our own server
            urllib.request.urlopen(request, timeout=60).read()  # noqa: S310  # our own server

    def tables(self, wanted: Callable[[str], bool]) -> None:
        """Create the tables of ClickHouse with these names, and their views."""
        self.clickhouse(*(one for one in data.clickhouse_tables() if wanted(one.split()[2])))

    def postgres(self, *statements: str) -> None:
        """Run statements."""
        for statement in statements:
            self.installation.postgres.query(statement)

    def traces(self, first: str, minutes: int) -> None:
        """A trace and its observation in the tables of version 3, created some minutes ago."""
        at = f"now64(3) - INTERVAL {minutes} MINUTE"
        self.clickhouse(
            "INSERT INTO traces (project_id, id, timestamp, created_at, updated_at, event_ts) "
            f"SELECT 'p1', '{first}', {at}, {at}, {at}, {at}",
            "INSERT INTO observations (project_id, trace_id, id, type, start_time, created_at, updated_at, event_ts) "
            f"SELECT 'p1', '{first}', 'o-{first}', 'SPAN', {at}, {at}, {at}, {at}",
        )

    def events(self, trace: str, minutes: int, source: str, sdk: str = "") -> None:
        """A span of a trace in the tables of version 4, created some minutes ago."""
        name, _, version = sdk.partition(" ")
        at = f"now64(6) - INTERVAL {minutes} MINUTE"
        self.clickhouse(
            "INSERT INTO events_full (project_id, trace_id, span_id, start_time, created_at, updated_at, event_ts, "
            "source, ingestion_sdk_name, ingestion_sdk_version) "
            f"SELECT 'p1', '{trace}', 't-{trace}', {at}, {at}, {at}, {at}, "
            f"'{source}', '{name}', '{version}'"
        )

    def steps(self, state: str) -> None:
        """Set columns of the rows of the backfill."""
        self.postgres(f"UPDATE background_migrations SET {state}")  # noqa: S608  # our own values

    def check(self, phase: str, *, acknowledged: bool = False, report: bool = False, store_checks: str = "") -> Checked:
        """Run the check as the migration Job does, or as `python -m operations phase` does."""
        variables = self.installation.variables(container(*JOB), PHASE=phase, STORE_CHECKS=store_checks)
        given = {**variables, "PATH": os.environ["PATH"], "NODE_PATH": str(probe_application.node_modules())}
        given |= {"ACKNOWLEDGED": str(acknowledged).lower(), "REPORT": "json" if report else "", "LOG_SECONDS": "2"}
        done = subprocess.run(
            [NODE, FOLDER / SCRIPTS[0]], env=given, capture_output=True, text=True, timeout=120, check=False
        )
        assert secrets()["langfuse-clickhouse", "password"] not in done.stdout + done.stderr
        return Checked(code=done.returncode, output=done.stdout + done.stderr)

    def refused(self, phase: str, *said: str, acknowledged: bool = False) -> str:
        """Check that a phase is refused with these words. Returns the whole output."""
        checked = self.check(phase, acknowledged=acknowledged)
        assert checked.code == 1, checked
        assert all(one in checked.failed for one in said), checked
        assert f"{phase} is refused. Nothing was changed." in checked.output
        return checked.output

    def allowed(self, *phases: str, acknowledged: bool = False, store_checks: str = "") -> None:
        """Check that phases are not refused."""
        for phase in phases:
            checked = self.check(phase, acknowledged=acknowledged, store_checks=store_checks)
            assert checked.code == 0, checked


@pytest.fixture(scope="module")
def databases(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """The databases of an empty installation."""
    folder = tmp_path_factory.mktemp("phases")
    with started(tmp_path_factory.mktemp("postgres")) as postgres, clickhouse(folder) as ports:
        yield Databases(
            installation=Installation(
                folder=folder, postgres=postgres, object_store=store, redis_port=1, clickhouse_ports=ports
            )
        )


def version_3(databases: Databases) -> None:
    """Version 3, with traces of last month and of today."""
    databases.postgres(*data.postgres_tables(), *data.postgres_rows(1, 1), "DELETE FROM background_migrations")
    databases.postgres("UPDATE projects SET id = 'p1', name = 'Checkout'")
    databases.tables(V3_TABLES.__contains__)
    databases.traces("last-month", 40 * 24 * 60)
    databases.traces("this-morning", 120)


def version_4(databases: Databases) -> None:
    """The tables of version 4, which are empty, and the backfill that waits."""
    databases.tables(lambda name: name not in V3_TABLES and not name.startswith(("analytics", "INTO")))
    for number, name in enumerate(STEPS):
        values = f"'{number}', '{name}', 'script', '{json.dumps({'envGate': GATE})}', '{{}}'"
        databases.postgres(f"INSERT INTO background_migrations (id, name, script, args, state) VALUES ({values})")  # noqa: S608  # our own


def chunks(done: int, number: int) -> list[dict[str, str]]:
    """The chunks of a step of the backfill, as `worker/src/backgroundMigrations/utils/backfillBase.ts` notes them."""
    status = ["completed"] * done + ["pending"] * (number - done)
    return [{"status": one, "startedAt": "2026-11-26T10:00:00Z"} for one in status]


@pytest.mark.long
def test_the_way_to_version_4_takes_every_phase_in_order(databases: Databases) -> None:
    databases.allowed(*PHASES)  # nothing to lose

    version_3(databases)
    databases.allowed("legacy", "dual")
    databases.refused("backfill", "with the schema of version 3", "set langfuse:ingestion.phase to dual")
    databases.refused("events_only", "phases can't be skipped", "ingestion.phase to dual", acknowledged=True)

    version_4(databases)
    databases.allowed("legacy", "dual")
    databases.refused("backfill", "none of 1 traces of the last day is in the tables of version 4")
    databases.refused("events_only", "found legacy", "ingestion.phase to dual", acknowledged=True)

    # Dual writing, while a worker in phase legacy still runs, and without it.
    databases.traces("both", 25)
    databases.events("both", 25, "ingestion-api-dual-write", "python 2.60.3")
    databases.traces("old-worker", 30)
    databases.refused("backfill", "1 traces of the last hour are not in the tables of version 4")
    databases.events("old-worker", 30, "otel-dual-write", "langfuse-js 4.2.0")
    databases.allowed("backfill")
    databases.refused("events_only", "found dual", "ingestion.phase to backfill", acknowledged=True)
    report = databases.check("dual", report=True).reported
    assert report["reached"] == "ok: dual: the tables of both versions get traces"
    assert report["next, backfill: query_log"] == "ok: the server logs statements"
    assert "GiB free, and the backfill needs up to 0.0 GiB" in report["next, backfill: free disk"]

    # The backfill runs, fails and ends.
    databases.steps(f"state = '{json.dumps({'phase': 'backfill', 'todos': chunks(3, 10)})}' WHERE id = '0'")
    databases.refused("legacy", "runs only once", "ingestion.phase to dual")
    databases.refused("events_only", "the backfill is running", "ingestion.phase to backfill", acknowledged=True)
    report = databases.check("backfill", report=True).reported
    assert report["backfill 1 create root spans from traces"].startswith("ok: 3 of 10 chunks, about ")
    assert report["backfill 2 rewrite observations"] == "ok: has not begun"
    databases.steps("failed_at = now(), failed_reason = 'Memory limit' WHERE id = '0'")
    databases.refused("events_only", "the backfill is failed", acknowledged=True)
    databases.allowed("backfill")  # a release or more memory may mend it
    assert (
        "Memory limit" in databases.check("backfill", report=True).reported["backfill 1 create root spans from traces"]
    )
    databases.steps("failed_at = NULL, finished_at = now()")

    # Not every trace was copied.
    databases.refused("events_only", "2 of 4 traces are not in the tables of version 4", acknowledged=True)
    databases.events("last-month", 40 * 24 * 60, "ingestion-api-backfill")
    databases.events("this-morning", 120, "ingestion-api-backfill")

    # The clients that would break are named, until that is acknowledged.
    databases.postgres("UPDATE job_configurations SET project_id = 'p1', status = 'ACTIVE', target_object = 'trace'")
    read = json.dumps({"surface": "publicapi", "projectId": "p1", "route": "GET /api/public/traces/1?x=y"})
    databases.clickhouse("SELECT 1", log_comment=read)
    said = databases.refused("events_only", "set langfuse:ingestion.acknowledgeEventsOnly to true")
    assert "project Checkout: python 2.60.3, 1 rows" in said
    assert "by the batch interface" in said
    assert "project Checkout: langfuse-js 4.2.0, 1 rows" in said
    assert "project Checkout: 1 statements for GET /api/public/traces/{id}, which would answer 404" in said
    assert "project Checkout: 1 evaluators of traces and datasets would stop" in said
    databases.allowed("events_only", acknowledged=True)

    # Only the tables of version 4 get traces.
    databases.events("new", -60, "otel")
    databases.allowed("events_only", "dual")
    databases.refused("legacy", "the backfill is finished")
    report = databases.check("events_only", report=True).reported
    assert report["reached"] == "ok: events_only: only the tables of version 4 get traces"


@pytest.mark.long
def test_a_server_that_cannot_do_the_backfill_gets_the_reason(databases: Databases, tmp_path: Path) -> None:
    """An external server without a log of statements, and with a user that may not freeze tables."""

    def users(text: str) -> str:
        return text.replace("GRANT SYSTEM SYNC REPLICA, SYSTEM MERGES ON", "GRANT SYSTEM SYNC REPLICA ON")

    with clickhouse(tmp_path, users=users, config={"<query_log>": '<query_log remove="1">'}) as ports:
        other = Databases(installation=replace(databases.installation, clickhouse_ports=ports))
        other.tables(lambda name: name != "INTO")
        other.traces("both", 25)
        other.events("both", 25, "otel-dual-write")
        other.steps("finished_at = NULL, state = '{}'")
        other.refused(
            "backfill",
            "turn on query_log on the server",
            "GRANT SYSTEM MERGES ON default.* TO langfuse",
        )
        other.allowed("backfill", store_checks="report")
