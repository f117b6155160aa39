"""Statements: what is found in them, and how they are rewritten for one engine."""

from __future__ import annotations

import pytest

from sandbox.images.clickhouse.programs import statements
from sandbox.images.clickhouse.programs.errors import StatementError
from sandbox.images.clickhouse.programs.statements import Statement, Table, single, split

MARK = "SETTINGS non_replicated_deduplication_window = 10000"
LANGFUSE = (
    "CREATE TABLE traces ON CLUSTER default (\n  `id` String, -- the ; ON CLUSTER of a comment\n"
    "  INDEX i id TYPE bloom_filter(0.001) GRANULARITY 1\n"
    ") ENGINE = ReplicatedReplacingMergeTree(event_ts, is_deleted) Partition by toYYYYMM(timestamp)\nORDER BY (id);"
)


def engine(text: str) -> str:
    return Statement(text).for_one_engine().text


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("INSERT INTO traces VALUES (1)", Table("default", "traces")),
        ('insert into table `a b`."c\\"d" format CSV', Table("a b", 'c"d')),
        ("INSERT INTO FUNCTION s3(backups, filename = 'x') SELECT 1", None),
        ("ALTER TABLE db.traces DELETE WHERE 1", Table("db", "traces")),
        ("DELETE FROM traces WHERE id = 'x'", Table("default", "traces")),
        ("/* a */ TRUNCATE TABLE IF EXISTS traces", Table("default", "traces")),
        ("CREATE OR REPLACE MATERIALIZED VIEW IF NOT EXISTS db.v TO t AS SELECT 1", Table("db", "v")),
        ("SELECT 1 FROM traces", None),
        ("INSERT INTO", None),
    ],
)
def test_a_statement_names_the_table_that_it_changes(text: str, table: Table | None) -> None:
    assert Statement(text).table() == table


def test_on_cluster_is_removed_where_it_is_a_clause() -> None:
    statement = Statement(LANGFUSE)
    assert statement.cluster is not None
    assert statement.without_cluster().text.startswith("CREATE TABLE traces (\n  `id` String, -- the ; ON CLUSTER of")
    assert Statement("SELECT 'ON CLUSTER default' FROM t").cluster is None
    assert Statement("DROP TABLE t ON CLUSTER '{cluster}' SYNC").without_cluster().text == "DROP TABLE t SYNC"
    assert Statement("DROP TABLE t ON CLUSTER {cluster} SYNC").without_cluster().text == "DROP TABLE t SYNC"


def test_a_replicated_engine_becomes_the_plain_one_with_a_mark() -> None:
    assert engine(LANGFUSE).endswith(
        "ENGINE = ReplacingMergeTree(event_ts, is_deleted) Partition by toYYYYMM(timestamp)\nORDER BY (id) "
        + MARK
        + ";"
    )
    assert engine("CREATE TABLE t (a Int8) ENGINE ReplicatedMergeTree ORDER BY a SETTINGS index_granularity = 1") == (
        f"CREATE TABLE t (a Int8) ENGINE MergeTree ORDER BY a {MARK}, index_granularity = 1"
    )
    assert engine("CREATE TABLE t (a Int8) ENGINE = ReplicatedMergeTree ORDER BY a COMMENT 'x'") == (
        f"CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a {MARK} COMMENT 'x'"
    )
    for unchanged in ("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a", "CREATE VIEW v AS SELECT 1", "SELECT 1"):
        assert engine(unchanged) == unchanged
        assert not Statement(unchanged).creates_replicated_table


def test_the_path_and_the_name_of_a_replica_are_dropped() -> None:
    path = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
    assert engine(f"CREATE TABLE t (a Int8) ENGINE = ReplicatedMergeTree({path}) ORDER BY a") == (
        f"CREATE TABLE t (a Int8) ENGINE = MergeTree() ORDER BY a {MARK}"
    )
    assert engine(f"CREATE TABLE t (a Int8) ENGINE = ReplicatedReplacingMergeTree({path}, a) ORDER BY a") == (
        f"CREATE TABLE t (a Int8) ENGINE = ReplacingMergeTree( a) ORDER BY a {MARK}"
    )


def test_a_table_with_the_mark_is_a_replicated_one() -> None:
    """The definition that another replica shows has the plain engine."""
    assert Statement(engine(LANGFUSE)).creates_replicated_table


def test_a_replicated_table_has_the_same_uuid_on_all_replicas() -> None:
    first = Statement(LANGFUSE).without_cluster().with_uuid()
    assert first.text.startswith(f"CREATE TABLE traces UUID '{first.uuid}' (")
    assert first.with_uuid() == first
    with pytest.raises(StatementError, match="Macro 'uuid' in engine arguments"):
        statements.check_uuid(Statement(LANGFUSE))
    statements.check_uuid(first)


def test_the_data_of_an_insert_is_not_read() -> None:
    data = "\x00'\xff;(` ENGINE = ReplicatedMergeTree"
    (insert,) = split(f"INSERT INTO t (a) FORMAT RowBinary {data}")
    assert (insert.format, insert.has_data) == ("RowBinary", True)
    assert insert.text.endswith(data)
    (values,) = split("INSERT INTO t VALUES (';')")
    assert values.has_data


def test_several_statements_are_split() -> None:
    text = "SELECT ';' ; -- a comment;\nSELECT `;`;; /* ; */"
    assert [each.text.strip() for each in split(text)] == ["SELECT ';'", "-- a comment;\nSELECT `;`"]
    with pytest.raises(StatementError, match="Multi-statements are not allowed"):
        single(text)
    with pytest.raises(StatementError, match="Empty query"):
        single("  ")
    assert single("SELECT 1;").text == "SELECT 1"
