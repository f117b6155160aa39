"""What a server asks the other replicas for, over their interserver ports."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, cast
from urllib.parse import quote

from sandbox.images.clickhouse.programs import log
from sandbox.images.clickhouse.programs.configuration import Configuration

POLL_SECONDS = 10.0
"""How long a replica waits for a statement before it answers that there is none."""

CONNECT_SECONDS = 3.0
TIMEOUT_SECONDS = 30.0

UNREACHABLE = (OSError, ValueError, EOFError, http.client.HTTPException)
"""The errors of a replica that does not answer, or not as it should."""


class Peer:
    """Another replica. Each method raises one of `UNREACHABLE` if it does not answer."""

    def __init__(self, host: str, configuration: Configuration) -> None:
        """`configuration` is that of this server."""
        self.host, self._configuration = host, configuration

    def vector(self) -> log.Vector:
        """What the replica has run."""
        with self._get("/replication/vector") as response:
            vector: log.Vector = json.loads(response.read())
        return vector

    def missing(self, have: Mapping[str, int]) -> Sequence[log.Entry]:
        """The statements that the replica has and a vector does not cover. Waits for one."""
        with self._get(f"/replication/log?have={quote(json.dumps(have))}") as response:
            return list(log.read_all(response))

    def table(self, key: str) -> tuple[log.Vector, bytes]:
        """The rows of a table in the format Native, and which statements they contain."""
        with self._get(f"/replication/table?name={quote(key)}") as response:
            return json.loads(response.readline()), response.read()

    @contextlib.contextmanager
    def _get(self, path: str) -> Iterator[BinaryIO]:
        configuration = self._configuration
        credentials = f"{configuration.interserver_user}:{configuration.interserver_password}".encode()
        headers = {
            "Authorization": f"Basic {base64.b64encode(credentials).decode()}",
            "X-Replica": configuration.replica,
        }
        connection = http.client.HTTPConnection(self.host, configuration.interserver_port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
            connection.sock.settimeout(TIMEOUT_SECONDS)
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise OSError(f"{self.host}: {response.status} {response.read().decode(errors='replace')}")
            yield cast("BinaryIO", response)
        finally:
            connection.close()
