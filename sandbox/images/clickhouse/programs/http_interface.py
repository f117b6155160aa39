"""The HTTP interface of a server (clickhouse.com/docs/interfaces/http), as `@clickhouse/client` uses it.

There are no sessions: each request has its own settings, and temporary tables end with it.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import uuid
import zlib
from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus

from sandbox.images.clickhouse.programs import statements
from sandbox.images.clickhouse.programs.configuration import Configuration, User
from sandbox.images.clickhouse.programs.engine import DEFAULT_FORMAT, Result, session_of
from sandbox.images.clickhouse.programs.errors import NOT_IMPLEMENTED, StatementError, authentication_failed
from sandbox.images.clickhouse.programs.executor import Executor
from sandbox.images.clickhouse.programs.interfaces import HttpHandler
from sandbox.images.clickhouse.programs.replication import Replication

GZIP_LEVEL = 1

_LOGGED_BYTES = 2000
"""The most bytes of a statement in system.query_log."""

_NOT_SETTINGS = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"),
        *("compress", "decompress", "enable_http_compression", "http_zlib_compression_level", "buffer_size"),
        *("wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        *("client_protocol_version", "cancel_http_readonly_queries_on_client_close", "add_http_cors_header"),
        *("http_write_exception_in_output_format", "session_check", "session_timeout", "close_session"),
    }
)
"""Arguments of a request that the engine does not need (src/Server/HTTPHandler.cpp)."""

_READ_ONLY = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"})


class QueryHandler(HttpHandler):
    """Answers queries, `/ping` and `/replicas_status`."""

    configuration: Configuration
    executor: Executor
    replication: Replication
    version: str
    stopping: threading.Event

    def is_stopping(self) -> bool:
        """Whether the server got SIGTERM."""
        return self.stopping.is_set()

    def handle_request(self) -> None:
        """Answer a request. An error has the text and the status that ClickHouse gives it."""
        body = self.body()
        is_ping = self.url.path in {"/ping", "/"} and self.command in {"GET", "HEAD"} and not self.arguments
        if is_ping or self.url.path == "/replicas_status":
            self.send(HTTPStatus.OK, b"Ok.\n")
        elif self.url.path != "/":
            self.send(HTTPStatus.NOT_FOUND, f"There is no handle {self.path}\n".encode())
        else:
            self._answer_query(body)

    def _answer_query(self, body: bytes) -> None:
        headers = {
            "X-ClickHouse-Query-Id": self.arguments.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": self.configuration.replica,
            "X-ClickHouse-Timezone": "UTC",
        }
        if not self.close_connection:
            headers["Keep-Alive"] = f"timeout={self.configuration.keep_alive_seconds}"
        query_id, comment = headers["X-ClickHouse-Query-Id"], self.arguments.get("log_comment", "")
        shown = self.arguments.get("query") or body[:_LOGGED_BYTES].decode(errors="replace")
        try:
            result, output_format = self._query(self._user(), body)
            self.executor.log(query_id, shown, comment)
        except StatementError as error:
            self.executor.log(query_id, shown, comment, error=error.code)
            text = f"{error} (version {self.version})\n"
            self.send(error.status, text.encode(), {**headers, "X-ClickHouse-Exception-Code": str(error.code)})
            return
        headers |= {"X-ClickHouse-Summary": summary(result), "X-ClickHouse-Format": output_format}
        data = result.data
        if self.arguments.get("enable_http_compression") == "1" and "gzip" in self.headers.get("Accept-Encoding", ""):
            data = gzip.compress(data, GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        self.send(HTTPStatus.OK, data, headers)

    def _query(self, user: User, body: bytes) -> tuple[Result, str]:
        arguments = self.arguments
        text = decompressed(body, self.headers.get("Content-Encoding", "")).decode("latin-1")
        if query := arguments.get("query"):
            text = query.encode().decode("latin-1") + "\n" + text
        if "session_id" in arguments:
            raise StatementError.of(NOT_IMPLEMENTED, "Sessions over HTTP are not implemented here", "NOT_IMPLEMENTED")
        statement = statements.single(text)
        if self.command in {"GET", "HEAD"} and statement.verb not in _READ_ONLY:
            message = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
            raise StatementError.of(164, message, "READONLY")
        session = session_of(
            user,
            settings=settings_of(arguments),
            database=arguments.get("database") or self.headers.get("X-ClickHouse-Database") or "",
            parameters={name.removeprefix("param_"): value for name, value in arguments.items() if _is_parameter(name)},
        )
        output_format = arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or DEFAULT_FORMAT
        result = self.executor.run(statement, session, output_format)
        return result, (statement.format if statement.verb != "INSERT" else None) or output_format

    def _user(self) -> User:
        name, password = credentials(self.headers, self.arguments)
        user = self.configuration.user(name, password)
        if user is None:
            raise authentication_failed(name)
        return user


def credentials(headers: Message, arguments: Mapping[str, str]) -> tuple[str, str]:
    """The user and the password: from headers of ClickHouse, from Basic authentication, or from the address."""
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return "", ""
        return name, password
    return arguments.get("user", "default"), arguments.get("password", "")


def settings_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """The settings of a request: all arguments but those that HTTP itself uses."""
    return {name: value for name, value in arguments.items() if name not in _NOT_SETTINGS and not _is_parameter(name)}


def decompressed(body: bytes, encoding: str) -> bytes:
    """A body without its compression. Raises `StatementError` for an unknown one or broken data."""
    try:
        match encoding:
            case "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise StatementError.of(354, f"inflate failed: {error}", "ZLIB_INFLATE_FAILED") from error
    raise StatementError.of(NOT_IMPLEMENTED, f"Unknown compression method: {encoding}", "NOT_IMPLEMENTED")


def summary(result: Result) -> str:
    """The value of X-ClickHouse-Summary, whose numbers are strings."""
    numbers = {
        "read_rows": result.read_rows,
        "read_bytes": result.read_bytes,
        "written_rows": result.written_rows,
        "written_bytes": result.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": result.written_rows,
        "result_bytes": len(result.data),
        "elapsed_ns": result.elapsed_ns,
    }
    return json.dumps({name: str(number) for name, number in numbers.items()})


def _is_parameter(name: str) -> bool:
    return name.startswith("param_")
