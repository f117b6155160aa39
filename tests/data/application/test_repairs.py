"""Repairs of half-applied migrations in real databases: what they show, refuse and record."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.data.application.schemas import NODE, RECORDED, Schemas
from tests.data.containers import run
from tests.data.postgres.server import started
from tests.data.probe_application.installation import clickhouse
from tests.data.rendered import environment, stack
from tests.scripts import SCRIPTS
from tests.unit.pods import container
from tests.waiting import eventually

NOTHING = {"migration": None}
TABLE = "CREATE TABLE {0} ON CLUSTER default (id String, at DateTime) ENGINE = ReplicatedMergeTree ORDER BY id;"
VIEW = "CREATE MATERIALIZED VIEW {0} ON CLUSTER default TO ids AS SELECT id, at FROM traces;"
ALTER = "ALTER TABLE traces ON CLUSTER default"
RENAME = f"{ALTER} RENAME COLUMN at TO time; {ALTER} MODIFY COLUMN time DateTime64(3);"
DROP = "DROP TABLE old ON CLUSTER default;"
VIEWS = [f"CREATE VIEW seen ON CLUSTER default AS SELECT {columns} FROM traces;" for columns in ("id", "id, at")]  # noqa: S608  # ours


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schemas]:
    folder = tmp_path_factory.mktemp("stores")
    with contextlib.ExitStack() as stack:
        yield Schemas(
            folder=tmp_path_factory.mktemp("release"),
            postgres=stack.enter_context(started(tmp_path_factory.mktemp("postgres"))),
            clickhouse_ports=stack.enter_context(clickhouse(folder)),
        )


@pytest.fixture
def schemas(databases: Schemas) -> Schemas:
    databases.empty()
    return databases


@dataclass(frozen=True, kw_only=True)
class Case:
    """A half-applied migration, and what is expected of it."""

    before: str = ""
    """The migrations before it."""
    migration: str
    done: str
    """What took effect of it, and what others did."""
    effects: str
    """For each statement: applied, not applied or unknown."""
    repair: str
    then: str
    """A query of the schema after the next migration, and its result."""
    result: str
    assume: str = ""
    logs: str | None = None
    cleanup: Sequence[str] = field(default=())


CLICKHOUSE = {
    "columns that can't be added twice": Case(
        before=TABLE.format("traces"),
        migration=f"{ALTER} ADD COLUMN one LowCardinality(String) DEFAULT 'x' AFTER id;"
        f"{ALTER} ADD COLUMN two Decimal64(12), ADD COLUMN three String SETTINGS alter_sync = 2;",
        done=f"{ALTER} ADD COLUMN one LowCardinality(String);",
        effects="an",
        repair="continue",
        then="SELECT groupArray(name) FROM system.columns WHERE table = 'traces' AND name != 'last'",
        result="['id','at','one','two','three']",
    ),
    "columns of which none was added": Case(
        before=TABLE.format("traces"),
        migration=f"{ALTER} ADD COLUMN one String; {ALTER} ADD COLUMN two String;",
        done="",
        effects="nn",
        repair="rerun",
        then="SELECT groupArray(name) FROM system.columns WHERE table = 'traces' AND name != 'last'",
        result="['id','at','one','two']",
    ),
    "a table and its views": Case(
        before=TABLE.format("traces"),
        migration=f"-- A table\n{TABLE.format('ids')}\n-- Views\n{VIEW.format('a_mv')} {VIEW.format('b_mv')}",
        done=TABLE.format("ids") + VIEW.format("a_mv"),
        effects="aan",
        repair="continue",
        then="SELECT count() FROM system.tables WHERE name LIKE '%_mv'",
        result="2",
    ),
    "an index that was not filled": Case(
        before=TABLE.format("traces"),
        migration=f"{ALTER} ADD INDEX IF NOT EXISTS by_at at TYPE minmax SETTINGS alter_sync = 2;"
        f"{ALTER} MATERIALIZE INDEX IF EXISTS by_at SETTINGS mutations_sync = 2;",
        done=f"{ALTER} ADD INDEX by_at at TYPE minmax GRANULARITY 1;",
        effects="au",
        repair="rerun",
        then="SELECT count() FROM system.tables WHERE create_table_query LIKE '%INDEX by_at%'",
        result="1",
    ),
    "a view that was dropped and is created again": Case(
        before=f"{TABLE.format('traces')} {VIEWS[0]}",
        migration=f"DROP VIEW IF EXISTS seen ON CLUSTER default; {VIEWS[1]}",
        done="DROP VIEW seen ON CLUSTER default;",
        effects="an",
        repair="rerun",
        then="SELECT count() FROM system.columns WHERE table = 'seen'",
        result="2",
    ),
    "everything but the record": Case(
        before=f"{TABLE.format('traces')} {TABLE.format('old')}",
        migration=RENAME + DROP,
        done=RENAME + DROP,
        effects="aaa",
        repair="finish",
        then="SELECT type FROM system.columns WHERE table = 'traces' AND name = 'time'",
        result="DateTime64(3)",
    ),
    "rows that a person has looked for": Case(
        before=f"{TABLE.format('traces')} {TABLE.format('ids')}",
        migration="INSERT INTO ids SELECT * FROM traces; ALTER TABLE ids ON CLUSTER default ADD COLUMN one String;",
        done="",
        assume="applied",
        effects="an",
        repair="continue",
        then="SELECT count() FROM system.columns WHERE table = 'ids'",
        result="3",
    ),
}


def shown_effects(shown: dict[str, list[dict[str, str]]]) -> str:
    return "".join(statement["effect"][0] for statement in shown["statements"])


@pytest.mark.long
@pytest.mark.parametrize("case", CLICKHOUSE.values(), ids=CLICKHOUSE.keys())
def test_clickhouse_is_repaired_and_migrates_to_the_end(schemas: Schemas, case: Case) -> None:
    last = "ALTER TABLE traces ON CLUSTER default ADD COLUMN last String"
    schemas.release("clickhouse", _0001_before=case.before)
    assert schemas.migrate("clickhouse")[0] == 0
    schemas.release("clickhouse", _0002_half=case.migration, _0003_next=last)
    schemas.half_applied_clickhouse(2, [one for one in case.done.split(";") if one.strip()])
    assert "Dirty database version 2" in schemas.migrate("clickhouse")[1]

    shown = schemas.shown("clickhouse", ASSUME=case.assume)
    assert (shown["migration"], shown_effects(shown), shown["repair"]) == ("0002_half", case.effects, case.repair)
    done = schemas.repaired("clickhouse", shown, ASSUME=case.assume)
    assert done.code == 0, done.output
    assert schemas.shown("clickhouse").items() >= NOTHING.items()

    code, output = schemas.migrate("clickhouse")
    assert code == 0, output
    assert schemas.clickhouse(case.then) == case.result
    assert schemas.clickhouse("SELECT count() FROM system.columns WHERE table = 'traces' AND name = 'last'") == "1"


@pytest.mark.long
def test_clickhouse_is_not_repaired_if_its_state_has_another_cause(schemas: Schemas) -> None:
    """What cannot be known is refused, as is what somebody has changed since it was shown."""
    schemas.release("clickhouse", _0001_before=TABLE.format("traces") + TABLE.format("ids"))
    assert schemas.migrate("clickhouse")[0] == 0
    rows = "INSERT INTO ids SELECT id, at FROM traces"
    column = "ALTER TABLE traces ON CLUSTER default ADD COLUMN one String"
    schemas.release("clickhouse", _0002_half=f"{rows}; {column};")
    schemas.half_applied_clickhouse(2, [])
    shown = schemas.shown("clickhouse")
    assert shown_effects(shown) == "un"
    assert shown["unclear"]
    assert f"whether this took effect: {rows}" in shown["refusal"]
    assert "Nothing was changed" in schemas.repaired("clickhouse", shown).output

    assumed = schemas.shown("clickhouse", ASSUME="not-applied")
    assert assumed["repair"] == "rerun"
    schemas.clickhouse(column)
    done = schemas.repaired("clickhouse", assumed, ASSUME="not-applied")
    assert done.code == 3
    assert "no longer as it was shown; nothing was changed" in done.output

    schemas.clickhouse("ALTER TABLE traces ON CLUSTER default MODIFY COLUMN one Array(String)")
    other = schemas.shown("clickhouse", ASSUME="applied")
    assert "column traces.one has another type" in other["refusal"]
    schemas.clickhouse("INSERT INTO schema_migrations VALUES (9, 1, toUnixTimestamp64Nano(now64(9)))")
    assert "does not contain the migration" in schemas.shown("clickhouse")["refusal"]


@pytest.mark.long
def test_clickhouse_is_not_repaired_while_a_mutation_fails(schemas: Schemas) -> None:
    schemas.release("clickhouse", _0001_before=TABLE.format("traces"))
    assert schemas.migrate("clickhouse")[0] == 0
    schemas.release("clickhouse", _0002_half=f"{ALTER} ADD COLUMN one String;")
    schemas.half_applied_clickhouse(2, ["INSERT INTO traces (id) VALUES ('one')"])
    schemas.clickhouse(f"{ALTER} DELETE WHERE throwIf(id = 'one', 'no') SETTINGS mutations_sync = 0")
    eventually(
        lambda: "a mutation of traces fails" in schemas.shown("clickhouse").get("refusal", ""), "it fails", within=10
    )


REPLICAS = """
const [folder, sql] = process.argv.slice(1);
const { Schema } = require(`${folder}/repair-clickhouse.js`);
const { clickhouse } = require(`${folder}/migration-statements.js`);
const { plan } = require(`${folder}/migration-repair.js`);
const tables = ["a", "b"].map((host) => ({ host, name: "traces", definition: "", query: "" }));
const columns = [{ host: "a", table: "traces", name: "one", type: "String" }];
const none = { mutations: [], types: new Map(), queries: new Map() };
const schema = new Schema("default", { tables, columns, ...none });
console.log(JSON.stringify(plan(clickhouse(sql).map((one) => [one]), schema)));
"""


@pytest.mark.long
@pytest.mark.parametrize("condition", ["", "IF NOT EXISTS "])
def test_what_some_replicas_have_is_repeated_or_refused(condition: str) -> None:
    sql = f"{ALTER} ADD COLUMN {condition}one String; {ALTER} ADD COLUMN two String"
    command = [str(NODE), "--eval", REPLICAS, str(SCRIPTS["copy-release-migrations.sh"].parent), sql]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["statements"][0]["why"] == "a has it, b does not"
    assert [one["effect"] for one in found["statements"]] == ["unknown", "not-applied"]
    assert found.get("repair") == ("rerun" if condition else None)


@pytest.mark.long
def test_the_record_of_a_repair_is_the_last_one_although_a_clock_was_ahead(schemas: Schemas) -> None:
    schemas.release("clickhouse", _0001_first=TABLE.format("traces"))
    schemas.clickhouse(
        "CREATE TABLE schema_migrations ON CLUSTER default (version Int64, dirty UInt8, sequence UInt64)"
        " ENGINE = ReplicatedMergeTree ORDER BY sequence",
        "INSERT INTO schema_migrations VALUES (1, 1, toUnixTimestamp64Nano(now64(9) + INTERVAL 1 DAY))",
    )
    alone = schemas.shown("clickhouse", CLICKHOUSE_CLUSTER_ENABLED="false")  # it has migrations of its own
    assert "does not contain the migration" in alone["refusal"]
    schemas.release("clickhouse", _0001_first=TABLE.format("traces"), folder="unclustered")
    assert schemas.shown("clickhouse", CLICKHOUSE_CLUSTER_ENABLED="false")["repair"] == "rerun"
    shown = schemas.shown("clickhouse")
    assert shown["repair"] == "rerun"
    assert schemas.repaired("clickhouse", shown).code == 0
    assert schemas.clickhouse("SELECT version, dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1") == "-1\t0"


PROMPTS = 'CREATE TABLE prompts (id text PRIMARY KEY, "name" text, kind "Kind" DEFAULT \'A\');'
KIND = "CREATE TYPE \"Kind\" AS ENUM ('A', 'B');"
SWAP = """CREATE TYPE "Kind_new" AS ENUM ('A', 'C');
    ALTER TABLE prompts ALTER COLUMN kind DROP DEFAULT;
    ALTER TABLE prompts ALTER COLUMN kind TYPE "Kind_new" USING ("kind"::text::"Kind_new");
    ALTER TYPE "Kind" RENAME TO "Kind_old"; ALTER TYPE "Kind_new" RENAME TO "Kind"; DROP TYPE "Kind_old";"""
CHECKED = "ALTER TABLE prompts RENAME COLUMN name TO title; ALTER TABLE prompts ADD CONSTRAINT c CHECK (title <> '');"
CONCURRENTLY = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_name ON prompts (name);"
INSERT = "INSERT INTO prompts (name, id) VALUES ('a;b', 'one'), ('b', 'two');"
DUPLICATES = "INSERT INTO prompts VALUES ('one', 'same'), ('two', 'same')"
VALUES = "SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum"
LOGS = """A migration failed to apply.

