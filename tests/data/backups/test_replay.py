"""The Job that queues raw events again, against a real store and an endpoint that answers as web does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.data.backups.pods import Pod, emptied, put
from tests.data.containers import Run
from tests.data.object_store.minio import Store

BUCKET = "langfuse-dev-events"
ADMIN_KEY = "a-key-of-the-admin-api"

# web/src/pages/api/admin/ingestion-replay.ts
SPANS = re.compile(r"^otel/([^/]+)/(\d{4})/(\d{2})/(\d{2})/(\d{2})/(\d{2})/([^.]+)\.json$")
EVENTS = re.compile(r"^([^/]+)/([^/]+)/(.+)/([^/]+)\.json$")
TYPES = ("trace", "score", "observation")
MOST_KEYS = 1000


@dataclass
class Web:
    """What the endpoint was asked for, and the statuses that it answers first."""

    keys: list[str] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    requests: int = 0

    def answer(self, authorization: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests += 1
        if self.failures and (status := self.failures.pop(0)):
            return status, {"error": "not now"}
        if authorization != f"Bearer {ADMIN_KEY}":
            return 401, {"error": "Unauthorized: Invalid token"}
        assert 0 < len(body["keys"]) <= MOST_KEYS
        errors = []
        for key in body["keys"]:
            match = EVENTS.match(key)
            if SPANS.match(key) or (match and match[2] in TYPES):
                self.keys.append(key)
            else:
                errors.append(f"Unsupported replay type: {match[2]}" if match else f"Invalid key format: {key}")
        return 200, {"queued": len(body["keys"]) - len(errors), "skipped": len(errors), "errors": errors}


@contextmanager
def serving(web: Web) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/api/admin/ingestion-replay"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = web.answer(self.headers["Authorization"], body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def span(time: datetime, name: str) -> str:
    return f"otel/project-a/{time:%Y/%m/%d/%H/%M}/{name}.json"


NOW = datetime.now(UTC)
FRESH = {
    "project-a/trace/t1/e2.json",
    "project-a/trace/t2/e1.json",
    "project-b/observation/o/1/e1.json",
    span(NOW, "fresh"),
}
SKIPPED = {"project-b/dataset_run_item/d1/e1.json", "langfuse-replay/other.json", "project-a/stray.json"}


@pytest.fixture
def filled(store: Store) -> Store:
    keys = (*FRESH, *SKIPPED, "project-a/trace/t1/e1.json", span(NOW - timedelta(hours=3), "old"))
    put(emptied(store, BUCKET), BUCKET, dict.fromkeys(keys, b"[]"))
    return store


def replay(store: Store, url: str, folder: Path, **replaced: str) -> Run:
    variables = {
        "STORE_URL": store.url,
        "WEB_URL": url,
        "ADMIN_API_KEY": ADMIN_KEY,
        "WAIT_SECONDS": "0",
        "RATE": "1000000",
        "DRY_RUN": "false",
        "RUN": "first",
        "SINCE": (NOW - timedelta(hours=1)).isoformat(),
    }
    return Pod(cron_job="langfuse-replay-events", clients={}, variables=variables).run(folder, **replaced)


def report(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.output.strip().splitlines()[-1])
    return found


def test_each_event_since_a_time_is_queued_once_and_the_rest_is_reported(filled: Store, tmp_path: Path) -> None:
    web = Web(failures=[503, 429])
    with serving(web) as url:
        dry = replay(filled, url, tmp_path, DRY_RUN="true")
        assert (dry.code, web.requests) == (0, 0), dry.output
        assert report(dry)["seen"] == 6
        done = replay(filled, url, tmp_path, WAIT_SECONDS="30")
        assert done.code == 0, done.output
        later = replay(filled, url, tmp_path, RUN="later", SINCE=(NOW + timedelta(hours=1)).isoformat())
    assert set(web.keys) == FRESH
    assert len(web.keys) == len(FRESH)
    reasons = {"Unsupported replay type: dataset_run_item": 1, "Invalid key format": 1}
    assert report(done) | {"since": ""} == {"since": "", "seen": 6, "queued": 4, "skipped": 2, "reasons": reasons}
    assert report(later)["seen"] == 0
    assert ADMIN_KEY not in done.output + done.command_lines


def test_an_attempt_after_a_failure_continues_and_one_after_the_end_begins_anew(filled: Store, tmp_path: Path) -> None:
    web = Web(failures=[0, 500])
    with serving(web) as url:
        failed = replay(filled, url, tmp_path)
        assert failed.code == 1
        assert "/api/admin/ingestion-replay answered 500, for 0 s" in failed.output
        assert len(web.keys) == 1
        done = replay(filled, url, tmp_path)
        assert done.code == 0, done.output
        assert sorted(web.keys) == sorted(FRESH)
        again = replay(filled, url, tmp_path)
    assert report(again)["queued"] == report(done)["queued"] == 4
    assert len(web.keys) == 2 * len(FRESH)


def test_a_wrong_key_is_refused_at_once(filled: Store, tmp_path: Path) -> None:
    with serving(Web()) as url:
        refused = replay(filled, url, tmp_path, ADMIN_API_KEY="another-key", WAIT_SECONDS="600")
    assert refused.code == 1
    assert "answered 401: web has another ADMIN_API_KEY" in refused.output
    assert "another-key" not in refused.output
    assert 'SINCE is "yesterday"; set it to a time' in replay(filled, "", tmp_path, SINCE="yesterday").output
