"""Data with the shape of Langfuse's: its tables and columns (schema.json), filled with random values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

SCHEMA: Final[Mapping[str, Any]] = json.loads(Path(__file__).with_name("schema.json").read_text())
POSTGRES: Final[Mapping[str, Any]] = SCHEMA["postgres"]
CLICKHOUSE: Final[Mapping[str, Any]] = SCHEMA["clickhouse"]

FILLED: Final[Mapping[str, float]] = {"traces": 0.3, "observations": 0.3, "scores": 0.1, "events_full": 0.15}
"""The share of the rows that each table of ClickHouse gets. A materialized view copies those of `events_full`."""

LARGE: Final = ("prompts", "dataset_items", "audit_logs")
"""Tables of Postgres that grow with use."""

SMALL_SHARE: Final = 100
"""How many times fewer rows the other tables of Postgres get."""

LONGEST_TEXT: Final = 24
"""Characters of a random text in ClickHouse."""

VALUES: Final[Mapping[str, str]] = {
    "text": "md5(n::text || '{name}')",
    "character varying": "md5(n::text || '{name}')",
    "character": "'x'",
    "USER-DEFINED": "'VALUE'",
    "integer": "n % 1000",
    "bigint": "n",
    "numeric": "n / 7.0",
    "double precision": "n / 7.0",
    "boolean": "n % 2 = 0",
    "timestamp without time zone": "timestamp '2026-11-01' + n * interval '1 second'",
    "timestamp with time zone": "timestamptz '2026-11-01 00:00Z' + n * interval '1 second'",
    "jsonb": "jsonb_build_object('n', n, 'text', repeat(md5(n::text), 8))",
    "json": "json_build_object('n', n)",
    "ARRAY": "ARRAY[md5(n::text), '{name}']",
}
"""An expression of SQL for the `n`th value of a type."""

TYPES: Final = {"USER-DEFINED": "text", "ARRAY": "text[]"}


def postgres_tables() -> Iterator[str]:
    """Statements that create the tables of Postgres."""
    for table, facts in POSTGRES.items():
        columns = [
            f'"{name}" {TYPES.get(kind.rstrip("?"), kind.rstrip("?"))}{"" if kind.endswith("?") else " NOT NULL"}'
            for name, kind in facts["columns"].items()
        ]
        key = [f"PRIMARY KEY ({facts['primaryKey']})"] if facts["primaryKey"] else []
        yield f'CREATE TABLE "{table}" ({", ".join([*columns, *key])})'


def postgres_rows(rows: int, first: int) -> Iterator[str]:
    """Statements that fill each large table of Postgres with rows, whose numbers begin with `first`."""
    for table, facts in POSTGRES.items():
        if table == "_prisma_migrations":
            continue
        count = rows if table in LARGE else max(1, rows // SMALL_SHARE)
        values = [VALUES[kind.rstrip("?")].replace("{name}", name) for name, kind in facts["columns"].items()]
        # Columns of a composite key may have few values.
        yield (
            f'INSERT INTO "{table}" SELECT {", ".join(values)} FROM generate_series({first}, {first + count - 1}) AS n '
            "ON CONFLICT DO NOTHING"
        )


def postgres_migrations() -> str:
    """A statement that notes a finished migration, as Prisma does."""
    columns = POSTGRES["_prisma_migrations"]["columns"]
    known = {"finished_at": "now()", "rolled_back_at": "NULL", "logs": "NULL"}
    values = [known.get(name, VALUES[kind.rstrip("?")].replace("{name}", name)) for name, kind in columns.items()]
    return f"INSERT INTO _prisma_migrations SELECT {', '.join(values)} FROM generate_series(1, 300) AS n"


def clickhouse_tables() -> Iterator[str]:
    """Statements that create the tables and views of ClickHouse, as in cluster mode."""
    for table, facts in CLICKHOUSE.items():
        if not facts["engine"].endswith("MergeTree"):
            continue
        columns = ", ".join(f"`{name}` {kind}" for name, kind in facts["columns"].items())
        partition = f"PARTITION BY {facts['partition']}" if facts["partition"] else ""
        versioned = {"event_ts", "is_deleted"} <= facts["columns"].keys()
        engine = f"Replicated{facts['engine']}({'event_ts, is_deleted' if versioned else ''})"
        order = f"{partition} ORDER BY ({facts['order']})"
        yield f"CREATE TABLE {table} ON CLUSTER default ({columns}) ENGINE = {engine} {order}"
    copied = ", ".join(f"`{name}`" for name in CLICKHOUSE["events_core_mv"]["columns"])
    yield (
        f"CREATE MATERIALIZED VIEW events_core_mv ON CLUSTER default TO events_core AS SELECT {copied} FROM events_full"
    )
    for name, table, time in (("traces", "traces", "timestamp"), ("observations", "observations", "start_time")):
        yield (
            f"CREATE VIEW analytics_{name} ON CLUSTER default AS SELECT project_id, toStartOfHour({time}) AS hour, "
            f"count() AS number FROM {table} GROUP BY project_id, hour"
        )
    yield "INSERT INTO schema_migrations VALUES (36, 0, 1)"


def clickhouse_rows(rows: int, seed: int) -> Iterator[str]:
    """Statements that insert rows in total, all of one month."""
    for table, share in FILLED.items():
        columns: Mapping[str, str] = CLICKHOUSE[table]["columns"]
        structure = ", ".join(f"`{name}` {kind}" for name, kind in columns.items()).replace("'", "''")
        replaced = [*_times(columns), "concat('project-', toString(cityHash64(project_id) % 20)) AS project_id"]
        yield (
            f"INSERT INTO {table} SELECT * REPLACE ({', '.join(replaced)}) "
            f"FROM generateRandom('{structure}', {seed}, {LONGEST_TEXT}, 3) LIMIT {int(rows * share)}"
        )


def _times(columns: Mapping[str, str]) -> Sequence[str]:
    """Columns of a time, all in November 2026: a table with a thousand partitions is none of Langfuse's."""
    of_time = [(name, kind) for name, kind in columns.items() if "DateTime" in kind]
    if "is_deleted" in columns:
        of_time.append(("is_deleted", "UInt8"))
    seconds = "toUInt32(cityHash64(`{name}`) % 2500000)"
    return [
        f"0 AS {name}"
        if name == "is_deleted"
        else f"CAST(toDateTime('2026-11-01 00:00:00', 'UTC') + {seconds.format(name=name)} AS {kind}) AS `{name}`"
        for name, kind in of_time
    ]
