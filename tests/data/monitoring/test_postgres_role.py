"""The role of the exporter of Postgres, on a real server with the rendered configuration."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.schema.stores import ManagedPostgres
from components.stores.postgres.managed import configuration_files
from tests.data.postgres.server import PostgresServer, ServerFolder, server_folder
from tests.scripts import SCRIPTS
from tests.unit.configuration import settings

PASSWORD, NEXT = "FirstPassword1", "SecondPassword2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ServerFolder:
    made = server_folder(tmp_path_factory.mktemp("postgres"))
    made.initialized()
    return made


@pytest.fixture(scope="module")
def server(folder: ServerFolder) -> Iterator[PostgresServer]:
    with folder.serving() as running:
        postgres = settings().postgres
        assert isinstance(postgres, ManagedPostgres)
        rules = folder.folder / "pg_hba.conf"
        own = "peer" if "peer" in rules.read_text() else "trust"
        rules.write_text(configuration_files(postgres, own, metrics=True)["pg_hba.conf"])
        subprocess.run([folder.binaries / "pg_ctl", "reload", "-D", folder.data], check=True, user=folder.user)
        yield running


def probe(folder: ServerFolder, server: PostgresServer, password: str) -> subprocess.CompletedProcess[str]:
    """Run the startup probe."""
    return subprocess.run(
        ["/bin/sh", SCRIPTS["create-metrics-role.sh"]],
        env={
            "METRICS_ROLE": "metrics",
            "METRICS_PASSWORD": password,
            "PGHOST": str(folder.sockets),
            "PGPORT": str(server.port),
            "PATH": f"{folder.binaries}:/usr/bin:/bin",
        },
        user=folder.user,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def ask(server: PostgresServer, statement: str, password: str, database: str = "postgres") -> str:
    finished = subprocess.run(
        [server.clients / "psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "metrics", "-d", database, "-qAtX"],
        input=f"\\set ON_ERROR_STOP 1\n{statement}",
        env={"PGPASSWORD": password, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.stdout.strip() or finished.stderr


def test_the_probe_creates_a_role_that_reads_statistics_and_no_data(
    folder: ServerFolder, server: PostgresServer
) -> None:
    assert probe(folder, server, PASSWORD).returncode == 0
    server.query("CREATE TABLE IF NOT EXISTS secret_things AS SELECT 1 AS one")
    assert ask(server, "SELECT count(*) > 0 FROM pg_stat_activity", PASSWORD) == "t"
    assert ask(server, "SELECT pg_database_size('langfuse') > 0", PASSWORD) == "t"
    # What other roles run, and since when: the oldest transaction.
    assert ask(server, "SELECT pg_has_role('metrics', 'pg_read_all_stats', 'usage')", PASSWORD) == "t"
    assert "no pg_hba.conf entry" in ask(server, "SELECT * FROM secret_things", PASSWORD, "langfuse")
    assert "read-only transaction" in ask(server, "CREATE TEMPORARY TABLE t (i int)", PASSWORD)
    rights = "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    assert ask(server, rights, PASSWORD) == "f"


def test_another_start_changes_the_password_and_no_log_has_it(folder: ServerFolder, server: PostgresServer) -> None:
    assert probe(folder, server, PASSWORD).returncode == 0
    again = probe(folder, server, NEXT)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert ask(server, "SELECT 1", NEXT) == "1"
    assert "password authentication failed" in ask(server, "SELECT 1", PASSWORD)
    assert NEXT not in (folder.folder / "log").read_text()


def test_a_role_that_cannot_be_created_does_not_stop_the_server(
    folder: ServerFolder, server: PostgresServer, tmp_path: Path
) -> None:
    other = ServerFolder(folder=tmp_path, user=folder.user, binaries=folder.binaries)  # without a socket
    refused = probe(other, server, PASSWORD)
    assert refused.returncode == 0
    assert "could not be created" in refused.stderr
