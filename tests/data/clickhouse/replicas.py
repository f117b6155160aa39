"""ClickHouse replicas, each with its own engine, and their startup probe."""

import sys
from pathlib import Path

from tests.data.clickhouse.server import CLIENT, ClickHouseServer, prepared
from tests.data.containers import Run, install_client, run
from tests.data.rendered import Container, environment
from tests.unit.pods import container
from tests.unit.program import recorded

NOBODY = "Connection refused"
NO_TABLES, SOME_TABLES = "0", "46"


class Replicas:
    """The three servers of the rendered prod stack."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hosts = environment(self._container)["REPLICAS"].split()
        wrapper = folder / "clickhouse-client.sh"
        # In a pod, 127.0.0.1 is the server of the same pod.
        wrapper.write_text(
            "#!/bin/sh\nhost=$2\n"
            f'[ "$host" != 127.0.0.1 ] || host=$(cd {folder} && ls -d "$POD_NAME".*)\n'
            f'[ -d "{folder}/$host" ] || {{ echo "$2: {NOBODY}" >&2; exit 210; }}\n'
            f'CHDB_FOLDER="{folder}/$host" exec {sys.executable} {CLIENT} "$@"\n'
        )
        wrapper.chmod(0o755)
        install_client(folder / "clients", "clickhouse-client", wrapper)

    @property
    def _container(self) -> Container:
        return container(recorded("prod").one("StatefulSet", "langfuse-clickhouse"))

    def start(self, ordinal: int) -> ClickHouseServer:
        """Start a replica with an empty volume."""
        folder = self._folder / self.hosts[ordinal]
        folder.mkdir()
        server = prepared(folder, POD_NAME=folder.name.partition(".")[0])
        self.set_keeper_tables(NO_TABLES, server)
        return server

    def set_keeper_tables(self, tables: str, *servers: ClickHouseServer) -> None:
        """Set the number of tables that Keeper reports."""
        for server in servers:
            (server.folder / "keeper").write_text(tables)

    def probe(self, pod: str) -> Run:
        """Run the startup probe of a pod."""
        hook = {**self._container, **self._container["startupProbe"]["exec"]}
        return run(hook, environment(self._container, POD_NAME=pod), self._folder / "clients")
