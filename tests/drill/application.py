"""Web, a worker and Redis of an installation in the drill: events come in, and those that were lost are queued again.

Web and worker are the probe application: real queues (BullMQ), with the API of Langfuse.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.images.probe_application import APP
from tests.data.backups.pods import Pod
from tests.data.probe_application.installation import Answer, Installation, ask, redis
from tests.data.rendered import container, environment
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.drill.stores import Rehearsal

MIGRATIONS: Final = APP / "packages/shared"

FAST: Final = {"LANGFUSE_INGESTION_QUEUE_DELAY_MS": "0", "PROBE_DRAIN_MILLISECONDS": "0"}
"""Langfuse waits for up to 15 s before a job, and for 110 s after SIGTERM."""

API_KEYS: Final = {
    "id": "gen_random_uuid()",
    "created_at": "now()",
    "hashed_secret_key": "''",
    "display_secret_key": "''",
    "scope": "'PROJECT'",
    "is_in_app_agent_key": "false",
}
"""Columns of API keys, and defaults for them."""

BATCH: Final = 10
"""Events of one request. Every second one has spans; the others have scores, as clients of Langfuse 4 send them."""

TRACE_DIGITS: Final = 32
"""Hexadecimal digits of the id of a trace (w3.org/TR/trace-context)."""

Events = Mapping[str, str]
"""The name of each event by the id of its trace."""


def postgres_tables() -> Iterator[str]:
    """Statements that create the tables of the application in Postgres."""
    for file in sorted((MIGRATIONS / "prisma/migrations").glob("*/migration.sql")):
        yield from (statement for statement in _statements(file) if "CREATE TABLE api_keys" not in statement)
    # Langfuse's table, with values for what the probe application does not write.
    for column, value in API_KEYS.items():
        yield f"ALTER TABLE api_keys ALTER COLUMN {column} SET DEFAULT {value}"


def clickhouse_tables() -> Iterator[str]:
    """Statements that create the tables of the application in ClickHouse, in cluster mode."""
    for file in sorted((MIGRATIONS / "clickhouse/migrations/clustered").glob("*.up.sql")):
        yield from _statements(file)


def _statements(file: Path) -> Iterator[str]:
    return (statement for statement in file.read_text().split(";") if statement.strip())


@dataclass(kw_only=True)
class Application:
    """Web with an own Redis, which is empty at first."""

    installation: Installation
    web: str
    sent: dict[str, str] = field(default_factory=dict)
    """The events that web accepted."""

    def send(self, name: str, number: int) -> None:
        """Send events to web, each of a trace of its own.

        Args:
            name: For the ids of the traces and their names.
            number: How many.
        """
        for first in range(0, number, BATCH):
            numbers = range(first, min(first + BATCH, number))
            as_spans = first // BATCH % 2 == 1
            start = name.encode().hex()
            ids = {f"{start}{one:0{TRACE_DIGITS - len(start)}x}": f"{name} {one}" for one in numbers}
            answer = self._spans(ids) if as_spans else self._batch(ids)
            assert answer.status in {200, 207}, answer.body
            assert not answer.body.get("errors"), answer.body
            self.sent |= ids

    def _batch(self, events: Events) -> Answer:
        time_ = "2026-11-26T10:00:00Z"
        bodies = [{"id": f"score-{id_}", "traceId": id_, "name": name, "value": 1} for id_, name in events.items()]
        batch = [
            {"id": f"event-{body['traceId']}", "type": "score-create", "timestamp": time_, "body": body}
            for body in bodies
        ]
        return self._post("/api/public/ingestion", {"batch": batch})

    def _spans(self, events: Events) -> Answer:
        spans = [{"traceId": id_, "spanId": id_[-16:], "name": name} for id_, name in events.items()]
        return self._post("/api/public/otel/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})

    def _post(self, path: str, body: object) -> Answer:
        return ask(self.web + path, method="POST", body=body, keys=self.installation.keys)

    def found(self) -> set[str]:
        """The ids of all traces that web shows."""
        ids: set[str] = set()
        after, more = "", True
        while more:
            page = ask(f"{self.web}/api/public/probe/traces?after={after}", keys=self.installation.keys).body
            ids.update(page["ids"])
            after, more = max(ids, default=""), page["more"]
        return ids

    def wait_for(self, events: Events) -> None:
        """Wait until web shows these traces."""
        eventually(lambda: self.found() >= events.keys(), "events are missing", within=300)

    def replay(self, rehearsal: Rehearsal, since: str) -> Mapping[str, int]:
        """Queue the events since a time again, as the Job does. Returns its report."""
        web = container("Deployment", "langfuse-web", "web")
        variables = {
            "STORE_URL": rehearsal.store.url,
            "WEB_URL": self.web,
            "ADMIN_API_KEY": self.installation.variables(web)["ADMIN_API_KEY"],
            "RUN": f"{time.time_ns()}",
            "DRY_RUN": "false",
            "SINCE": since,
        }
        done = rehearsal.run(Pod(cron_job="langfuse-replay-events", clients={}, variables=variables))
        report: Mapping[str, int] = json.loads(done.output.strip().splitlines()[-1])
        return report


@contextlib.contextmanager
def serving(rehearsal: Rehearsal, name: str) -> Iterator[Application]:
    """Run web and an empty Redis until the end of the block."""
    folder = rehearsal.folder / name
    folder.mkdir()
    first = environment(container("Job", "langfuse-first-start", "first-start"))
    with redis(folder) as port:
        installation = Installation(
            folder=folder,
            postgres=rehearsal.postgres,
            object_store=rehearsal.store,
            redis_port=port,
            clickhouse_ports={"http_port": 8123, "tcp_port": 9000},
            extra={
                "CLICKHOUSE_URL": f"http://{rehearsal.clickhouse.host}:8123",
                "CLICKHOUSE_PASSWORD": rehearsal.clickhouse.environment["CLICKHOUSE_PASSWORD"],
                **{name: value for name, value in first.items() if name.startswith("LANGFUSE_INIT_")},
                **FAST,
            },
        )
        with installation.web() as (url, _):
            yield Application(installation=installation, web=url)
