"""A ClickHouse replica that lost its volume, with replicated tables of real engines in a real ZooKeeper.

The engines have no server from which others could fetch rows. The test shows that the tables are created again and
that Keeper lists the replica again.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.clickhouse.replicas import SOME_TABLES, Replicas
from tests.data.clickhouse.server import ClickHouseServer
from tests.data.clickhouse.zookeeper import ZooKeeper, zookeeper

pytestmark = pytest.mark.long

UUIDS = {
    "traces": "11111111-1111-4111-8111-111111111111",
    "schema_migrations": "22222222-2222-4222-8222-222222222222",
}
NAMES = "SELECT groupArray(name) FROM (SELECT name FROM system.tables WHERE database = 'default' ORDER BY name)"


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    with zookeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


def start(replicas: Replicas, ordinal: int, keeper: ZooKeeper) -> ClickHouseServer:
    """Start a replica that connects to this ZooKeeper."""
    server = replicas.start(ordinal)
    nodes = (
        f"<clickhouse><zookeeper replace='1'><node><host>127.0.0.1</host><port>{keeper.port}</port></node></zookeeper>"
    )
    (server.folder / "config.d" / "keeper.xml").write_text(f"{nodes}</clickhouse>")
    replicas.set_keeper_tables(SOME_TABLES, server)
    (server.folder / "replication").write_text("0\t0\t5")
    return server


def replica_path(table: str) -> str:
    return f"/clickhouse/tables/{UUIDS[table]}/01/replicas"


def test_a_replica_that_lost_its_volume_gets_its_tables_back(tmp_path: Path, keeper: ZooKeeper) -> None:
    replicas = Replicas(tmp_path)
    old, new = start(replicas, 0, keeper), start(replicas, 1, keeper)
    for table, uuid in UUIDS.items():
        old.query(f"CREATE TABLE default.{table} UUID '{uuid}' (id String) ENGINE = ReplicatedMergeTree ORDER BY id")
    assert replicas.probe("langfuse-clickhouse-1").code == 0
    assert new.query(NAMES) == "['schema_migrations','traces']"
    for table in UUIDS:
        assert sorted(keeper.children(replica_path(table))) == ["langfuse-clickhouse-0", "langfuse-clickhouse-1"]

    shutil.rmtree(new.folder / "data")
    for table in UUIDS:  # the entry's creator: a server whose identity was lost with the volume
        keeper.write(f"{replica_path(table)}/langfuse-clickhouse-1/creator_info", "another server")
    result = replicas.probe("langfuse-clickhouse-1")

    assert (result.code, result.output) == (0, "")
    assert "SYSTEM DROP REPLICA 'langfuse-clickhouse-1' FROM TABLE default.traces" in result.command_lines
    assert new.query(NAMES) == "['schema_migrations','traces']"
    assert replicas.probe("langfuse-clickhouse-0").code == 0, "the other replicas keep their entries"
