"""The probe application with real stores: migrations, the first start, and the way of an event through it."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from operations.clients import hops, sender
from operations.clients.hops import Place
from sandbox.images import probe_application
from tests.data.backups.pods import BUCKET, Pod, manifests
from tests.data.containers import Run, run
from tests.data.object_store.minio import Store
from tests.data.postgres.server import started
from tests.data.probe_application.installation import LIMIT_SECONDS, Installation, ask, clickhouse, redis, until
from tests.data.rendered import container, environment, secrets, stack_with_clients
from tests.scripts import SCRIPTS
from tests.servers import free_port, program
from tests.smoke.media import Files, MediaError
from tests.unit import pods
from tests.unit.recorder import Registration

MIGRATIONS = "langfuse-migrations"
FAST = {
    "LANGFUSE_INGESTION_QUEUE_DELAY_MS": "0",
    "PROBE_DRAIN_MILLISECONDS": "1500",
    "PROBE_LOCK_MILLISECONDS": "1000",
}
"""Langfuse waits longer: 5 s before a job, 110 s after SIGTERM, and 30 s for a lost worker."""


@pytest.fixture(scope="module")
def installation(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The stores, migrated from empty and with the first organization."""
    folder = tmp_path_factory.mktemp("probe-application")
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(started(tmp_path_factory.mktemp("postgres")))
        new = Installation(
            folder=folder,
            postgres=postgres,
            object_store=store,
            redis_port=stack.enter_context(redis(folder)),
            clickhouse_ports=stack.enter_context(clickhouse(folder, BACKUPS_URL=f"{store.url}/{BUCKET}/")),
            extra=FAST,
        )
        list_release(new)
        for name in ("postgres", "clickhouse"):
            assert "has no schema yet" in check(new, name).output
        code, output = migrate(new)
        assert code == 0, output
        first = container("Job", "langfuse-first-start", "first-start")
        script = SCRIPTS[Path(first["args"][1]).name]
        code, output = new.run(first, ["/bin/sh", str(script)], PORT=str(free_port()))
        assert code == 0, output
        yield new


@pytest.fixture(scope="module")
def web(installation: Installation) -> Iterator[str]:
    """The URL of web. Links of exports have a public address."""
    with installation.web(LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT="https://langfuse.example.com") as (url, _):
        yield url


@pytest.fixture(scope="module")
def worker(installation: Installation) -> Iterator[str]:
    """The URL of a worker's health checks."""
    with installation.worker() as (url, _):
        yield url


def list_release(installation: Installation) -> None:
    """Run the container of the migration Job that lists the migrations of the image."""
    job = container("Job", MIGRATIONS, "release")
    (installation.folder / "release").mkdir()
    shared = {"SHARED_DIR": str(probe_application.APP / "packages/shared")}
    variables = installation.variables(job, RELEASE_DIR=str(installation.folder / "release"))
    result = run(job, variables | shared, installation.clients)
    assert result.code == 0, result.output


def check(installation: Installation, name: str) -> Run:
    """Run the container of the migration Job that checks a database."""
    job = container("Job", MIGRATIONS, name)
    addresses = {
        "postgres": {"PGHOST": "127.0.0.1", "PGPORT": str(installation.postgres.port)},
        "clickhouse": {
            "CLICKHOUSE_HOST": "127.0.0.1",
            "CLICKHOUSE_PORT": str(installation.clickhouse_ports["tcp_port"]),
        },
    }
    folder = str(installation.folder / "release")
    return run(
        job,
        installation.variables(job, RELEASE_DIR=folder, WAIT_SECONDS="10", **addresses[name]),
        installation.clients,
    )


def migrate(installation: Installation) -> tuple[int, str]:
    """Run the container of the migration Job that migrates."""
    job = container("Job", MIGRATIONS, "migrate")
    return installation.run(job, job["args"])


