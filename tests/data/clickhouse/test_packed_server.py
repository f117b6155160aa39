"""A packed server with its Keeper: HTTP as clients of ClickHouse use it, users and their grants, and restarts."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from sandbox.images.clickhouse import PROGRAMS
from tests.data.clickhouse.packed import ClientFailedError, Pod, installation
from tests.data.containers import install_client, run
from tests.data.object_store.minio import Store
from tests.data.rendered import container, environment, secrets
from tests.waiting import eventually

BUCKET = "langfuse-dev-backups"
LANGFUSE = ("langfuse", "password of langfuse")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, Pod]]:
    with installation(tmp_path_factory.mktemp("pods"), replicas=1, keepers=1) as ((server,), (keeper,)):
        server.query(
            "CREATE TABLE traces ON CLUSTER default (id String, n UInt64) ENGINE = ReplicatedMergeTree ORDER BY n"
        )
        yield server, keeper


@pytest.fixture
def server(pods: tuple[Pod, Pod]) -> Pod:
    return pods[0]


def post(
    server: Pod, body: str | bytes, headers: Mapping[str, str] | None = None, **arguments: str
) -> requests.Response:
    return requests.post(
        f"http://{server.host}:8123/", params=arguments, data=body, headers=headers, auth=LANGFUSE, timeout=30
    )


def test_ping_needs_no_user(server: Pod) -> None:
    answer = requests.get(f"http://{server.host}:8123/ping", timeout=5)
    assert (answer.status_code, answer.text) == (200, "Ok.\n")


def test_a_query_has_parameters_settings_and_a_format(server: Pod) -> None:
    answer = post(
        server,
        "SELECT {text:String} AS text, {list:Array(String)} AS list, getSetting('max_threads') AS threads FORMAT JSON",
        param_text="a\\tb",
        param_list="['x', 'y']",
        max_threads="1",
        query_id="mine",
    )
    assert answer.json()["data"] == [{"text": "a\tb", "list": ["x", "y"], "threads": 1}]
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Format"] == "JSON"
    assert post(server, "SELECT getSetting('max_threads') > 0", default_format="CSV").text == "1\n"


def test_rows_are_inserted_from_the_body(server: Pod) -> None:
    insert = {"query": "INSERT INTO traces FORMAT JSONEachRow", "async_insert": "1", "wait_for_async_insert": "1"}
    rows = "".join(json.dumps({"id": f"é{number}", "n": number}) + "\n" for number in range(100))
    answer = post(server, gzip.compress(rows.encode()), {"Content-Encoding": "gzip"}, **insert)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "100"

    def chunks() -> Iterator[bytes]:
        yield b"\x03\xff\xfe\xfd"
        yield (1000).to_bytes(8, "little")

    chunked = requests.post(
        f"http://{server.host}:8123/",
        params={"query": "INSERT INTO traces FORMAT RowBinary"},
        data=chunks(),
        auth=LANGFUSE,
        timeout=30,
    )
    assert chunked.status_code == 200, chunked.text
    assert server.query("SELECT count(), countIf(id = 'é7'), hex(anyIf(id, n = 1000)) FROM traces") == "101\t1\tFFFEFD"


def test_answers_can_be_compressed(server: Pod) -> None:
    answer = post(server, "SELECT repeat('a', 10000)", enable_http_compression="1")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) < 1000
    assert answer.text == "a" * 10000 + "\n"


@pytest.mark.parametrize(
    ("statement", "arguments", "status", "code"),
    [
        ("SELEC 1", {}, 400, "62"),
        ("SELECT 1; SELECT 2", {}, 400, "62"),
        ("SELECT * FROM nothing", {}, 404, "60"),
        ("SELECT 1", {"nothing": "1"}, 404, "115"),
        ("INSERT INTO traces FORMAT JSONEachRow {]", {}, 500, "26"),
        ("DROP DATABASE default", {}, 500, "497"),
        ("SELECT 1", {"session_id": "x"}, 501, "48"),
    ],
)
def test_errors_have_the_codes_of_clickhouse(
    server: Pod, statement: str, arguments: Mapping[str, str], status: int, code: str
) -> None:
    answer = post(server, statement, None, **arguments)
    assert (answer.headers.get("X-ClickHouse-Exception-Code"), answer.status_code) == (code, status), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::")


def test_each_way_to_log_in(server: Pod) -> None:
    url, query = f"http://{server.host}:8123/", {"query": "SELECT 1"}
    headers = {"X-ClickHouse-User": LANGFUSE[0], "X-ClickHouse-Key": LANGFUSE[1]}
    assert requests.get(url, params=query, headers=headers, timeout=5).text == "1\n"
    arguments = {"user": LANGFUSE[0], "password": LANGFUSE[1]}
    assert requests.get(url, params={**query, **arguments}, timeout=5).text == "1\n"
    for wrong in (("langfuse", "wrong"), ("default", ""), ("administrator", "")):
        answer = requests.get(url, params=query, auth=wrong, timeout=5)
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_get_only_reads(server: Pod) -> None:
    answer = requests.get(
        f"http://{server.host}:8123/", params={"query": "TRUNCATE TABLE traces"}, auth=LANGFUSE, timeout=5
    )
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.parametrize(
    ("user", "statement", "needed"),
    [
        ("backup", "SELECT id FROM traces", "SELECT(id) ON default.traces"),
        ("backup", "INSERT INTO traces VALUES ('x', 1)", "INSERT(id, n) ON default.traces"),
        ("backup", "OPTIMIZE TABLE traces", "OPTIMIZE ON default.traces"),
        ("restore", "SELECT id FROM traces", "SELECT(id) ON default.traces"),
        ("restore", "TRUNCATE TABLE traces", "TRUNCATE ON default.traces"),
        ("langfuse", "BACKUP DATABASE default TO S3(backups, 'x')", "BACKUP ON default.*"),
        ("langfuse", "CREATE USER x", "CREATE USER ON x"),
    ],
)
def test_users_have_their_grants_only(server: Pod, user: str, statement: str, needed: str) -> None:
    with pytest.raises(ClientFailedError, match=f"DB::Exception: {user}: Not enough privileges") as raised:
        server.query(statement, user=user)
    assert needed in str(raised.value)
    assert raised.value.code == 497 % 256


def test_each_user_has_the_settings_of_its_profile(server: Pod) -> None:
    statement = (
        "SELECT getSetting('compatibility'), getSetting('enable_lightweight_update'), getSetting('s3_retry_attempts')"
    )
    assert server.query(statement).startswith("26.4\ttrue\t")
    assert server.query(statement, user="backup").endswith("\t8")


def test_the_client_runs_several_statements_and_has_their_exit_codes(server: Pod) -> None:
    assert server.query("SELECT 1; SELECT 'a\\tb' FORMAT TSVRaw", max_threads="1") == "1\na\tb"
    result = server.client("--query", "SELECT * FROM nothing")
    assert result.returncode == 60
    assert "Code: 60. DB::Exception: Received from" in result.stderr
    assert server.client("--query", "SELECT 1", password="wrong").returncode == 516 % 256  # noqa: S106  # not one
    refused = server.client("--query", "SELECT 1", "--port", "1", "--connect_timeout", "3")
    assert (refused.returncode, "NETWORK_ERROR" in refused.stderr) == (210, True)


def test_system_tables_show_the_replica_and_keeper(server: Pod) -> None:
    replicas = "SELECT table, is_readonly, absolute_delay, total_replicas, replica_name FROM system.replicas"
    assert server.query(replicas) == f"traces\t0\t0\t1\t{server.host}"
    assert server.query("SELECT count() FROM clusterAllReplicas('default', 'system.replicas')") == "1"
    in_keeper = "SELECT max(numChildren) FROM system.zookeeper WHERE path = '/clickhouse' AND name = 'tables'"
    eventually(lambda: server.query(in_keeper) == "1", "the table is registered", within=10)


def test_metrics_and_keepers_probes_answer(pods: tuple[Pod, Pod]) -> None:
    server, keeper = pods
    assert "ClickHouseMetrics_Query" in requests.get(f"http://{server.host}:9363/metrics", timeout=5).text
    ready = requests.get(f"http://{keeper.host}:9182/ready", timeout=5)
    assert (ready.status_code, ready.json()["details"]["role"]) == (200, "standalone")


def test_rows_survive_a_kill_and_a_stop(server: Pod) -> None:
    server.query("INSERT INTO traces VALUES ('kept', 7000)")
    server.kill()
    server.start()
    assert server.query("SELECT count() FROM traces WHERE n = 7000") == "1"
    process = server.process
    server.stop()
    assert process is not None
    assert process.returncode == 0
    server.start()
    assert server.query("SELECT count() FROM traces WHERE n = 7000") == "1"
    assert server.query("SELECT is_readonly FROM system.replicas") == "0"


def test_without_keeper_tables_are_read_only(pods: tuple[Pod, Pod]) -> None:
    server, keeper = pods
    keeper.stop()
    try:
        eventually(lambda: server.query("SELECT is_readonly FROM system.replicas") == "1", "it is read-only", within=10)
        assert server.query("SELECT count() >= 0 FROM traces") == "1"
        for statement, code in (
            ("INSERT INTO traces VALUES ('x', 1)", 242),
            ("DROP TABLE traces ON CLUSTER default", 999),
            ("SELECT count() FROM system.zookeeper WHERE path = '/'", 86),
        ):
            with pytest.raises(ClientFailedError) as raised:
                server.query(statement)
            assert raised.value.code == code % 256
    finally:
        keeper.start()
    eventually(lambda: server.query("SELECT is_readonly FROM system.replicas") == "0", "it is writable", within=10)


def test_the_backup_job_writes_a_backup_of_tables_that_have_caught_up(store: Store, tmp_path: Path) -> None:
    keys = {
        f"BACKUPS_{name}": secrets()["langfuse-object-store-backups", key]
        for name, key in (("ACCESS_KEY_ID", "access-key-id"), ("SECRET_ACCESS_KEY", "secret-access-key"))
    }
    url = {"BACKUPS_URL": f"{store.url}/{BUCKET}/"}
    script = tmp_path / "clickhouse-client"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAMS / "client.py"} "$@"\n')
    script.chmod(0o755)
    install_client(tmp_path / "clients", "clickhouse-client", script)
    job = container("CronJob", "langfuse-backup-clickhouse", "write-backup")
    with installation(tmp_path / "pods", replicas=1, keepers=1, variables=keys | url) as ((server,), _):
        server.query("CREATE TABLE kept ON CLUSTER default (n UInt64) ENGINE = ReplicatedMergeTree ORDER BY n")
        server.query("INSERT INTO kept SELECT number FROM numbers(10)")
        (tmp_path / "id").write_text("one")
        (tmp_path / "base").write_text("")
        given = environment(job, CLICKHOUSE_HOST=server.host, WORK_DIR=str(tmp_path))
        result = run(job, given | {"CLICKHOUSE_PASSWORD": "password of backup"}, tmp_path / "clients")
    assert result.code == 0, result.output
    assert (tmp_path / "behind").read_text() == "", result.output
    names = [item["Key"] for item in store.client().list_objects_v2(Bucket=BUCKET, Prefix="clickhouse/one")["Contents"]]
    assert "clickhouse/one/.backup" in names
    assert "clickhouse/one/metadata/default/kept.sql" in names
