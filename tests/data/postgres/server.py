"""A Postgres server with the rendered configuration, on a data directory that the script initialized."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.schema.stores import ManagedPostgres
from components.stores.postgres.managed import configuration_files, initdb_arguments
from tests.data.containers import install_client
from tests.data.rendered import config_map, container, environment, secrets
from tests.scripts import SCRIPTS
from tests.servers import free_port, program, running, unprivileged
from tests.unit.configuration import settings

CLIENTS = ("psql", "pg_dump", "pg_dumpall", "pg_restore")


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running Postgres server."""

    port: int
    clients: Path
    """The folder with psql, pg_dump and so on."""

    def query(self, statement: str, *, database: str = "langfuse", user: str = "langfuse") -> str:
        """The result of a statement, over TCP."""
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


@dataclass(frozen=True, kw_only=True)
class ServerFolder:
    """A folder for a server. Data and sockets belong to the user that the server runs as."""

    folder: Path
    user: str | int | None
    binaries: Path

    @property
    def data(self) -> Path:
        """The data directory, a subfolder of the volume."""
        return self.folder / "volume" / "pgdata"

    @property
    def group(self) -> int | None:
        """The group of a user without a name: 0, as a container gets without `runAsGroup`."""
        return 0 if isinstance(self.user, int) else None

    @property
    def sockets(self) -> Path:
        """The folder of the server's socket."""
        return self.folder / "sockets"

    def initialize(self, **replaced: str) -> subprocess.Popen[str]:
        """Start the script of the init container in its own session, as a pod would."""
        given = environment(container("StatefulSet", "langfuse-postgres", "initialize"))
        release = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        variables = {
            **given,
            "POSTGRES_INITDB_ARGS": initdb_arguments(release.stdout.split()[2]),
            "PGDATA": str(self.data),
            "PGHOST": str(self.sockets),
            "PATH": f"{self.binaries}:/usr/bin:/bin",
            **replaced,
        }
        return subprocess.Popen(
            ["/bin/sh", SCRIPTS["initialize-postgres.sh"]],
            env=variables,
            user=self.user,
            group=self.group,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            start_new_session=True,
        )

    def initialized(self, **replaced: str) -> str:
        """Run the script of the init container, which must succeed, and return its output."""
        process = self.initialize(**replaced)
        output, _ = process.communicate(timeout=60)
        if process.returncode:
            pytest.fail(output)
        return output

    @contextlib.contextmanager
    def serving(self) -> Iterator[PostgresServer]:
        """Run the server on the data directory, as the pod does."""
        for name in CLIENTS:
            install_client(self.folder / "clients", name, self.binaries / name)
        port = free_port()
        options = {
            **_configuration(self.folder, self.user),
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.sockets,
        }
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        log = self.folder / "log"
        ask: list[str | Path] = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]

        def ready() -> bool:
            return subprocess.run(ask, check=False).returncode == 0

        with running(command, os.environ, ready, log=log, user=self.user):
            yield PostgresServer(port=port, clients=self.folder / "clients")


def server_folder(folder: Path, user: str | int | None = None) -> ServerFolder:
    """A folder that the server's user can access, although pytest creates its folders for the current user only."""
    made = ServerFolder(
        folder=folder, user=user or unprivileged(), binaries=program("initdb", package="postgresql").resolve().parent
    )
    for path in (made.data.parent, made.sockets):
        path.mkdir(parents=True)
        if isinstance(made.user, int):
            path.chmod(0o2775)  # as the kubelet leaves a volume with an fsGroup: it belongs to root and that group
        elif made.user:
            shutil.chown(path, made.user)
    if made.user:
        shutil.chown(folder, made.user)
        for parent in folder.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                parent.chmod(0o755)
    return made


@contextlib.contextmanager
def started(folder: Path) -> Iterator[PostgresServer]:
    """Initialize and run a server in a folder, as the first start of a pod does."""
    new = server_folder(folder)
    new.initialized()
    with new.serving() as server:
        yield server


def _configuration(folder: Path, user: str | int | None) -> dict[str, Path]:
    files = dict(config_map("langfuse-postgres-config"))
    if isinstance(user, int):
        postgres = settings().postgres
        assert isinstance(postgres, ManagedPostgres)
        files = configuration_files(postgres, "trust")
    elif user != "postgres":
        # "peer" needs a system user of that name, which exists in the image.
        files["pg_hba.conf"] = files["pg_hba.conf"].replace("peer", "trust")
    for name, text in files.items():
        (folder / name).write_text(text)
    return {"config_file": folder / "postgresql.conf", "hba_file": folder / "pg_hba.conf"}
