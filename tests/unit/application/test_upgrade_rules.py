"""Which upgrades are refused because they leave out a release."""

from collections.abc import Iterator
from typing import Any

import pytest

from components.application.migrations import SCRIPTS
from tests.unit.backups.rules import Rules, rules

Json = dict[str, Any]

VERSION_2 = {"finished": ["20230518191501_init", "20241125124029_add_chatgpt_4o_prices"], "unfinished": []}
VERSION_3 = {"finished": [*VERSION_2["finished"], "20260709124500_add_billing_exhausted"], "unfinished": []}
DONE = {"name": "20250417_1737_migrate_event_log_to_blob_storage", "finished": True, "failed": None}
OPEN = {**DONE, "finished": False}
FAILED = {**OPEN, "failed": "out of memory"}
OF_VERSION_4 = {"name": "20260701_v4_step_1_create_root_spans", "finished": False, "failed": None}
FULL = {"postgres": False, "clickhouse": True}
LAST_3, VERSION_4 = 37, 46


@pytest.fixture(scope="module")
def upgrades() -> Iterator[Rules]:
    with rules(SCRIPTS / "upgrade-rules.js") as found:
        yield found


def running(schema: Json | None, version: int | None, *background: Json, **rows: bool) -> Json:
    clickhouse = None if version is None else {"version": version, "dirty": False}
    return {"postgres": schema, "clickhouse": clickhouse, "background": background, "rows": {**FULL, **rows}}


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        (running(VERSION_2, None, postgres=True, clickhouse=False), "Postgres has the schema of version 2"),
        (running(VERSION_3, 36, DONE), "an older release of version 3 (migration 36 of 37)"),
        (running(VERSION_3, LAST_3, DONE, OPEN), f"have not finished: {OPEN['name']}"),
        (running(VERSION_3, LAST_3, FAILED), f"{OPEN['name']} (failed: out of memory)"),
        (running(VERSION_3, LAST_3, DONE, OF_VERSION_4), None),
        (running(VERSION_3, VERSION_4, OPEN), None),
        (running(None, None, clickhouse=False), None),
        # A first installation that broke off: there are no traces.
        (running(VERSION_2, None, clickhouse=False), None),
        (running(VERSION_3, 12, OPEN, clickhouse=False), None),
        # The migration of ClickHouse failed at its first statement, after that of Postgres.
        (running(VERSION_3, None, DONE, postgres=True, clickhouse=False), None),
    ],
)
def test_version_4_follows_the_last_release_of_version_3_only(
    upgrades: Rules, state: Json, refused: str | None
) -> None:
    found = upgrades.call("refusal", state, {"clickhouse": [*range(1, VERSION_4 + 1)]})
    assert (found is None) == (refused is None), found
    if found and refused:
        assert refused in found["found"]
    # Version 3 follows any other.
    assert upgrades.call("refusal", state, {"clickhouse": [*range(1, LAST_3 + 1)]}) is None, (
        "version 3 follows version 2"
    )