def query(installation: Installation, statement: str) -> str:
    """The result of a statement of ClickHouse."""
    job = container("Job", MIGRATIONS, "migrate")
    variables = installation.variables(job)
    finished = subprocess.run(
        [
            *(installation.clients / "clickhouse-client", "--port", str(installation.clickhouse_ports["tcp_port"])),
            *("--host", "127.0.0.1", "--query", statement),
        ],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()


def state(installation: Installation) -> tuple[str, str, str]:
    """What the migrations made in both databases."""
    return (
        installation.postgres.query("SELECT migration_name, checksum, finished_at FROM _prisma_migrations ORDER BY 1"),
        query(installation, "SELECT * FROM schema_migrations ORDER BY sequence"),
        query(installation, "SELECT create_table_query FROM system.tables WHERE database = 'default' ORDER BY name"),
    )


def test_a_second_migration_changes_nothing(installation: Installation) -> None:
    before = state(installation)
    for name, expected in (
        ("postgres", "Postgres: 4 migrations, all finished"),
        ("clickhouse", "at migration 2 of 2, clean"),
    ):
        result = check(installation, name)
        assert (result.code, expected in result.output) == (0, True), result.output
    code, output = migrate(installation)
    assert code == 0, output
    assert state(installation) == before


def check_upgrade(installation: Installation, folder: Path) -> Run:
    """Run the container of the migration Job that looks for releases that are left out."""
    job = container("Job", MIGRATIONS, "upgrade")
    return run(job, installation.variables(job, RELEASE_DIR=str(folder)), installation.clients)


def test_version_4_is_refused_until_version_3_has_done_its_work(installation: Installation, tmp_path: Path) -> None:
    """As the databases themselves state it."""
    (tmp_path / "clickhouse").write_text("".join(f"{number}\n" for number in range(1, 47)))
    record = "INSERT INTO schema_migrations (version, dirty, sequence) SELECT {}, 0, toUnixTimestamp64Nano(now64(9))"
    query(installation, "CREATE TABLE observations (n UInt64) ENGINE = MergeTree ORDER BY n")
    try:
        done = check_upgrade(installation, tmp_path)
        assert (done.code, done.output) == (0, "no release is left out\n"), "there is nothing to lose"
        query(installation, "INSERT INTO observations SELECT 1")
        query(installation, record.format(36))
        done = check_upgrade(installation, tmp_path)
        assert done.code == 1
        assert "ClickHouse has the schema of an older release of version 3 (migration 36 of 37)" in done.output
        assert "1. pulumi config set langfuse:version 3.225.9, or a newer 3.x, and pulumi up\n" in done.output
        query(installation, record.format(37))
        installation.postgres.query(
            "CREATE TABLE background_migrations "
            "(name text, finished_at timestamp, failed_at timestamp, failed_reason text)"
        )
        assert check_upgrade(installation, tmp_path).code == 0
        installation.postgres.query("INSERT INTO background_migrations VALUES ('20250417_x', NULL, now(), 'no memory')")
        done = check_upgrade(installation, tmp_path)
        assert (done.code, "20250417_x (failed: no memory)" in done.output) == (1, True), done.output
        installation.postgres.query("UPDATE background_migrations SET finished_at = now()")
        assert check_upgrade(installation, tmp_path).code == 0
    finally:
        query(installation, "DROP TABLE observations")
        query(installation, record.format(2))
        installation.postgres.query("DROP TABLE IF EXISTS background_migrations")


def before_upgrade(installation: Installation, folder: Path, **replaced: str) -> Run:
    """Run the pod that takes a set before a migration."""
    password, port = secrets()["langfuse-postgres", "password"], installation.postgres.port
    url = f"postgresql://langfuse:{password}@127.0.0.1:{port}/langfuse"
    addresses = {
        "STORE_URL": installation.object_store.url,
        "DIRECT_URL": url,
        "DATABASE_URL": url,
        "WAIT_SECONDS": "10",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": str(installation.clickhouse_ports["tcp_port"]),
        "CLICKHOUSE_URL": f"http://127.0.0.1:{installation.clickhouse_ports['http_port']}",
        "SHARED_DIR": str(probe_application.APP / "packages/shared"),
    }
    clients = {
        "rclone": installation.object_store.clients,
        "postgres": installation.clients,
        "clickhouse": installation.clients,
    }
    pod = Pod(kind="Job", cron_job="langfuse-backup-before-upgrade", clients=clients, variables=addresses)
    return pod.run(folder, **replaced)


def test_a_set_is_taken_before_a_release_migrates_and_never_else(
    installation: Installation, web: str, tmp_path: Path
) -> None:
    store, name = installation.object_store, "20261101120000_media_and_exports"
    rows = "SELECT * FROM _prisma_migrations ORDER BY started_at"
    update = "UPDATE _prisma_migrations SET {} WHERE migration_name = '{}'"
    earlier = {*manifests(store, "sets/"), *manifests(store, "clickhouse/")}

    def taken(folder: str) -> dict[str, dict[str, Any]]:
        found = manifests(store, folder)
        return {name: manifest for name, manifest in found.items() if name not in earlier}

    def none_taken(folder: str, why: str) -> None:
        done = before_upgrade(installation, tmp_path / folder)
        assert (done.code, why in done.output) == (0, True), done.output
        assert taken("sets/") == taken("clickhouse/") == {}

    before = installation.postgres.query(rows)
    none_taken("same", "this release changes no schema, so the former one can be set again")
    installation.postgres.query(update.format("finished_at = NULL", name))
    none_taken("unfinished", "a migration is half applied")
    installation.postgres.query(update.format("finished_at = now(), migration_name = '2027_newer'", name))
    none_taken("newer", "a schema is newer than this release")

    installation.postgres.query(update.format("rolled_back_at = now()", "2027_newer"))
    failed = before_upgrade(installation, tmp_path / "failed", PGPORT="1", WAIT_SECONDS="0", WEB_URL=web)
    assert failed.code == 1
    assert "backup-postgres: Postgres at 127.0.0.1:1 did not answer" in failed.output
    last = failed.output.strip().splitlines()[-1]
    assert last.startswith("unless-skipped: no set could be taken before the upgrade, so nothing was migrated"), last
    assert "langfuse:backups.beforeUpgrade" in last
    assert taken("sets/") == {}

    done = before_upgrade(installation, tmp_path / "taken", WEB_URL=web, LANGFUSE_VERSION="4.99.0")
    assert done.code == 0, done.output
    assert "1 migrations of Postgres and 0 of ClickHouse follow" in done.output
    (manifest,) = taken("sets/").values()
    running = ask(f"{web}/api/public/health").body["version"]
    assert (manifest["reason"], manifest["to"], manifest["langfuse"]) == ("before-upgrade", "4.99.0", running)
    newest = max(taken("clickhouse/").values(), key=lambda one: one["finished"])
    assert manifest["clickhouse"]["id"] == newest["id"]
    assert manifest["clickhouse"]["rows"]["default.schema_migrations"] > 0

    restored = f"rolled_back_at = NULL, migration_name = '{name}'"
    installation.postgres.query(update.format(restored, "2027_newer"))
    assert len(installation.postgres.query(rows).splitlines()) == len(before.splitlines())


def test_the_records_are_those_of_prisma(installation: Installation) -> None:
    folder = probe_application.APP / "packages/shared/prisma/migrations"
    rows = installation.postgres.query(
        "SELECT migration_name, checksum, applied_steps_count, logs IS NULL, rolled_back_at IS NULL "
        "FROM _prisma_migrations ORDER BY 1"
    ).splitlines()
    hashes = {path.name: hashlib.sha256((path / "migration.sql").read_bytes()).hexdigest() for path in folder.iterdir()}
    assert rows == [f"{name}|{hashes[name]}|1|t|t" for name in sorted(hashes)]


def test_a_dirty_clickhouse_is_refused_and_repaired_as_the_check_says(installation: Installation) -> None:
    record = "INSERT INTO schema_migrations (version, dirty, sequence) SELECT 2, {}, toUnixTimestamp64Nano(now64(9))"
    query(installation, record.format(1))
    try:
        result = check(installation, "clickhouse")
        assert (result.code, "migration 2 started but did not finish" in result.output) == (1, True), result.output
        code, output = migrate(installation)
        assert (code, "Dirty database version 2. Fix and force version." in output) == (1, True), output
    finally:
        query(installation, record.format(0))
    assert check(installation, "clickhouse").code == 0


def test_an_unfinished_migration_of_postgres_is_refused(installation: Installation) -> None:
    name = "20261101120000_media_and_exports"
    update = "UPDATE _prisma_migrations SET finished_at = {} WHERE migration_name = '{}'"
    installation.postgres.query(update.format("NULL", name))
    try:
        result = check(installation, "postgres")
        assert (result.code, f"migration {name} started but did not finish" in result.output) == (1, True)
        code, output = migrate(installation)
        assert (code, f"P3009: found failed migrations, new ones will not be applied: {name}" in output) == (1, True)
    finally:
        installation.postgres.query(update.format("now()", name))


def test_a_second_first_start_changes_nothing_and_servers_need_their_variables(installation: Installation) -> None:
    tables = ("probe_organizations", "probe_projects", "api_keys", "probe_users", "probe_memberships")
    before = [installation.postgres.query(f"SELECT * FROM {table}") for table in tables]  # noqa: S608  # ours
    assert all(len(rows.splitlines()) == 1 for rows in before)
    first = container("Job", "langfuse-first-start", "first-start")
    script = str(SCRIPTS[Path(first["args"][1]).name])
    code, output = installation.run(first, ["/bin/sh", script], PORT=str(free_port()))
    assert code == 0, output
    assert [installation.postgres.query(f"SELECT * FROM {table}") for table in tables] == before  # noqa: S608
    code, output = installation.run(first, ["/bin/sh", script], PORT=str(free_port()), SALT="")
    assert (code, "SALT is required" in output) == (1, True), output


def test_clients_get_key_pairs_of_their_own_and_a_secret_that_was_changed_is_found(installation: Installation) -> None:
    """Each container twice: a second run changes nothing, as after an update with another release."""
    job = stack_with_clients().one("Job", "langfuse-clients")
    projects = {"gateway": "langfuse-dev-project", "search": "search"}
    for _ in range(2):
        for name, project in projects.items():
            code, output = start_client(installation, job, name)
            assert (code, f"clients: {name}: its keys are those of project {project}" in output) == (0, True), output
    rows = installation.postgres.query("SELECT project_id FROM api_keys ORDER BY 1").splitlines()
    assert rows == ["langfuse-dev-project", "langfuse-dev-project", "search"]
    assert installation.postgres.query("SELECT name FROM probe_projects WHERE id = 'search'") == "Search"
    other = f"sk-lf-{uuid4()}"
    code, output = start_client(installation, job, "search", LANGFUSE_INIT_PROJECT_SECRET_KEY=other)
    assert (code, "clients: search: Langfuse refuses its keys" in output) == (1, True), output
    assert other not in output
    # Redis keeps the project of a key for a while, so a pair does not move at once. Another project gets another pair.
    code, output = start_client(installation, job, "search", LANGFUSE_INIT_PROJECT_ID="langfuse-dev-project")
    assert (code, "Langfuse answers search, not project langfuse-dev-project" in output) == (1, True), output


def test_a_trace_of_a_client_is_read_back_and_its_revoked_key_pair_is_refused_at_once(
    installation: Installation, web: str, worker: str
) -> None:
    """With a key that Redis remembers."""
    recording = stack_with_clients()
    assert start_client(installation, recording.one("Job", "langfuse-clients"), "gateway")[0] == 0
    public_key, secret_key = (secrets()["langfuse-client-gateway", f"{part}-key"] for part in ("public", "secret"))
    target = sender.Target(url=web, public_key=public_key, secret_key=secret_key)
    where = Place(
        client="gateway", namespace=None, stack_namespace="", project="langfuse-dev-project", phase="events_only"
    )
    for kind in ("sdk", "dify"):
        found = hops.results(sender.send(target, kind, uuid4().hex), where)
        assert [one for one in found if one.outcome != "ok"] == []
        assert found[-1].hop == "clean up"

    one = pods.container(recording.one("CronJob", "langfuse-revoke-key"), "revoke")
    addresses = {"DIRECT_URL": installation.variables(container("Job", MIGRATIONS, "migrate"))["DATABASE_URL"]}
    addresses |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(installation.redis_port)}
    variables = {
        **environment(one, PUBLIC_KEY=public_key, **addresses),
        "NODE_PATH": str(probe_application.node_modules()),
    }
    for deleted in (1, 0):
        done = run(one, variables, installation.clients)
        assert done.code == 0, done.output
        assert json.loads(done.output.splitlines()[-1])["deleted"] == deleted
        assert not done.leaks([secret_key, variables["SALT"], variables["DATABASE_PASSWORD"]])
        assert ask(f"{web}/api/public/projects", keys=f"{public_key}:{secret_key}").status == 401
    refused = hops.results(sender.send(target, "sdk", uuid4().hex), where)
    assert (refused[-1].hop, refused[-1].outcome) == ("key", "failed")
    injected = run(one, {**variables, "PUBLIC_KEY": "pk-lf-' OR 'a' = 'a"}, installation.clients)
    assert (injected.code, "is not a public key" in injected.output) == (1, True)
    assert ask(f"{web}/api/public/projects", keys=installation.keys).status == 200


