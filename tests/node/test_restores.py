"""Backup sets by the command line, and a restore of the whole stack from one, as the pods that they are."""

from __future__ import annotations

import json
import time
from typing import Final

import pytest

from tests.node import jobs
from tests.node.contents import EVERYTHING, Contents
from tests.node.event_load import Summary, event_load
from tests.node.shapes import Installation

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

LOAD_SECONDS: Final = 10
CHECKS: Final = ("verify", "drill-postgres", "drill-clickhouse")


@pytest.fixture
def contents(shape: Installation) -> Contents:
    return Contents(shape.view)


def load(shape: Installation, client: int) -> Summary:
    """Send events, and read all of them back."""
    with event_load(shape.view, client) as running:
        time.sleep(LOAD_SECONDS)
        summary = running.stop()
    assert summary.accepted
    assert (summary.failures, summary.lost) == ([], 0)
    return summary


def count_events(contents: Contents) -> int:
    return int(contents.clickhouse("SELECT uniqExact(kind, id) FROM probe_events"))


def test_a_stack_is_restored_from_a_set_and_gets_the_newer_events_back(
    shape: Installation, contents: Contents, client: int
) -> None:
    contents.write()
    load(shape, client)
    made = shape.operate("backup", "now").ok().stdout.strip()
    (newest, *_) = json.loads(shape.operate("backup", "list", options=["--json"]).ok().stdout)
    assert (newest["id"], newest["lacks"], newest["kept"]) == (made, None, True)
    assert shape.operate("backup", "verify", options=["--set", made]).ok().stdout == "every file is as it was written\n"
    for store in ("postgres", "clickhouse"):
        drill = jobs.from_cron_job(shape.view, f"langfuse-drill-{store}", f"drill-{store}")
        assert drill.succeeded, drill.log
    (judged, *_) = json.loads(shape.operate("backup", "list", options=["--json"]).ok().stdout)
    assert {name: one["ok"] for name, one in judged["verdicts"].items()} == dict.fromkeys(CHECKS, True)

    load(shape, client)  # these events are in no set
    events = count_events(contents)
    contents.psql("SET ROLE langfuse", "DELETE FROM conformance WHERE n > 100", "CREATE TABLE later AS SELECT 1 AS n")
    contents.clickhouse("DROP TABLE conformance ON CLUSTER default SYNC")
    contents.clickhouse("TRUNCATE TABLE probe_events ON CLUSTER default")

    refused = shape.operate("restore", options=["--set", made, "--store", "postgres", "--yes"])
    assert refused.exit_code == 1, refused.output
    assert "OVERWRITE=true replaces them" in " ".join(refused.output.split())
    assert shape.unready() == []

    options = ["--set", made, "--overwrite", "--yes", "--json"]
    restored = shape.operate("restore", options=options).ok()
    shape.wait_until_ready()
    assert contents.count() == EVERYTHING
    assert contents.psql("SELECT to_regclass('public.later') IS NULL") == "t"
    replayed = json.loads(restored.stdout)["replayed"]
    assert replayed["queued"] == replayed["seen"] > 0
    assert count_events_until(contents, events) == events
    assert {
        one["spec"]["suspend"] for one in shape.view.objects("cronjobs") if "-backup-" in one["metadata"]["name"]
    } == {False}
    load(shape, client)


def count_events_until(contents: Contents, wanted: int) -> int:
    """The number of events, once it is as wanted or after two minutes."""
    deadline = time.monotonic() + 120
    while (found := count_events(contents)) != wanted and time.monotonic() < deadline:
        time.sleep(1)
    return found
