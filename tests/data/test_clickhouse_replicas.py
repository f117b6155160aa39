"""The script that gives a new ClickHouse replica the tables of the others, between real engines.

Each replica is an engine of its own with the rendered configuration, found by the host name that the script asks for.
No Keeper runs here, so that the tables are not replicated ones: what is shown is that the definitions arrive, not that
rows follow.
"""

import sys
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
TABLES = (
    r"CREATE TABLE default.traces (id String, `a b` String DEFAULT 'line\nbreak') ENGINE = MergeTree ORDER BY id",
    "CREATE MATERIALIZED VIEW default.counts ENGINE = SummingMergeTree ORDER BY n AS"
    " SELECT 1 AS n, count() AS number FROM default.traces",
    "CREATE VIEW default.ids AS SELECT id FROM default.traces",
)
NOBODY = "Connection refused"


class Replicas:
    """The servers of a rendered stack that has three."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts = environment(self._container)["REPLICAS"].split()
        wrapper = folder / "clickhouse-client.sh"
        wrapper.write_text(
            f'#!/bin/sh\n[ -d "{folder}/$2" ] || {{ echo "$2: {NOBODY}" >&2; exit 210; }}\n'
            f'CHDB_FOLDER="{folder}/$2" exec {sys.executable} {clickhouse_client.__file__} "$@"\n'
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
        folder = self._folder / self._hosts[ordinal]
        folder.mkdir()
        return prepared(folder)

    def join(self, pod: str) -> Run:
        """Run what a pod runs after the start of its server."""
        hook = {**self._container, **self._container["lifecycle"]["postStart"]["exec"]}
        return run(hook, environment(self._container, POD_NAME=pod, WAIT_SECONDS="0"), self._folder / "clients")


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    return Replicas(tmp_path)


def test_a_new_replica_gets_the_tables_and_views_of_the_others(replicas: Replicas) -> None:
    old, new, _ = (replicas.start(ordinal) for ordinal in range(3))
    old.query(";".join(TABLES))

    result = replicas.join("langfuse-clickhouse-1")

    assert (result.code, result.output) == (0, "this replica has 4 tables and views\n")
    assert new.query(SCHEMA) == old.query(SCHEMA)
    new.query("INSERT INTO default.traces (id) VALUES ('first')")
    assert new.query("SELECT number FROM default.counts") == "1"
    assert result.leaks([secrets()["langfuse-clickhouse", "password"]]) == []

    again = replicas.join("langfuse-clickhouse-1")
    assert (again.code, again.output) == (0, result.output)
    assert new.query("SELECT id FROM default.ids") == "first"


def test_the_first_replicas_start_without_tables(replicas: Replicas) -> None:
    for ordinal in range(3):
        replicas.start(ordinal)
    result = replicas.join("langfuse-clickhouse-0")
    assert (result.code, result.output) == (0, "this replica has 0 tables and views\n")


def test_a_lost_replica_keeps_no_other_from_starting_but_from_starting_empty(replicas: Replicas) -> None:
    new = replicas.start(1)
    empty = replicas.join("langfuse-clickhouse-1")
    assert empty.code == 1
    assert empty.output.startswith("copy-clickhouse-schema: the schema of the other replicas is not here after 0 s: ")
    assert NOBODY in empty.output

    replicas.start(0).query(TABLES[0])
    result = replicas.join("langfuse-clickhouse-1")
    assert (result.code, result.output) == (0, "this replica has 1 tables and views\n")
    new.query("INSERT INTO default.traces (id) VALUES ('first')")


def test_a_pod_that_is_no_replica_is_told(replicas: Replicas) -> None:
    result = replicas.join("langfuse-clickhouse-3")
    assert result.code == 1
    assert result.output.startswith("copy-clickhouse-schema: langfuse-clickhouse-3 is none of the replicas langfuse-")