def test_the_smoke_tests_file_goes_up_and_down_twice(installation: Installation, web: str) -> None:
    public_key, _, secret_key = installation.keys.partition(":")
    files = Files(sender.Target(url=web, public_key=public_key, secret_key=secret_key))
    for _ in range(2):
        files.round_trip(uuid4().hex)
    with pytest.raises(MediaError, match="answers 401"):
        Files(sender.Target(url=web, public_key=public_key, secret_key="sk-lf-other")).round_trip(uuid4().hex)  # noqa: S106


def start_client(installation: Installation, job: Registration, name: str, **replaced: str) -> tuple[int, str]:
    """Run the container of a client."""
    one = pods.container(job, f"client-{name}")
    script = str(SCRIPTS[Path(one["args"][1]).name])
    return installation.run(one, ["/bin/sh", script], PORT=str(free_port()), **replaced)


def send(installation: Installation, url: str, *options: str) -> "subprocess.Popen[str]":
    """Start the load generator."""
    public, _, secret = installation.keys.partition(":")
    return subprocess.Popen(
        [program("node", package="nodejs"), probe_application.APP / "load/load.js", "send", "--url", url, *options],
        env={"PATH": os.environ["PATH"], "LANGFUSE_PUBLIC_KEY": public, "LANGFUSE_SECRET_KEY": secret},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_event_is_lost_when_a_worker_is_killed(installation: Installation, web: str) -> None:
    apis = ("ingestion", "otel")
    loads = [
        send(installation, web, "--seconds", "2", "--pause", "5", "--read-back", "30", "--api", api) for api in apis
    ]
    with installation.worker() as (_, process):
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
    with installation.worker():
        summaries = [json.loads(load.communicate(timeout=LIMIT_SECONDS)[0]) for load in loads]
    for summary, status in zip(summaries, (207, 200), strict=True):
        accepted = summary["accepted"]
        assert accepted > 10
        assert (summary["lost"], summary["failed"], summary["readable"]) == (0, 0, accepted), summary
        assert set(summary["statuses"]) == {f"fresh {status}", f"kept {status}"}
        assert summary["rows"] >= accepted  # a job that is run again may insert its row twice


@pytest.mark.usefixtures("worker")
def test_an_event_comes_out_as_it_went_in_and_once(installation: Installation, web: str) -> None:
    event = {"timestamp": "2026-11-26T10:00:00.123Z", "type": "trace-create"}
    trace = {**event, "id": "event-1", "body": {"id": "trace/one", "name": "first", "input": "ü"}}
    span = {**event, "id": "event-2", "type": "span-create", "body": {"id": "span", "traceId": "trace/one"}}
    wrong = {**event, "id": "event-3", "type": "other", "body": {"id": "x"}}
    body = {"batch": [trace, span, wrong]}
    for _ in range(2):
        answer = ask(f"{web}/api/public/ingestion", method="POST", body=body, keys=installation.keys)
        assert (answer.status, [item["id"] for item in answer.body["successes"]]) == (207, ["event-1", "event-2"])
        assert [(item["id"], item["status"]) for item in answer.body["errors"]] == [("event-3", 400)]
        assert answer.headers["x-probe-pod"] == answer.body["pod"]
    path = f"{web}/api/public/traces/trace%2Fone"

    def is_whole() -> bool:
        """Each event is a row of its own, and they may come one after the other."""
        shown = ask(path, keys=installation.keys).body
        return "body" in shown and len(shown["observations"]) == 1

    until(is_whole, "the trace is missing")
    found = ask(path, keys=installation.keys).body
    assert (found["id"], found["body"]) == ("trace/one", trace["body"])
    assert found["timestamp"] == "2026-11-26 10:00:00.123"
    public = installation.keys.partition(":")[0]
    assert [ask(path, keys=keys).status for keys in ("", f"{public}:wrong", "other:x")] == [401] * 3
    assert ask(f"{web}/api/public/traces/none", keys=installation.keys).status == 404
    objects = installation.object_store.client().list_objects_v2(Bucket="langfuse-dev-events")["Contents"]
    assert any(item["Key"].endswith("/trace/trace%2Fone/event-1.json") for item in objects)


@pytest.mark.usefixtures("worker")
def test_events_that_clickhouse_lost_are_queued_again(installation: Installation, web: str, tmp_path: Path) -> None:
    body = {
        "batch": [
            {"timestamp": f"2026-11-26T10:00:0{second}Z", "type": "trace-create", "id": f"v{second}", "body": trace}
            for second, trace in enumerate(({"id": "kept", "name": "first"}, {"id": "kept", "name": "last"}))
        ]
    }
    assert ask(f"{web}/api/public/ingestion", method="POST", body=body, keys=installation.keys).status == 207
    assert send(installation, web, "--api", "otel", "--seconds", "1", "--read-back", "30").wait(LIMIT_SECONDS) == 0
    count = "SELECT uniqExact(kind, id) FROM probe_events"
    name = "SELECT argMax(name, event_ts) FROM probe_events WHERE id = 'kept'"
    until(lambda: query(installation, name) == "last", "the trace is missing")
    before = query(installation, count)
    query(installation, "TRUNCATE TABLE probe_events")
    key = installation.variables(container("Deployment", "langfuse-web", "web"))["ADMIN_API_KEY"]
    variables = {
        "STORE_URL": installation.object_store.url,
        "WEB_URL": web,
        "ADMIN_API_KEY": key,
        "RUN": "lost",
        "DRY_RUN": "false",
        "SINCE": "2026-01-01T00:00:00Z",
    }
    done = Pod(cron_job="langfuse-replay-events", clients={}, variables=variables).run(tmp_path)
    assert done.code == 0, done.output
    until(lambda: query(installation, count) == before, "events are missing")
    assert query(installation, name) == "last"


def test_files_are_uploaded_and_downloaded_by_links(installation: Installation, web: str) -> None:
    content = b"a picture"
    sha256 = b64encode(hashlib.sha256(content).digest()).decode()
    body = {"contentType": "image/png", "contentLength": len(content), "sha256Hash": sha256, "traceId": "t"}
    made = ask(f"{web}/api/public/media", method="POST", body=body, keys=installation.keys)
    assert made.status == 201
    link = f"{web}/api/public/media/{made.body['mediaId']}"
    assert ask(link, keys=installation.keys).status == 404
    headers = {"Content-Type": "image/png", "x-amz-checksum-sha256": sha256}
    upload = urllib.request.Request(made.body["uploadUrl"], content, headers, method="PUT")  # noqa: S310  # MinIO
    with urllib.request.urlopen(upload, timeout=10) as answer:  # noqa: S310  # see above
        assert answer.status == 200
    assert ask(link, method="PATCH", body={"uploadHttpStatus": 200}, keys=installation.keys).status == 200
    with urllib.request.urlopen(ask(link, keys=installation.keys).body["url"], timeout=10) as answer:  # noqa: S310
        assert answer.read() == content


def test_the_worker_writes_an_export_that_a_link_downloads(installation: Installation, web: str, worker: str) -> None:
    for path in ("/api/health", "/api/health?failIfQueueConsumptionStuck=true&failIfEventPropagationStuck=true"):
        assert ask(worker + path).body["status"] == "ok"
    made = ask(f"{web}/api/public/probe/exports", method="POST", body={}, keys=installation.keys)
    link = f"{web}/api/public/probe/exports/{made.body['id']}"
    until(lambda: ask(link, keys=installation.keys).body["url"] is not None, "there is no export")
    found = ask(link, keys=installation.keys).body
    assert found["url"].startswith("https://langfuse.example.com/langfuse-dev-exports/")
    key = f"langfuse-dev-project/{made.body['id']}.jsonl"
    stored = installation.object_store.client().get_object(Bucket="langfuse-dev-exports", Key=key)["Body"].read()
    assert len(stored.splitlines()) == found["rows"] > 0


def test_web_fails_its_health_check_without_postgres_and_drains_after_sigterm(installation: Installation) -> None:
    nowhere = f"postgresql://langfuse:x@127.0.0.1:{free_port()}/langfuse"
    with installation.web(PROBE_VERSION="4.82.0", DATABASE_URL=nowhere) as (url, process):
        assert ask(f"{url}/api/public/health").body["version"] == "4.82.0"
        assert ask(f"{url}/api/public/health?failIfDatabaseUnavailable=true").status == 503
        kept = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
        kept.request("GET", "/api/public/ready")
        before = kept.getresponse()
        assert (before.status, before.getheader("connection"), bool(before.read())) == (200, "keep-alive", True)
        process.terminate()
        until(lambda: ask(f"{url}/api/public/ready").status == 500, "web is still ready")
        kept.request("GET", "/api/public/health")
        after = kept.getresponse()
        assert (after.status, after.getheader("connection")) == (200, "close")
        assert process.wait(10) == 0


def test_web_starts_without_clickhouse_and_postgres(installation: Installation) -> None:
    """ClickHouse accepts connections and never answers. Langfuse waits ten seconds for its version and continues."""
    nowhere = f"postgresql://langfuse:x@127.0.0.1:{free_port()}/langfuse"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with installation.web(DATABASE_URL=nowhere, CLICKHOUSE_URL=silent_url) as (url, _):
            assert ask(f"{url}/api/public/ready").status == 200
