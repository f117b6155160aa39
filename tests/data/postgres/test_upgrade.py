"""The copy of a database into the data directory of another major release, killed at every moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from components.stores.postgres.managed import initdb_arguments
from tests.data.postgres.server import PostgresServer, ServerFolder, server_folder
from tests.data.rendered import container, environment
from tests.unit.pods import container as container_of
from tests.unit.program import recorded
from tests.waiting import eventually

pytestmark = pytest.mark.long

TABLES = """
CREATE TYPE kind AS ENUM ('one', 'two');
CREATE TABLE projects (id serial PRIMARY KEY, name text NOT NULL UNIQUE, kind kind, at timestamptz DEFAULT now());
CREATE TABLE traces (id bigint PRIMARY KEY, project int REFERENCES projects, body jsonb);
CREATE TABLE "Quoted Name" (id int);
CREATE INDEX traces_body ON traces USING gin (body);
CREATE VIEW names AS SELECT name FROM projects;
INSERT INTO projects (name, kind) SELECT 'project ' || n, 'one' FROM generate_series(1, 100) AS n;
INSERT INTO traces SELECT n, 1 + n % 100, jsonb_build_object('text', repeat('x', n % 100))
  FROM generate_series(1, 20000) AS n;
"""
INVENTORY = "SELECT md5(string_agg(traces::text, ',' ORDER BY id)) FROM traces"


def newest(folder: ServerFolder) -> Path:
    """The programs of the newest major release of this machine. POSTGRES_BINARIES can name those of another one."""
    return Path(os.environ.get("POSTGRES_BINARIES", folder.binaries))


@pytest.fixture
def former(tmp_path: Path) -> Iterator[PostgresServer]:
    """The running server, with data."""
    folder = server_folder(tmp_path / "former")
    folder.initialized()
    with folder.serving() as server:
        server.query(TABLES)
        yield server


@pytest.fixture
def copy(tmp_path: Path) -> ServerFolder:
    """The folder of the new server."""
    made = server_folder(tmp_path / "copy")
    return replace(made, binaries=newest(made))


def start(server: PostgresServer, to: ServerFolder, **replaced: str) -> subprocess.Popen[str]:
    """Start the script of the rendered Job in its own session."""
    recording = recorded("dev", {"postgres": {"mode": "managed", "version": "17.6", "upgradeTo": "18.4"}})
    job = container_of(recording.one("Job", "langfuse-postgres-upgrade"), "copy")
    scripts = to.folder / "scripts"
    scripts.mkdir(exist_ok=True)
    name = job["command"][1].removeprefix("/scripts/")
    for item in recording.of("ConfigMap"):
        if name in item.inputs["data"]:
            for file, text in item.inputs["data"].items():
                (scripts / file).write_text(text)
    release = subprocess.run([to.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    variables = {
        **environment(job),
        "SOURCE_HOST": "127.0.0.1",
        "SOURCE_PORT": str(server.port),
        "WAIT_SECONDS": "3",
        "PGDATA": str(to.data),
        "PGHOST": str(to.sockets),
        "POSTGRES_INITDB_ARGS": initdb_arguments(release.stdout.split()[2]),
        "PATH": f"{to.binaries}:/usr/bin:/bin",
        **replaced,
    }
    return subprocess.Popen(
        ["/bin/sh", scripts / name],
        env=variables,
        user=to.user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def test_the_copy_has_everything_and_the_new_server_starts_with_it(former: PostgresServer, copy: ServerFolder) -> None:
    before = former.query(INVENTORY)
    code, output = end(start(former, copy))
    assert code == 0, output
    assert "the copy is complete: 3 tables with 20100 rows are the same on both servers" in output
    assert former.query(INVENTORY) == before
    with copy.serving() as server:
        assert server.query(INVENTORY) == before
        assert server.query("INSERT INTO projects (name) VALUES ('next') RETURNING id") == "101"
        assert server.query("SELECT count(*) FROM names") == "101"
        server.query("CREATE TABLE made_by_the_role (id int); DROP TABLE traces")  # it owns what was copied
    again, output = end(start(former, copy))
    assert again == 0
    assert "is complete" in output


def test_a_connected_client_stops_the_copy(former: PostgresServer, copy: ServerFolder) -> None:
    with ThreadPoolExecutor() as pool:
        client = pool.submit(former.query, "SET application_name = 'worker'; SELECT pg_sleep(8)")
        time.sleep(1)
        code, output = end(start(former, copy))
        client.result()
    assert code == 1
    assert "still connected to the former server: worker at 127.0.0.1" in output
    assert not copy.data.exists()
    assert end(start(former, copy))[0] == 0  # when it has gone


def test_a_copy_that_is_killed_begins_again(former: PostgresServer, copy: ServerFolder) -> None:
    before = former.query(INVENTORY)
    killed = 0
    for seconds in (0.3, 1.0, 2.0, 3.0, 4.5, 6.0):
        process = start(former, copy)
        time.sleep(seconds)
        if process.poll() is None:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
            stop_servers(process, copy)
        end(process)
        if copy.data.exists():
            break
        assert former.query(INVENTORY) == before
    assert killed >= 2
    code, output = end(start(former, copy))
    assert code == 0, output
    with copy.serving() as server:
        assert server.query(INVENTORY) == before


def stop_servers(process: subprocess.Popen[str], folder: ServerFolder) -> None:
    """End the servers that the killed script had started: in a pod they die together with it.

    They have their own sessions, and hold the script's output open.
    """

    def ended() -> bool:
        for file in folder.data.parent.glob(f"{folder.data.name}.copy*/postmaster.pid"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
                server = int(file.read_text().split()[0])
                if str(folder.data.parent) in Path(f"/proc/{server}/cmdline").read_text():
                    os.kill(server, signal.SIGKILL)
        process.communicate(timeout=0.5)
        return True

    eventually(ended, "the servers of the killed script run", ignoring=(subprocess.TimeoutExpired,))


def test_a_copy_that_differs_is_refused(former: PostgresServer, copy: ServerFolder) -> None:
    """A client that writes after the dump has begun."""
    wrapper = copy.folder / "programs" / "pg_dump"
    wrapper.parent.mkdir()
    psql = (
        f'PGPASSWORD="$POSTGRES_PASSWORD" {copy.binaries}/psql -qX -h 127.0.0.1 -p {former.port} -U langfuse langfuse'
    )
    statements = "DELETE FROM traces WHERE id = 7; CREATE TABLE late (id int)"
    wrapper.write_text(f'#!/bin/sh\n{copy.binaries}/pg_dump "$@" || exit\n{psql} -c "{statements}"\n')
    wrapper.chmod(0o755)
    code, output = end(start(former, copy, PATH=f"{wrapper.parent}:{copy.binaries}:/usr/bin:/bin"))
    assert code == 1
    assert "only the former server has: rows of public.traces|19999" in output
    assert "only the copy has: rows of public.traces|20000" in output
    assert "The former server and its volume are unchanged" in output
    assert not copy.data.exists()


def test_a_dump_that_ends_early_is_refused(former: PostgresServer, copy: ServerFolder) -> None:
    code, output = end(start(former, copy, APPLICATION_DATABASE="missing"))
    assert code == 1
    assert not copy.data.exists()
    assert environment(container("StatefulSet", "langfuse-postgres", "initialize"))["POSTGRES_PASSWORD"] not in output


def test_a_volume_without_a_database_is_refused_by_the_server(tmp_path: Path) -> None:
    recording = recorded("dev", {"postgres": {"mode": "managed", "version": "18.4", "volume": 18}})
    initialize = container_of(recording.one("StatefulSet", "langfuse-postgres"), "initialize")
    name = initialize["command"][1].removeprefix("/scripts/")
    files = next(item.inputs["data"] for item in recording.of("ConfigMap") if name in item.inputs["data"])
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    done = subprocess.run(
        ["/bin/sh", tmp_path / name],
        env={"PGDATA": str(tmp_path / "pgdata")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the volume has no database" in done.stderr
    assert not (tmp_path / "pgdata").exists()
