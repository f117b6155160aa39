"""Certificates of private CAs, for servers of tests."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.http_server import QuietHandler
from tests.servers import program


@contextmanager
def https_server(made: Mapping[str, Path]) -> Iterator[str]:
    """Run a server with the certificate of the first CA, which answers 501 to everything. Yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made["server"], made["server"].with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def certificates(folder: Path) -> Iterator[dict[str, Path]]:
    """A CA, another CA, and a certificate of the first one for localhost."""
    made = {name: folder / f"{name}.pem" for name in ("ca", "other", "server")}
    for name in ("ca", "other"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            folder / f"{name}.key",
            "-out",
            made[name],
            "-subj",
            f"/CN={name}",
        )
    openssl(
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        folder / "server.key",
        "-out",
        folder / "server.csr",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    )
    openssl(
        "x509",
        "-req",
        "-in",
        folder / "server.csr",
        "-CA",
        made["ca"],
        "-CAkey",
        folder / "ca.key",
        "-days",
        "2",
        "-copy_extensions",
        "copy",
        "-out",
        made["server"],
    )
    (folder / "server.key").chmod(0o644)
    yield made


def openssl(*words: str | Path) -> None:
    subprocess.run([program("openssl", package="openssl"), *words], check=True, capture_output=True)
