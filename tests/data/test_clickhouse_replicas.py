"""The startup probe of a ClickHouse replica, between real engines.

Each replica is an engine of its own with the rendered configuration, found by the host name that the script asks for.
No Keeper runs here, so that the tables are not replicated ones: what is shown is that the definitions arrive, not that
rows follow. What Keeper and replication would say stands in files.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.data import clickhouse_client
from tests.data.clickhouse_server import ClickHouseServer, prepared
from tests.data.jobs import Run, client, run
from tests.data.rendered import Container, environment, secrets
from tests.unit.program import recorded

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
NOBODY = "Connection refused"
NO_TABLES, SOME_TABLES = "0", "46"
LONG = 100_000


class Replicas:
    """The servers of a rendered stack that has three."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hosts = environment(self._container)["REPLICAS"].split()
        wrapper = folder / "clickhouse-client.sh"
        # On a node the probe runs where its server does: 127.0.0.1 is the pod itself.
        wrapper.write_text(
            "#!/bin/sh\nhost=$2\n"
            f'[ "$host" != 127.0.0.1 ] || host=$(cd {folder} && ls -d "$POD_NAME".*)\n'
            f'[ -d "{folder}/$host" ] || {{ echo "$2: {NOBODY}" >&2; exit 210; }}\n'
            f'CHDB_FOLDER="{folder}/$host" exec {sys.executable} {clickhouse_client.__file__} "$@"\n'
        )
        wrapper.chmod(0o755)
        client(folder / "clients", "clickhouse-client", wrapper)

    @property
    def _container(self) -> Container:
        spec = recorded("prod").one("StatefulSet", "langfuse-clickhouse").inputs["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        found: Container = container
        return found

    def start(self, ordinal: int) -> ClickHouseServer:
        """Start one with an empty volume."""
        folder = self._folder / self.hosts[ordinal]
        folder.mkdir()
        server = prepared(folder)
        self.keeper_has(NO_TABLES, server)
        return server

    def keeper_has(self, tables: str, *servers: ClickHouseServer) -> None:
        """Say how many tables Keeper knows."""
        for server in servers:
            (server.folder / "keeper").write_text(tables)

    def probe(self, pod: str) -> Run:
        """Run what the kubelet runs in a pod until it succeeds."""
        hook = {**self._container, **self._container["startupProbe"]["exec"]}
        return run(hook, environment(self._container, POD_NAME=pod), self._folder / "clients")


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    return Replicas(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Replication:
    """How the tables of a server stand."""

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


def test_a_replica_asks_itself_by_no_name(replicas: Replicas) -> None:
    """DNS may not know the name of a pod that starts."""
    replicas.start(0).query(";".join(TABLES))
    replicas.start(1)
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 0
    assert replicas.hosts[1] not in result.command_lines
    assert "--host 127.0.0.1 " in result.command_lines


def test_the_first_replicas_start_without_tables_even_if_one_is_late(replicas: Replicas) -> None:
    for ordinal in (0, 1):
        replicas.start(ordinal)
        result = replicas.probe(f"langfuse-clickhouse-{ordinal}")
        assert (result.code, result.output) == (0, "")


def test_a_server_that_loads_its_tables_is_asked_again(replicas: Replicas) -> None:
    loading = replicas.start(0)
    (loading.folder / "port").write_text("none yet")
    result = replicas.probe("langfuse-clickhouse-0")
    assert result.code == 1
    assert "the server does not answer yet: " in result.output


def test_a_lost_replica_keeps_no_other_from_starting_but_from_starting_empty(replicas: Replicas) -> None:
    new = replicas.start(1)
    replicas.keeper_has(SOME_TABLES, new)
    empty = replicas.probe("langfuse-clickhouse-1")
    assert empty.code == 1
    assert "lacks tables, and who may have them does not answer: langfuse-clickhouse-2." in empty.output
    assert NOBODY in empty.output

    replicas.start(0).query(";".join(TABLES))
    result = replicas.probe("langfuse-clickhouse-1")
    assert (result.code, result.output) == (0, "")
    new.query("INSERT INTO default.traces (id) VALUES ('first')")


def test_without_keeper_nobody_starts_empty(replicas: Replicas) -> None:
    new = replicas.start(1)
    (new.folder / "keeper").unlink()
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 1
    assert "Keeper does not answer yet: " in result.output


def test_a_copy_that_was_cut_short_is_not_taken_for_a_whole_one(replicas: Replicas) -> None:
    old, new = replicas.start(0), replicas.start(1)
    old.query(";".join(TABLES))
    new.query(f"CREATE VIEW default.other AS SELECT 1 AS n; {TABLES[0]}")
    replicas.keeper_has(SOME_TABLES, new)
    (old.folder / "port").rename(old.folder / "no-port")
    (old.folder / "port").write_text("gone")
    assert replicas.probe("langfuse-clickhouse-1").code == 1

    (old.folder / "no-port").replace(old.folder / "port")
    assert replicas.probe("langfuse-clickhouse-1").code == 0
    assert set(old.query(NAMES).split()) <= set(new.query(NAMES).split())


def test_the_table_that_tells_a_whole_copy_is_not_made_before_all_others(replicas: Replicas) -> None:
    old, new = replicas.start(0), replicas.start(1)
    old.query(";".join(TABLES))
    users = new.folder / "users.xml"
    shipped = users.read_text()
    only = "<query>GRANT CREATE ON default.schema_migrations</query>"
    users.write_text(shipped.replace(" CREATE,", "").replace("<grants>", f"<grants>{only}", 1))
    result = replicas.probe("langfuse-clickhouse-1")
    assert result.code == 1
    assert f"can't create what {replicas.hosts[0]} has: " in result.output
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
def test_a_replica_starts_to_serve_when_it_has_caught_up_or_could_not_for_long(
    replicas: Replicas, state: Replication, problem: str
) -> None:
    server = replicas.start(0)
    server.query(TABLES[-1])
    (server.folder / "replication").write_text(f"{state.read_only:d}\t{state.delay}\t{state.uptime}")
    result = replicas.probe("langfuse-clickhouse-0")
    assert (result.code == 0) is (problem == "")
    assert problem in result.output


def test_a_pod_that_is_no_replica_is_told(replicas: Replicas) -> None:
    result = replicas.probe("langfuse-clickhouse-3")
    assert result.code == 1
    assert result.output.startswith("check-clickhouse-replica: langfuse-clickhouse-3 is none of the replicas langfuse-")
