"""The interserver port: what other replicas fetch, and the rows of two system tables for this server's own engine."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus

from sandbox.images.clickhouse.programs.configuration import Configuration
from sandbox.images.clickhouse.programs.coordination import Coordination, children
from sandbox.images.clickhouse.programs.errors import StatementError
from sandbox.images.clickhouse.programs.executor import Executor
from sandbox.images.clickhouse.programs.http_interface import credentials
from sandbox.images.clickhouse.programs.interfaces import HttpHandler
from sandbox.images.clickhouse.programs.replication import Replication

ENGINE_USER = "engine"


class InterserverHandler(HttpHandler):
    """Answers requests with the interserver credentials."""

    configuration: Configuration
    coordination: Coordination
    executor: Executor
    replication: Replication
    token: str
    """The password of this server's own engine. It differs from the configured one, because the engine's error messages
    contain it."""

    def handle_request(self) -> None:
        """Answer a request."""
        self.body()
        configuration = self.configuration
        given = credentials(self.headers, {})
        wanted = (configuration.interserver_user, configuration.interserver_password), (ENGINE_USER, self.token)
        if not any(hmac.compare_digest(":".join(given).encode(), ":".join(one).encode()) for one in wanted):
            self.send(HTTPStatus.UNAUTHORIZED, b"", {"WWW-Authenticate": 'Basic realm="ClickHouse"'})
            return
        try:
            self.send(HTTPStatus.OK, self._answer())
        except StatementError as error:
            # Of this status, the engine tries no request again.
            self.send(HTTPStatus.BAD_REQUEST, str(error).encode())
        except KeyError:
            self.send(HTTPStatus.NOT_FOUND, b"")

    def _answer(self) -> bytes:
        match self.url.path:
            case "/replication/vector":
                return json.dumps(self.replication.vector()).encode()
            case "/replication/log":
                vector = json.loads(self.arguments["have"])
                return b"".join(self.replication.missing_of(self.headers["X-Replica"], vector))
            case "/replication/table":
                vector, rows = self.replication.snapshot(self.arguments["name"])
                return json.dumps(vector).encode() + b"\n" + rows
            case "/system/query_log":
                return _lines(list(self.executor.query_log))
            case "/system/replicas":
                return _lines(self.replication.status())
            case "/system/zookeeper":
                return _lines(zookeeper_rows(self.coordination.nodes()))
        raise KeyError(self.url.path)


def zookeeper_rows(nodes: dict[str, str]) -> list[dict[str, object]]:
    """The rows of system.zookeeper for all paths."""
    paths = {"/"}
    for node in nodes:
        parts = node.strip("/").split("/")
        paths |= {"/" + "/".join(parts[:count]) for count in range(1, len(parts))}
    return [
        {"path": path, "name": name, "value": nodes.get(f"{path.rstrip('/')}/{name}", ""), "numChildren": count}
        for path in sorted(paths)
        for name, count in sorted(children(list(nodes), path).items())
    ]


def _lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
