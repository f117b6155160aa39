"""ClickHouse with the rendered configuration: the real engine behind a replacement of `clickhouse-client`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.data.containers import install_client
from tests.data.rendered import config_map, container, environment, secrets

PORT = "9000"
CLIENT = Path(__file__).with_name("client.py")
"""Takes the place of `clickhouse-client`."""
USERS = {"langfuse": "langfuse-clickhouse", "backup": "langfuse-clickhouse-backup"}


@dataclass(frozen=True, kw_only=True)
class ClickHouseServer:
    """Replaces a server: a folder, and a client that runs the engine on it."""

    folder: Path
    clients: Path

    @property
    def variables(self) -> dict[str, str]:
        """Variables that the client needs in addition to those of its container."""
        return {"CHDB_FOLDER": str(self.folder)}

    def query(self, statement: str, *, user: str = "langfuse", password: str | None = None) -> str:
        """The result of a statement."""
        words = ["--host", "127.0.0.1", "--port", PORT, "--user", user, "--query", statement]
        finished = subprocess.run(
            [self.clients / "clickhouse-client", *words],
            env={
                **self.variables,
                "PATH": os.environ["PATH"],
                "CLICKHOUSE_PASSWORD": password or secrets()[USERS[user], "password"],
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(finished.stderr)
        return finished.stdout.strip()

    def restore(self, backup: str, statement: str) -> str:
        """The result of a statement on the database `drill`, which a user with all rights restores from a backup."""
        script = (
            "import os, sys; from chdb import session; engine = session.Session(sys.argv[1]);"
            "engine.query(sys.argv[2]); print(engine.query(sys.argv[3], 'TSV'), end='')"
        )
        # This engine creates databases of another kind than a server.
        definition = "SETTINGS allow_different_database_def = 1"
        configuration = self.folder / "config-of-drill.xml"
        main = ElementTree.parse(self.folder / "config.xml")  # noqa: S314  # our own file
        for name in ("logger", "user_directories"):
            for element in main.getroot().findall(name):
                main.getroot().remove(element)
        main.write(configuration)
        configuration.with_suffix(".d").symlink_to(self.folder / "config.d")
        finished = subprocess.run(
            [
                *(sys.executable, "-c", script, f"{self.folder / 'data'}?config-file={configuration}"),
                *(f"RESTORE DATABASE default AS drill FROM S3(backups, '{backup}') {definition}", statement),
            ],
            env={**os.environ, **json.loads((self.folder / "environment.json").read_text())},
            cwd=self.folder / "empty",
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()


def prepared(folder: Path, **replaced: str) -> ClickHouseServer:
    """A server in a folder, with the rendered files and the environment of the rendered container."""
    variables = environment(container("StatefulSet", "langfuse-clickhouse", "clickhouse"), **replaced)
    (folder / "environment.json").write_text(json.dumps(variables))
    (folder / "port").write_text(PORT)
    (folder / "keeper").write_text("1")
    files = dict(config_map("langfuse-clickhouse-config"))
    files["config.xml"] = files["config.xml"].replace("/var/lib/clickhouse/", f"{folder}/data/")
    for added in ("config.d", "users.d"):
        (folder / added).mkdir()
    for name, text in files.items():
        target = (
            folder / name
            if name in {"config.xml", "users.xml"}
            else folder / ("users.d" if name == "queries.xml" else "config.d") / name
        )
        target.write_text(text)
    script = folder / "clickhouse-client.sh"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CLIENT} "$@"\n')
    script.chmod(0o755)
    install_client(folder / "clients", "clickhouse-client", script)
    return ClickHouseServer(folder=folder, clients=folder / "clients")
