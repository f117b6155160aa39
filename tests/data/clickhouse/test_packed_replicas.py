"""Three packed servers with three Keepers: every replica has every row, also after an outage of one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from components.stores.clickhouse.managed import SCRIPTS
from sandbox.images.clickhouse import PROGRAMS
from tests.data.clickhouse.packed import ClientFailedError, Pod, installation
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

COUNTS = "SELECT (SELECT count() FROM traces), (SELECT sum(number) FROM counts)"
SCHEMA = "SELECT name, engine, uuid FROM system.tables WHERE database = 'default' ORDER BY name"
DEFINITIONS = (
    "CREATE TABLE traces ON CLUSTER default (id UInt64) ENGINE = ReplicatedMergeTree ORDER BY id",
    "CREATE TABLE counts ON CLUSTER default (day Date, number UInt64) ENGINE = ReplicatedSummingMergeTree ORDER BY day",
    "CREATE MATERIALIZED VIEW counter ON CLUSTER default TO counts AS"
    " SELECT today() AS day, count() AS number FROM traces",
    "CREATE TABLE schema_migrations ON CLUSTER default (version Int64) ENGINE = ReplicatedMergeTree ORDER BY version",
)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sequence[Pod], Sequence[Pod]]]:
    with installation(tmp_path_factory.mktemp("pods"), replicas=3, keepers=3) as (servers, keepers):
        for definition in DEFINITIONS:
            servers[0].query(definition)
        yield servers, keepers


@pytest.fixture
def servers(pods: tuple[Sequence[Pod], Sequence[Pod]]) -> Sequence[Pod]:
    return pods[0]


def insert(server: Pod, *numbers: int) -> None:
    values = ", ".join(f"({number})" for number in numbers)
    server.query(f"INSERT INTO traces (id) VALUES {values}")  # noqa: S608  # numbers


def agree(servers: Sequence[Pod]) -> bool:
    return len({server.query(COUNTS) for server in servers}) == 1


def probe(server: Pod, servers: Sequence[Pod], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the startup probe of a pod."""
    client = folder / "clickhouse-client"
    client.write_text(f'#!/bin/sh\nexec python3 -IS {PROGRAMS / "client.py"} "$@"\n')
    client.chmod(0o755)
    script = folder / "probe.sh"
    text = (SCRIPTS / "check-clickhouse-replica.sh").read_text()
    # In a pod, the name of a replica is the first part of its host name, and 127.0.0.1 is the pod.
    text = text.replace("${other%%.*}", "$other").replace("$POD_NAME.", "$POD_NAME").replace("127.0.0.1", server.host)
    script.write_text(text)
    environment = {
        "POD_NAME": server.host,
        "REPLICAS": " ".join(each.host for each in servers),
        "CLICKHOUSE_PORT": "9000",
        "CLICKHOUSE_USER": "langfuse",
        "CLICKHOUSE_PASSWORD": "password of langfuse",
        "CLICKHOUSE_DATABASE": "default",
        "MAX_DELAY_SECONDS": "30",
        "CATCH_UP_SECONDS": "1800",
        "READ_ONLY_SECONDS": "300",
        "PATH": f"{folder}:/usr/bin:/bin",
    }
    return subprocess.run(["/bin/sh", script], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_definitions_and_rows_reach_every_replica(servers: Sequence[Pod], tmp_path: Path) -> None:
    assert {server.query(SCHEMA).count("\n") for server in servers} == {3}
    assert len({server.query("SELECT uuid FROM system.tables WHERE name = 'traces'") for server in servers}) == 1
    insert(servers[1], 1, 2, 3)
    eventually(lambda: all(server.query(COUNTS) == "3\t3" for server in servers), "the rows arrive", within=10)
    servers[2].query("ALTER TABLE traces DELETE WHERE id = 2 SETTINGS mutations_sync = 2")
    eventually(lambda: all(server.query(COUNTS) == "2\t3" for server in servers), "the row is gone", within=10)
    assert probe(servers[0], servers, tmp_path).returncode == 0


def test_repeated_blocks_are_dropped(servers: Sequence[Pod]) -> None:
    before = servers[0].query("SELECT count() FROM traces")
    for _ in range(2):
        insert(servers[0], 100)
    eventually(lambda: agree(servers), "the replicas agree", within=10)
    assert servers[2].query("SELECT count() FROM traces") == str(int(before) + 1)


def test_a_replica_that_was_away_gets_what_it_missed(servers: Sequence[Pod]) -> None:
    servers[2].kill()
    for number in range(200, 220):
        insert(servers[number % 2], number)
    add_column = "ALTER TABLE traces ON CLUSTER default ADD COLUMN name String"
    with pytest.raises(ClientFailedError, match="Distributed DDL task is not finished on 1 of 3 hosts"):
        servers[0].query(add_column, distributed_ddl_task_timeout="2")
    servers[2].start()
    eventually(lambda: agree(servers), "the replicas agree", within=20)
    assert servers[2].query("SELECT count() FROM traces WHERE id >= 200 AND name = ''") == "20"
    eventually(lambda: all(not log_of(server) for server in servers), "no log is left", within=20)


def test_a_replica_that_lost_its_volume_copies_the_tables(servers: Sequence[Pod], tmp_path: Path) -> None:
    lost = servers[1]
    insert(lost, 300)
    eventually(lambda: agree(servers), "the replicas agree", within=10)
    lost.kill()
    lost.lose_volume()
    insert(servers[0], 301)
    lost.start()
    insert(servers[2], 302)

    results = []

    def passes() -> bool:
        results.append(probe(lost, servers, tmp_path))
        return results[-1].returncode == 0

    eventually(passes, "the probe succeeds", within=60)
    assert lost.query(SCHEMA) == servers[0].query(SCHEMA)
    insert(servers[0], 303)
    insert(lost, 304)
    eventually(lambda: agree(servers), "the replicas agree", within=20)
    assert lost.query("SELECT count() FROM traces WHERE id >= 300") == "5"


def test_a_majority_of_keepers_is_enough(pods: tuple[Sequence[Pod], Sequence[Pod]]) -> None:
    servers, keepers = pods
    keepers[0].kill()

    def roles() -> list[str]:
        answers = [requests.get(f"http://{each.host}:9182/ready", timeout=5) for each in keepers[1:]]
        return [answer.json()["details"]["role"] for answer in answers]

    eventually(lambda: roles() == ["leader", "follower"], "another Keeper leads", within=10)
    insert(servers[0], 400)
    keepers[1].kill()
    eventually(
        lambda: requests.get(f"http://{keepers[2].host}:9182/ready", timeout=5).status_code == 503,
        "one of three is not ready",
        within=10,
    )
    eventually(lambda: servers[0].query("SELECT max(is_readonly) FROM system.replicas") == "1", "read-only", within=10)


def log_of(server: Pod) -> list[Path]:
    """The statements that a replica keeps for others."""
    return list((server.folder / "data" / "replication" / "log").iterdir())
