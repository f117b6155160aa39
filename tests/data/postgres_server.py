"""A Postgres server with the shipped configuration, and the shipped script that makes role and database."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.files import SCRIPTS
from tests.data.jobs import client
from tests.data.rendered import config_map, container, environment, secrets
from tests.data.servers import answers, free_port, program, running, unprivileged

CLIENTS = ("psql", "pg_dump", "pg_dumpall", "pg_restore")


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A Postgres server."""

    port: int
    clients: Path
    """The folder that holds psql, pg_dump and so on."""

    def query(self, statement: str, *, database: str = "langfuse", user: str = "langfuse") -> str:
        """The answer to a statement over the network."""
        finished = subprocess.run(
            [self.clients / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database, "-qAtX"],
            input=f"\\set ON_ERROR_STOP 1\n{statement}",
            env={"PGPASSWORD": secrets()["langfuse-postgres", "password"], "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(finished.stderr)
        return finished.stdout.strip()


@contextlib.contextmanager
def started(folder: Path) -> Iterator[PostgresServer]:
    """A new server in a folder, as a pod starts it for the first time."""
    binaries = program("initdb", package="postgresql").resolve().parent
    for name in CLIENTS:
        client(folder / "clients", name, binaries / name)
    user = unprivileged()
    configuration = _configuration(folder, user)
    sockets, data, port = folder / "sockets", folder / "data", free_port()
    sockets.mkdir()
    if user:
        # The server's user reaches its folder through those that pytest makes for its own user alone.
        for parent in folder.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                parent.chmod(0o755)
        shutil.chown(folder, user)
        shutil.chown(sockets, user)
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--encoding=UTF8",
        "--data-checksums",
    ]
    subprocess.run(initdb, user=user, check=True, capture_output=True, cwd="/")
    command: list[str | Path] = [binaries / "postgres", "-D", data]
    settings = {**configuration, "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": sockets}
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with running(command, os.environ, lambda: answers(port), log=folder / "log", user=user):
        first_start = environment(container("StatefulSet", "langfuse-postgres", "postgres"))
        subprocess.run(
            ["/bin/sh", SCRIPTS / "create-database.sh"],
            env={**first_start, "PATH": f"{binaries}:/usr/bin:/bin", "PGHOST": str(sockets), "PGPORT": str(port)},
            user=user,
            check=True,
            cwd="/",
        )
        yield PostgresServer(port=port, clients=folder / "clients")


def _configuration(folder: Path, user: str | None) -> dict[str, Path]:
    files = dict(config_map("langfuse-postgres-config"))
    if user != "postgres":
        # "peer" asks for a user of that name, which is there in the image.
        files["pg_hba.conf"] = files["pg_hba.conf"].replace("peer", "trust")
    for name, text in files.items():
        (folder / name).write_text(text)
    return {"config_file": folder / "postgresql.conf", "hba_file": folder / "pg_hba.conf"}
