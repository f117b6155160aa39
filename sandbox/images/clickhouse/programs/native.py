"""The port of the native protocol, with a protocol of our own.

Our `clickhouse-client` and the migrations of the probe application speak it. A request is a JSON object on one line:
`user`, `password`, `query`, and optionally `database`, `format` and `settings`. The query may have several statements.
The answer is a JSON object on one line: `{"bytes": N}` and then N bytes of output, or `{"code": N, "error": text}`.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.images.clickhouse.programs import statements
from sandbox.images.clickhouse.programs.configuration import DATABASE, Configuration
from sandbox.images.clickhouse.programs.engine import DEFAULT_FORMAT, session_of
from sandbox.images.clickhouse.programs.errors import BAD_ARGUMENTS, StatementError, authentication_failed
from sandbox.images.clickhouse.programs.executor import Executor
from sandbox.images.clickhouse.programs.interfaces import LineHandler


class NativeHandler(LineHandler):
    """Answers requests of our client."""

    configuration: Configuration
    executor: Executor

    def respond(self, line: bytes) -> bytes:
        """Run the statements of a request."""
        try:
            output = self._run(_request(line))
        except StatementError as error:
            return json.dumps({"code": error.code, "error": str(error)}).encode() + b"\n"
        return json.dumps({"bytes": len(output)}).encode() + b"\n" + output

    def _run(self, request: dict[str, Any]) -> bytes:
        name = str(request["user"])
        user = self.configuration.user(name, str(request["password"]))
        if user is None:
            raise authentication_failed(name)
        session = session_of(user, settings=request.get("settings") or {}, database=request.get("database") or DATABASE)
        output_format = request.get("format") or DEFAULT_FORMAT
        text = str(request["query"]).encode("utf-8", "surrogateescape").decode("latin-1")
        return b"".join(
            self.executor.run(statement, session, output_format).data for statement in statements.split(text)
        )


def _request(line: bytes) -> dict[str, Any]:
    try:
        request: dict[str, Any] = json.loads(line)
        if {"user", "password", "query"} <= request.keys():
            return request
    except (ValueError, AttributeError):
        pass
    message = "this server stands in for ClickHouse's: it has the engine, but not the native protocol"
    raise StatementError.of(BAD_ARGUMENTS, message, "BAD_ARGUMENTS")
