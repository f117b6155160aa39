"""What the servers of this package share: listening, lines and HTTP."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from sandbox.images.clickhouse.programs.configuration import ConfigurationError

WORD_LENGTH = 4
IDLE_SECONDS = 60.0


def config_file(arguments: Sequence[str]) -> Path:
    """The value of `--config-file`, with `=` or as the next argument.

    Raises:
        ConfigurationError: If it is missing.
    """
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in {"--config-file", "--config", "-C"}:
            return Path(value or arguments[index + 1])
    raise ConfigurationError("--config-file=FILE is missing")


class _Threads(socketserver.ThreadingMixIn):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class LineServer(_Threads, socketserver.TCPServer):
    """A server of lines."""


class WebServer(_Threads, HTTPServer):
    """A server of HTTP."""

    def server_bind(self) -> None:
        """Bind without a look-up of the host's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # as the base class


class LineHandler(socketserver.StreamRequestHandler):
    """Answers lines of a connection."""

    timeout = IDLE_SECONDS

    def handle(self) -> None:
        """Answer each line until the connection ends. A word of four letters needs no line break."""
        try:
            first = self._first()
            while first:
                self.wfile.write(self.respond(first))
                if len(first) == WORD_LENGTH:
                    return
                first = self.rfile.readline()
        except OSError:
            return

    def _first(self) -> bytes:
        start = self.rfile.read(WORD_LENGTH)
        if start.isalpha() and start.islower():
            return start
        return start + self.rfile.readline() if start else b""

    def respond(self, line: bytes) -> bytes:
        """The answer to a line."""
        raise NotImplementedError


class HttpHandler(BaseHTTPRequestHandler):
    """Answers HTTP requests, with connections that are kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = IDLE_SECONDS

    @cached_property
    def url(self) -> SplitResult:
        """The parts of the address."""
        return urlsplit(self.path)

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The arguments in the address."""
        return dict(parse_qsl(self.url.query, keep_blank_values=True))

    def handle_one_request(self) -> None:
        """Answer one request, which forgets what it knows of the one before."""
        for name in ("url", "arguments"):
            self.__dict__.pop(name, None)
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer GET."""
        self.handle_request()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815  # see above

    def handle_request(self) -> None:
        """Answer a request."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The body as it was sent: chunked, or with a length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def is_stopping(self) -> bool:
        """Whether the server stops, so that clients must use other connections for their next requests."""
        return False

    def send(self, status: HTTPStatus, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a response."""
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=UTF-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        if self.is_stopping():
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Log nothing: probes would fill the log."""


def listen(handler: type[LineHandler | HttpHandler], hosts: Sequence[str], port: int) -> list[LineServer | WebServer]:
    """Answer connections in threads, at each of the hosts that is possible, as with `listen_try`.

    `::` accepts IPv4 too, so `0.0.0.0` after it is possible only where the kernel has no IPv6.

    Raises:
        OSError: No host is possible.
    """
    base: type[LineServer | WebServer] = WebServer if issubclass(handler, HttpHandler) else LineServer
    servers: list[LineServer | WebServer] = []
    errors: list[OSError] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            server = type(base.__name__, (base,), {"address_family": family})((host, port), handler)
        except OSError as error:
            errors.append(error)
            continue
        threading.Thread(target=server.serve_forever, daemon=True, name=f"{handler.__name__}:{port}").start()
        servers.append(server)
    if not servers:
        raise errors[0]
    return servers
