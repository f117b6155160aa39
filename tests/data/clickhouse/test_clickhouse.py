"""The rendered configuration of ClickHouse on the real engine, and the check that runs before a migration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.clickhouse.server import PORT, ClickHouseServer, prepared
from tests.data.containers import Run, run
from tests.data.rendered import container, environment, secrets
from tests.servers import free_port

SYSTEM_TABLES = ("parts", "mutations", "replicas", "tables", "columns", "processes")
"""System tables that Langfuse reads in addition to query_log (v4.16.0, packages/shared and worker)."""


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> ClickHouseServer:
    """A server with a table."""
    server = prepared(tmp_path_factory.mktemp("clickhouse"))
    server.query("CREATE TABLE default.rows (number UInt64) ENGINE = MergeTree ORDER BY number")
    return server


def test_the_server_is_a_replica_of_the_cluster_named_default_in_utc(clickhouse: ClickHouseServer) -> None:
    values = "timezone(), getMacro('shard'), getMacro('replica')"
    cluster = "(SELECT groupArray(tuple(cluster, shard_num, host_name, port)) FROM system.clusters)"
    assert clickhouse.query(f"SELECT {values}, {cluster}").split("\t") == [
        "UTC",
        "01",
        "clickhouse-0",
        "[('default',1,'langfuse-clickhouse-0.langfuse-clickhouse-headless.langfuse-dev.svc',9000)]",
    ]


def test_langfuse_can_migrate_read_and_write_its_tables(clickhouse: ClickHouseServer) -> None:
    statements = (
        "CREATE TABLE default.made (id String, at DateTime, n UInt8) ENGINE = ReplacingMergeTree ORDER BY id",
        "ALTER TABLE default.made ADD COLUMN more UInt8, ADD INDEX i n TYPE minmax",
        "ALTER TABLE default.made MATERIALIZE INDEX i",
        "CREATE MATERIALIZED VIEW default.view TO default.made AS SELECT '' AS id, 1 AS n FROM default.rows",
        "INSERT INTO default.made (id, n) VALUES ('a', 1)",
        "ALTER TABLE default.made DELETE WHERE id = 'a'",
        "DROP VIEW default.view",
        *(f"SELECT * FROM system.{table} LIMIT 1" for table in SYSTEM_TABLES),  # noqa: S608  # named above
        "DROP TABLE default.made",
    )
    clickhouse.query(";".join(statements))


def test_numeric_timestamps_are_read_as_milliseconds(clickhouse: ClickHouseServer) -> None:
    """Langfuse before 4.28 writes milliseconds, which ClickHouse reads as seconds by default since 26.8."""
    insert = 'INSERT INTO default.times FORMAT JSONEachRow {"at": 1758650000000}'
    clickhouse.query("CREATE TABLE default.times (at DateTime64(3)) ENGINE = MergeTree ORDER BY at")
    clickhouse.query(insert)
    assert clickhouse.query("SELECT at FROM default.times") == "2025-09-23 17:53:20.000"

    release, unpinned = clickhouse.query(
        "SELECT version(), value FROM system.settings_changes"
        " ARRAY JOIN changes.name AS name, changes.new_value AS value"
        " WHERE type = 'Session' AND name = 'input_format_read_datetime_number_as_raw_value'"
    ).split("\t")
    assert (release >= "26.8", unpinned) == (True, "0"), "this engine is too old to show the difference"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE DATABASE other",
        "DROP DATABASE default",
        "CREATE USER other",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')",
        "INSERT INTO FUNCTION s3(backups, filename = 'x', format = 'CSV') SELECT 1",
        "BACKUP DATABASE default TO S3(backups, 'x')",
    ],
)
def test_langfuse_has_no_other_rights(clickhouse: ClickHouseServer, statement: str) -> None:
    with pytest.raises(RuntimeError, match="ACCESS_DENIED"):
        clickhouse.query(statement)


def test_the_backup_user_cannot_read_or_write_rows(clickhouse: ClickHouseServer) -> None:
    for statement in ("SELECT * FROM default.rows", "INSERT INTO default.rows VALUES (1)"):
        with pytest.raises(RuntimeError, match="ACCESS_DENIED"):
            clickhouse.query(statement, user="backup")


def test_a_wrong_password_is_refused(clickhouse: ClickHouseServer) -> None:
    with pytest.raises(RuntimeError, match="AUTHENTICATION_FAILED"):
        clickhouse.query("SELECT 1", password="wrong")  # noqa: S106


@pytest.fixture
def schema(clickhouse: ClickHouseServer) -> Iterator[ClickHouseServer]:
    """golang-migrate's table of versions, at version 46 and clean."""
    clickhouse.query(
        "CREATE TABLE default.schema_migrations (version Int64, dirty UInt8, sequence UInt64)"
        " ENGINE = MergeTree ORDER BY sequence;"
        "INSERT INTO default.schema_migrations VALUES (45, 0, 1), (46, 1, 2), (46, 0, 3)"
    )
    yield clickhouse
    clickhouse.query("DROP TABLE default.schema_migrations")


