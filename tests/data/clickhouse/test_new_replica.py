"""The startup probe of a ClickHouse replica, between real engines.

Each replica is an engine with the rendered configuration, found by the host name that the script uses. No Keeper runs,
so the tables are not replicated: the tests show that definitions are copied, not rows. The answers of Keeper and of
the replication tables are in files.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.data.clickhouse.replicas import NOBODY, SOME_TABLES, Replicas
from tests.data.rendered import secrets

pytestmark = pytest.mark.long

SCHEMA = (
    "SELECT name, engine, uuid, create_table_query FROM system.tables WHERE database = 'default' ORDER BY name"
    " SETTINGS show_table_uuid_in_table_create_query_if_not_nil = 1"
)
NAMES = "SELECT name FROM system.tables WHERE database = 'default' ORDER BY name"
TABLES = (
    r"CREATE TABLE default.traces (id String, `a b` String DEFAULT 'line\nbreak') ENGINE = MergeTree ORDER BY id",
    "CREATE MATERIALIZED VIEW default.counts ENGINE = SummingMergeTree ORDER BY n AS"
    " SELECT 1 AS n, count() AS number FROM default.traces",
    "CREATE VIEW default.ids AS SELECT id FROM default.traces",
    "CREATE TABLE default.schema_migrations (version Int64, dirty UInt8, sequence UInt64) ENGINE = MergeTree"
    " ORDER BY sequence",
)
LONG = 100_000


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    return Replicas(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Replication:
    """The replication status of a server's tables."""

    read_only: bool = False
    delay: int = 0
    uptime: int = 5


def test_a_new_replica_gets_the_tables_and_views_of_the_others(replicas: Replicas) -> None:
    old, new, _ = (replicas.start(ordinal) for ordinal in range(3))
    old.query(";".join(TABLES))

    result = replicas.probe("langfuse-clickhouse-1")

    assert (result.code, result.output) == (0, "")
    assert new.query(SCHEMA) == old.query(SCHEMA)
    new.query("INSERT INTO default.traces (id) VALUES ('first')")
    assert new.query("SELECT number FROM default.counts") == "1"
    assert result.leaks([secrets()["langfuse-clickhouse", "password"]]) == []

    again = replicas.probe("langfuse-clickhouse-1")
    assert (again.code, again.output) == (0, "")
    assert "CREATE" not in again.command_lines
    assert new.query("SELECT id FROM default.ids") == "first"


def test_a_replica_queries_itself_on_loopback(replicas: Replicas) -> None:
    """DNS may not have the name of a starting pod yet."""
    replicas.start(0).query(";".join(TABLES))
    replicas.start(1)
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 0
    assert replicas.hosts[1] not in result.command_lines
    assert "--host 127.0.0.1 " in result.command_lines


def test_the_first_replicas_start_without_tables_while_others_are_missing(replicas: Replicas) -> None:
    for ordinal in (0, 1):
        replicas.start(ordinal)
        result = replicas.probe(f"langfuse-clickhouse-{ordinal}")
        assert (result.code, result.output) == (0, "")


def test_the_probe_fails_until_the_server_answers(replicas: Replicas) -> None:
    loading = replicas.start(0)
    (loading.folder / "port").write_text("none yet")
    result = replicas.probe("langfuse-clickhouse-0")
    assert result.code == 1
    assert "the server does not answer yet: " in result.output


def test_a_replica_without_tables_waits_for_one_that_has_them(replicas: Replicas) -> None:
    new = replicas.start(1)
    replicas.set_keeper_tables(SOME_TABLES, new)
    empty = replicas.probe("langfuse-clickhouse-1")
    assert empty.code == 1
    assert "a replica that may have them does not answer: langfuse-clickhouse-2." in empty.output
    assert NOBODY in empty.output

    replicas.start(0).query(";".join(TABLES))
    result = replicas.probe("langfuse-clickhouse-1")
    assert (result.code, result.output) == (0, "")
    new.query("INSERT INTO default.traces (id) VALUES ('first')")


def test_without_keeper_no_replica_starts_empty(replicas: Replicas) -> None:
    new = replicas.start(1)
    (new.folder / "keeper").unlink()
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 1
    assert "Keeper does not answer yet: " in result.output


def test_an_interrupted_copy_of_the_tables_is_completed(replicas: Replicas) -> None:
    old, new = replicas.start(0), replicas.start(1)
    old.query(";".join(TABLES))
    new.query(f"CREATE VIEW default.other AS SELECT 1 AS n; {TABLES[0]}")
    replicas.set_keeper_tables(SOME_TABLES, new)
    (old.folder / "port").rename(old.folder / "no-port")
    (old.folder / "port").write_text("gone")
    assert replicas.probe("langfuse-clickhouse-1").code == 1

    (old.folder / "no-port").replace(old.folder / "port")
    assert replicas.probe("langfuse-clickhouse-1").code == 0
    assert set(old.query(NAMES).split()) <= set(new.query(NAMES).split())


def test_the_migrations_table_is_created_last(replicas: Replicas) -> None:
    old, new = replicas.start(0), replicas.start(1)
    old.query(";".join(TABLES))
    users = new.folder / "users.xml"
    shipped = users.read_text()
    only = "<query>GRANT CREATE ON default.schema_migrations</query>"
    users.write_text(shipped.replace(" CREATE,", "").replace("<grants>", f"<grants>{only}", 1))
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 1
    assert f"can't create the tables of {replicas.hosts[0]}: " in result.output
    assert new.query(NAMES) == ""

    users.write_text(shipped)
    assert replicas.probe("langfuse-clickhouse-1").code == 0
    assert "schema_migrations" in new.query(NAMES)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (Replication(delay=29), ""),
        (Replication(delay=3600), "rows of the last 3600 s are still missing"),
        (Replication(delay=3600, uptime=LONG), ""),
        (Replication(read_only=True, delay=LONG), "tables are read-only: no connection to Keeper yet"),
        (Replication(read_only=True, delay=LONG, uptime=LONG), ""),
    ],
)
def test_a_replica_is_ready_once_it_has_caught_up_or_after_a_time_limit(
    replicas: Replicas, state: Replication, problem: str
) -> None:
    server = replicas.start(0)
    server.query(TABLES[-1])
    (server.folder / "replication").write_text(f"{state.read_only:d}\t{state.delay}\t{state.uptime}")
    result = replicas.probe("langfuse-clickhouse-0")
    assert (result.code == 0) is (problem == "")
    assert problem in result.output


def test_a_pod_that_is_not_a_replica_is_an_error(replicas: Replicas) -> None:
    result = replicas.probe("langfuse-clickhouse-3")
    assert result.code == 1
    assert "check-clickhouse-replica: langfuse-clickhouse-3 is not in the list of replicas: langfuse-" in result.output
