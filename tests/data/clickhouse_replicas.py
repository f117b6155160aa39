"""Replicas of ClickHouse: an engine each, and the startup probe between them."""

import sys
from pathlib import Path

from tests.data import clickhouse_client
from tests.data.clickhouse_server import ClickHouseServer, prepared
from tests.data.jobs import Run, client, run
from tests.data.rendered import Container, environment
from tests.unit.program import recorded

NOBODY = "Connection refused"
NO_TABLES, SOME_TABLES = "0", "46"


class Replicas:
    """The servers of a rendered stack that has three."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hosts = environment(self._container)["REPLICAS"].split()
        wrapper = folder / "clickhouse-client.sh"
        # On a node the probe runs where its server does: 127.0.0.1 is the pod itself.
        wrapper.write_text(
            "#!/bin/sh\nhost=$2\n"
            f'[ "$host" != 127.0.0.1 ] || host=$(cd {folder} && ls -d "$POD_NAME".*)\n'
            f'[ -d "{folder}/$host" ] || {{ echo "$2: {NOBODY}" >&2; exit 210; }}\n'
            f'CHDB_FOLDER="{folder}/$host" exec {sys.executable} {clickhouse_client.__file__} "$@"\n'
        )
        wrapper.chmod(0o755)
        client(folder / "clients", "clickhouse-client", wrapper)

    @property
    def _container(self) -> Container:
        spec = recorded("prod").one("StatefulSet", "langfuse-clickhouse").inputs["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        found: Container = container
        return found

    def start(self, ordinal: int) -> ClickHouseServer:
        """Start one with an empty volume."""
        folder = self._folder / self.hosts[ordinal]
        folder.mkdir()
        server = prepared(folder, POD_NAME=folder.name.partition(".")[0])
        self.keeper_has(NO_TABLES, server)
        return server

    def keeper_has(self, tables: str, *servers: ClickHouseServer) -> None:
        """Say how many tables Keeper knows."""
        for server in servers:
            (server.folder / "keeper").write_text(tables)

    def probe(self, pod: str) -> Run:
        """Run what the kubelet runs in a pod until it succeeds."""
        hook = {**self._container, **self._container["startupProbe"]["exec"]}
        return run(hook, environment(self._container, POD_NAME=pod), self._folder / "clients")