def check(clickhouse: ClickHouseServer, folder: Path, *, newest: int = 46, **replaced: str) -> Run:
    """Run the check of the migration Job."""
    (folder / "clickhouse").write_text("".join(f"{number}\n" for number in range(1, newest + 1)))
    job = container("Job", "langfuse-migrations", "clickhouse")
    variables = environment(
        job, **{"CLICKHOUSE_HOST": "127.0.0.1", "WAIT_SECONDS": "0", "RELEASE_DIR": str(folder), **replaced}
    )
    assert variables["CLICKHOUSE_PORT"] in {PORT, *replaced.values()}
    return run(job, variables | clickhouse.variables, clickhouse.clients)


def test_an_empty_database_is_accepted(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    result = check(clickhouse, tmp_path)
    assert (result.code, result.output) == (0, "ClickHouse has no schema yet\n")
    assert "clickhouse-client " in result.command_lines
    assert result.leaks([secrets()["langfuse-clickhouse", "password"]]) == []


def test_a_clean_schema_is_accepted(schema: ClickHouseServer, tmp_path: Path) -> None:
    result = check(schema, tmp_path, newest=50)
    assert (result.code, result.output) == (0, "ClickHouse: at migration 46 of 50, clean\n")


def test_a_dirty_schema_is_refused_and_the_command_that_repairs_it_named(
    schema: ClickHouseServer, tmp_path: Path
) -> None:
    schema.query("INSERT INTO default.schema_migrations VALUES (47, 1, 4)")
    result = check(schema, tmp_path, newest=50)
    assert result.code == 1
    assert "migration 47 started but did not finish" in result.output
    assert "python -m operations repair --stack" in result.output


def test_a_schema_newer_than_the_release_is_refused(schema: ClickHouseServer, tmp_path: Path) -> None:
    result = check(schema, tmp_path, newest=37)
    assert result.code == 1
    assert "it is at migration 46, the release ends at 37" in result.output
    assert "pulumi config set langfuse:version" in result.output
    assert "python -m operations restore --stack STACK --overwrite" in result.output


def check_old(clickhouse: ClickHouseServer, folder: Path) -> Run:
    """Run the check for a Langfuse release that writes timestamps as numbers."""
    return check(clickhouse, folder, LANGFUSE_VERSION="4.16.0", FIXED_LANGFUSE="4.28.0")


def test_a_release_with_numeric_timestamps_is_accepted_with_the_compatibility_setting(
    clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    assert check_old(clickhouse, tmp_path).code == 0


def test_a_server_that_would_lose_every_trace_of_the_release_is_refused(
    clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    users = clickhouse.folder / "users.xml"
    shipped = users.read_text()
    users.write_text(shipped.replace("<compatibility>26.4</compatibility>", ""))
    refused, passed = check_old(clickhouse, tmp_path), check(clickhouse, tmp_path, FIXED_LANGFUSE="")
    users.write_text(shipped)
    assert refused.code == 1
    assert "would drop every trace that Langfuse 4.16.0 writes" in refused.output
    assert "pulumi config set langfuse:version 4.28.0" in refused.output
    assert passed.code == 0


def test_a_running_server_that_is_too_old_is_refused(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    running = clickhouse.query("SELECT version()")
    line, _, last = running.rpartition(".")
    assert check(clickhouse, tmp_path, MINIMUM_CLICKHOUSE=running).code == 0
    assert check(clickhouse, tmp_path, MINIMUM_CLICKHOUSE="9.12").code == 0
    result = check(clickhouse, tmp_path, MINIMUM_CLICKHOUSE=f"{line}.{int(last) + 1}")
    assert result.code == 1
    assert f"ClickHouse {running} is too old for Langfuse " in result.output


def test_a_server_that_does_not_answer_is_one_clear_error(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    port = str(free_port())
    result = check(clickhouse, tmp_path, CLICKHOUSE_PORT=port)
    assert result.code == 1
    assert result.output.startswith(
        f"check-clickhouse-schema: ClickHouse at 127.0.0.1:{port} did not answer within 0 s"
    )


def test_a_missing_keeper_is_one_clear_error(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    (clickhouse.folder / "keeper").unlink()
    result = check(clickhouse, tmp_path)
    (clickhouse.folder / "keeper").write_text("1")
    assert result.code == 1
    assert result.output.startswith("check-clickhouse-schema: Keeper behind ClickHouse did not answer within 0 s")
