"""Postgres with the rendered configuration: access rights, and the check that runs before a migration."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.containers import Run, run
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import container, environment, secrets
from tests.servers import free_port

SHIPPED = ("20230518075512_first", "20260101000000_second", "20260807120000_third")


def test_the_server_runs_in_utc_with_scram_passwords(postgres: PostgresServer) -> None:
    assert postgres.query("SHOW timezone") == "UTC"
    assert postgres.query("SHOW log_timezone") == "UTC"
    assert postgres.query("SHOW password_encryption") == "scram-sha-256"
    assert postgres.query("SHOW shared_buffers") == "128MB"


def test_the_role_owns_its_database_and_is_not_a_superuser(postgres: PostgresServer) -> None:
    assert postgres.query("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user") == "f|f"
    assert postgres.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'langfuse'") == "langfuse"
    postgres.query("CREATE SCHEMA made; CREATE TABLE made.t (i int); DROP SCHEMA made CASCADE")


def test_the_superuser_cannot_connect_over_the_network(postgres: PostgresServer) -> None:
    with pytest.raises(RuntimeError, match=r"no pg_hba\.conf entry"):
        postgres.query("SELECT 1", user="postgres")


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Prisma's table of migrations, with the finished migrations of SHIPPED."""
    postgres.query("""
        CREATE TABLE _prisma_migrations (
            id text PRIMARY KEY DEFAULT gen_random_uuid(), checksum text NOT NULL DEFAULT '', finished_at timestamptz,
            migration_name text NOT NULL, logs text, rolled_back_at timestamptz,
            started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0
        )
    """)
    names = "('" + "', now()), ('".join(SHIPPED) + "', now())"
    postgres.query(f"INSERT INTO _prisma_migrations (migration_name, finished_at) VALUES {names}")  # noqa: S608  # ours
    yield postgres
    postgres.query("DROP TABLE _prisma_migrations")


def check(postgres: PostgresServer, folder: Path, **replaced: str) -> Run:
    """Run the check of the migration Job."""
    (folder / "postgres").write_text("".join(f"{name}\n" for name in SHIPPED))
    (folder / "cleanup.sql").write_text("DELETE FROM _prisma_migrations WHERE migration_name IN ('20240101_gone');")
    job = container("Job", "langfuse-migrations", "postgres")
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "WAIT_SECONDS": "10"}
    variables = environment(job, **{**address, "RELEASE_DIR": str(folder), **replaced})
    return run(job, variables, postgres.clients)


@contextlib.contextmanager
def busy(postgres: PostgresServer, statement: str, **variables: str) -> Iterator[None]:
    """Run a statement and keep its session until the end of the block."""
    secret = secrets()["langfuse-postgres", "password"]
    command = [str(postgres.clients / "psql"), "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "langfuse", "-qAtX"]
    given = {"PGPASSWORD": secret, "PATH": os.environ["PATH"], **variables}
    with subprocess.Popen(command, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{statement}; SELECT 'ready';\n")
        process.stdin.flush()
        while process.stdout.readline() != "ready\n":
            pass
        yield
        process.stdin.close()


def test_a_migration_and_a_dump_wait_for_each_other(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.query(
        "CREATE TABLE _prisma_migrations (migration_name text, finished_at timestamp, rolled_back_at timestamp, "
        "started_at timestamp)"
    )
    try:
        with busy(postgres, "SELECT 1", PGAPPNAME="pg_dump"):
            result = check(postgres, tmp_path, DUMP_SECONDS="0")
            assert (result.code, "pg_dump has been running for 0 s" in result.output) == (1, True), result.output
        assert check(postgres, tmp_path, DUMP_SECONDS="0").code == 0
        (tmp_path / "id").write_text("2026")
        dump = container("CronJob", "langfuse-backup-postgres", "write-dump")
        address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "WAIT_SECONDS": "0", "WORK_DIR": str(tmp_path)}
        with busy(postgres, "SELECT pg_advisory_lock(72707369)"):
            backup = run(dump, environment(dump, **address, CLIENT_DIR=str(tmp_path)), postgres.clients)
        assert (backup.code, "a migration has been running for 0 s" in backup.output) == (1, True), backup.output
    finally:
        postgres.query("DROP TABLE _prisma_migrations")


def test_an_empty_database_is_accepted(postgres: PostgresServer, tmp_path: Path) -> None:
    result = check(postgres, tmp_path)
    assert (result.code, result.output) == (0, "Postgres has no schema yet\n")


def test_a_finished_schema_is_accepted(schema: PostgresServer, tmp_path: Path) -> None:
    result = check(schema, tmp_path)
    assert (result.code, result.output) == (0, "Postgres: 3 migrations, all finished\n")


def test_migrations_that_the_release_no_longer_contains_are_not_newer(schema: PostgresServer, tmp_path: Path) -> None:
    schema.query("INSERT INTO _prisma_migrations (migration_name, finished_at) VALUES ('20240101_gone', now())")
    assert check(schema, tmp_path).code == 0


def test_an_unfinished_migration_is_refused_and_the_command_that_repairs_it_named(
    schema: PostgresServer, tmp_path: Path
) -> None:
    schema.query("INSERT INTO _prisma_migrations (migration_name) VALUES ('20260807120000_third')")
    result = check(schema, tmp_path)
    assert result.code == 1
    assert "migration 20260807120000_third started but did not finish" in result.output
    assert "python -m operations repair --stack" in result.output


def test_a_schema_newer_than_the_release_is_refused(schema: PostgresServer, tmp_path: Path) -> None:
    schema.query("INSERT INTO _prisma_migrations (migration_name, finished_at) VALUES ('20270101_future', now())")
    result = check(schema, tmp_path)
    assert result.code == 1
    assert "20270101_future" in result.output
    assert "pulumi config set langfuse:version" in result.output
    assert "python -m operations restore --stack STACK --overwrite" in result.output


def test_a_server_that_does_not_answer_is_one_clear_error(postgres: PostgresServer, tmp_path: Path) -> None:
    port = str(free_port())
    result = check(postgres, tmp_path, PGPORT=port, WAIT_SECONDS="0")
    assert result.code == 1
    assert result.output.startswith(f"check-postgres-schema: Postgres at 127.0.0.1:{port} did not answer within 0 s")


def test_the_password_is_neither_in_the_log_nor_in_the_process_list(schema: PostgresServer, tmp_path: Path) -> None:
    result = check(schema, tmp_path)
    assert "psql " in result.command_lines
    assert result.leaks([secrets()["langfuse-postgres", "password"]]) == []