Database error code: 42701

Database error:
ERROR: column "labels" of relation "prompts" already exists

DbError { severity: "ERROR", detail: Some("Key (email)=(a@example.com) is secret") }"""

POSTGRES = {
    "a transaction that was rolled back": Case(
        migration="ALTER TABLE prompts ADD COLUMN \"one\" text[] DEFAULT '{}', ADD COLUMN two int;"
        "CREATE INDEX i ON prompts (two);",
        done="",
        effects="nn",
        repair="rerun",
        then="SELECT count(*) FROM pg_attribute WHERE attname = 'one'",
        result="1",
    ),
    "a transaction that was committed": Case(
        migration=CHECKED,
        done=CHECKED,
        effects="aa",
        repair="finish",
        then="SELECT count(*) FROM pg_constraint WHERE conname = 'c'",
        result="1",
    ),
    "the first of two transactions": Case(
        migration=f"BEGIN; {SWAP} COMMIT; -- then; more\n"  # noqa: S608  # ours
        "BEGIN; ALTER TYPE \"Kind\" RENAME VALUE 'C' TO 'D'; COMMIT; UPDATE prompts SET name = '';",
        done=f"BEGIN; {SWAP} COMMIT;",
        effects="aaaaaann",
        assume="applied",
        repair="continue",
        then=VALUES,
        result="A,D",
    ),
    "an index that was left invalid": Case(
        migration=CONCURRENTLY,
        done="",
        effects="n",
        repair="rerun",
        cleanup=['DROP INDEX IF EXISTS "by_name"'],
        then="SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid = 'by_name'::regclass",
        result="t",
    ),
    "a view that is created again": Case(
        before="CREATE VIEW seen AS SELECT id FROM prompts;",
        migration="DROP VIEW IF EXISTS seen; CREATE VIEW seen AS SELECT id, name FROM prompts;",
        done="DROP VIEW IF EXISTS seen; CREATE VIEW seen AS SELECT id, name FROM prompts;",
        effects="uu",
        repair="rerun",
        then="SELECT count(*) FROM pg_attribute WHERE attrelid = 'seen'::regclass",
        result="2",
    ),
    "an error of the server": Case(
        migration="ALTER TABLE prompts ADD COLUMN labels text; ALTER TYPE \"Kind\" ADD VALUE 'E';",
        done="",
        logs=LOGS,
        effects="nn",
        repair="rerun",
        then=VALUES,
        result="A,B,E",
    ),
    "rows that were written": Case(
        migration=INSERT,
        done=INSERT,
        effects="a",
        repair="finish",
        then="SELECT count(*) FROM prompts",
        result="2",
    ),
    "rows that were not written": Case(
        migration=f"CREATE TEMP TABLE t AS SELECT 1 AS n; CREATE INDEX ON t (n); {INSERT} DROP TABLE t;",  # ours
        done="",
        effects="nnnn",
        repair="rerun",
        then="SELECT count(*) FROM prompts",
        result="2",
    ),
    "an update of rows that touched none": Case(
        migration="UPDATE prompts SET name = name || name;",
        done="",
        effects="u",
        repair="rerun",
        then="SELECT count(*) FROM prompts WHERE name = 'aa'",
        result="0",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize(("name", "case"), POSTGRES.items(), ids=POSTGRES.keys())
def test_postgres_is_repaired_and_migrates_to_the_end(schemas: Schemas, name: str, case: Case) -> None:
    schemas.release("postgres", a_before=KIND + PROMPTS + case.before)
    assert schemas.migrate("postgres")[0] == 0
    schemas.release("postgres", b_half=case.migration, c_next="CREATE TABLE last (id text)")
    schemas.half_applied_postgres("b_half", case.done, logs=case.logs)
    if "invalid" in name:
        schemas.postgres.query(DUPLICATES)
        with pytest.raises(RuntimeError, match="could not create unique index"):
            schemas.postgres.query(CONCURRENTLY)
        schemas.postgres.query("DELETE FROM prompts")
    assert "P3009" in schemas.migrate("postgres")[1]

    shown = schemas.shown("postgres", ASSUME=case.assume)
    assert (shown["migration"], shown_effects(shown), shown["repair"]) == ("b_half", case.effects, case.repair)
    assert shown["cleanup"] == list(case.cleanup)
    assert shown.get("error") == (
        None if case.logs is None else re.sub(r"(?s).*code: (\d+).*?ERROR: ([^\n]*).*", r"\1 \2", LOGS)
    )
    done = schemas.repaired("postgres", shown, ASSUME=case.assume)
    assert done.code == 0, done.output
    code, output = schemas.migrate("postgres")
    assert code == 0, output
    assert schemas.postgres.query(case.then) == case.result
    assert schemas.postgres.query("SELECT count(*) FROM last") == "0"
    # As `prisma migrate resolve` leaves them: the failed attempt is rolled back, and one is finished.
    assert schemas.postgres.query(RECORDED).split() == ["a_before|t|f", "b_half|t|f", "b_half|f|t", "c_next|t|f"]


@pytest.mark.long
def test_postgres_is_not_repaired_if_its_state_has_another_cause(schemas: Schemas) -> None:
    schemas.release("postgres", a_before=KIND + PROMPTS)
    assert schemas.migrate("postgres")[0] == 0
    column, index = "ALTER TABLE prompts ADD COLUMN one text", "CREATE INDEX i ON prompts (id)"
    schemas.release("postgres", b_half=f"{column}; {index};")
    schemas.half_applied_postgres("b_half", "", logs=LOGS)
    shown = schemas.shown("postgres")
    schemas.postgres.query(column)
    done = schemas.repaired("postgres", shown)
    assert done.code == 3
    assert "column prompts.one exists, which does not fit the other statements" in done.output
    schemas.postgres.query(
        "ALTER TABLE prompts DROP COLUMN one;"
        "UPDATE _prisma_migrations SET checksum = 'other' WHERE migration_name = 'b_half'"
    )
    assert "another text of the migration" in schemas.shown("postgres")["refusal"]

    schemas.postgres.query("DELETE FROM _prisma_migrations WHERE migration_name = 'b_half'")
    schemas.release("postgres", b_half="UPDATE prompts SET name = name || name;")
    schemas.postgres.query("INSERT INTO prompts VALUES ('one', 'a')")
    schemas.half_applied_postgres("b_half", "UPDATE prompts SET name = 'b'")
    assert schemas.shown("postgres")["unclear"]


@pytest.mark.long
def test_a_migrator_that_was_killed_is_repaired_when_the_server_has_ended_its_statement(schemas: Schemas) -> None:
    schemas.release(
        "postgres", a_half="CREATE TABLE half (id text); CREATE TYPE t AS ENUM (); SELECT pg_sleep(2)::text;"
    )
    migrator = schemas.migrator("postgres")
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' AND pid <> pg_backend_pid()"
    eventually(lambda: schemas.postgres.query(sleeping) == "1", "the migration runs", within=10)
    migrator.kill()
    migrator.wait()
    assert "Prisma's lock is held" in schemas.shown("postgres")["refusal"]
    eventually(lambda: schemas.postgres.query(sleeping) == "0", "the statement has ended", within=10)
    shown = schemas.shown("postgres")
    assert schemas.repaired("postgres", shown).code == 0
    assert schemas.migrate("postgres")[0] == 0
    assert schemas.postgres.query("SELECT count(*) FROM half") == "0"


@pytest.mark.long
def test_every_unfinished_migration_is_shown_one_after_the_other(schemas: Schemas) -> None:
    """`all` shows both stores. A repair shows what is left."""
    schemas.release("postgres", a_one="CREATE TABLE one (id text)", b_two="CREATE TABLE two (id text)")
    schemas.half_applied_postgres("a_one", "CREATE TABLE one (id text)", steps=1)
    schemas.half_applied_postgres("b_two", "")
    both = schemas.run("all")
    assert both.code == 0
    assert '"store":"clickhouse","migration":null' in both.output
    done = schemas.repaired("postgres", schemas.shown("postgres"))
    assert '"migration":"a_one","repaired":"finish"' in done.output
    assert '"migration":"b_two"' in done.output


def test_the_migrations_of_the_image_are_copied(tmp_path: Path) -> None:
    release = container(stack().one("CronJob", "langfuse-repair-schema"), "release")
    (tmp_path / "clients").mkdir()
    (tmp_path / "release").mkdir()
    variables = {**environment(release, RELEASE_DIR=str(tmp_path / "release")), "SHARED_DIR": str(tmp_path / "shared")}
    assert "the image contains no" in run(release, variables, tmp_path / "clients").output
    names = ("prisma/migrations/a/migration.sql", "clickhouse/migrations/clustered/0001_a.up.sql")
    for name in names:
        file = tmp_path / "shared" / name
        file.parent.mkdir(parents=True)
        file.touch()
    for _ in range(2):
        assert run(release, variables, tmp_path / "clients").code == 0
    copied = {str(file.relative_to(tmp_path / "release")) for file in (tmp_path / "release").rglob("*.sql")}
    assert copied == {"postgres/a/migration.sql", "clickhouse/clustered/0001_a.up.sql"}
