"""Replaces Langfuse's web: a server that signs its visitor in and records requests."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.http_server import QuietHandler, http_server

SESSION = "__Secure-next-auth.session-token"

PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' https: blob: data:; media-src 'self' https:; connect-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'"
)
"""The directives of Langfuse's own policy that restrict where pages load content from (web/next.config.mjs)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request of a browser."""

    path: str
    signed_in: bool
    body: str


@dataclass(frozen=True, kw_only=True)
class Web:
    """A running server."""

    port: int
    requests: list[Request] = field(default_factory=list)

    def received(self, path: str) -> list[Request]:
        """The received requests for a path."""
        return [request for request in self.requests if request.path == path]


@contextlib.contextmanager
def web() -> Iterator[Web]:
    """Run the server on a free port."""
    received: list[Request] = []

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            signed_in = SESSION in (self.headers.get("Cookie") or "")
            received.append(Request(path=self.path, signed_in=signed_in, body=body))
            api = self.path.startswith("/api/")
            content = ("owner@example.com" if signed_in else "nobody") if api else "<!doctype html><title>UI</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if api else "text/html")
            self.send_header("Content-Length", str(len(content)))
            if not api:
                self.send_header("Content-Security-Policy", PAGE_POLICY)
                self.send_header("Set-Cookie", f"{SESSION}=x; Path=/; HttpOnly; Secure; SameSite=Lax")
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = _answer  # noqa: N815  # named by the base class

    with http_server(Handler) as port:
        yield Web(port=port, requests=received)
