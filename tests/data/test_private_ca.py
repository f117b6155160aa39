"""The programs of the stack trust a private CA by the variables that `langfuse:network.ca` gives them."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from components.kubernetes.trust import FOLDER, VARIABLES
from tests.data.application.store_checks import NODE
from tests.data.certificates import certificates
from tests.http_server import QuietHandler
from tests.servers import tool

UNTRUSTED = ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "certificate signed by unknown authority", "certificate verify failed")


ANSWER = "an answer of the server"


class Handler(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802  # the name of the library
        body = json.dumps({"a": ANSWER}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # ditto


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a server whose certificate is of a private CA, and the folder with that CA."""
    folder, trusted = tmp_path_factory.mktemp("certificates"), tmp_path_factory.mktemp("trusted")
    with certificates(folder) as made:
        (trusted / "ca.pem").write_text(made["ca"].read_text())
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made["server"], folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_address[1]}/x", trusted
        server.shutdown()
        server.server_close()


def command(image: str, url: str) -> tuple[list[str | Path], str]:
    """A program of an image that calls a URL, and what shows that it got an answer."""
    match image:
        case "worker":
            script = f"fetch('{url}').then((answer) => console.log(answer.status), (e) => console.log(e.cause.code))"
            return [NODE, "-e", script], "200"
        case "minio_client":
            return [tool("mc"), "ls", "store/bucket"], "EOF"  # no answer of S3, but one
        case "rclone":
            remote = (
                f":s3,provider=Minio,endpoint='{url.removesuffix('/x')}',access_key_id=a,secret_access_key=b:bucket/x"
            )
            options = ["--config=/dev/null", "--retries=1", "--low-level-retries=1"]
            return [tool("rclone"), *options, "cat", remote], "Failed to read last modified"  # of the answer
        case "oauth2_proxy":
            options = ["--provider=oidc", "--client-id=a", "--client-secret=b", f"--cookie-secret={'0' * 16}"]
            issuer = url.removesuffix("/x")
            return [tool("oauth2-proxy"), *options, "--email-domain=*", f"--oidc-issuer-url={issuer}"], "did not match"
        case _:
            query = f"SELECT * FROM url('{url}', JSONEachRow, 'a String') SETTINGS http_max_tries = 1"  # noqa: S608
            return [sys.executable, "-c", f'import chdb; print(chdb.query("{query}"))'], ANSWER


@pytest.mark.parametrize("image", sorted(VARIABLES.keys() - {"web"}))
def test_a_program_trusts_the_private_ca(image: str, served: tuple[str, Path], tmp_path: Path) -> None:
    url, trusted = served
    words, answered = command(image, url)

    def call(variables: Mapping[str, str]) -> str:
        given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MC_CONFIG_DIR": str(tmp_path)}
        given["MC_HOST_store"] = url.replace("://", "://key:secret@").removesuffix("/x")
        done = subprocess.run(
            words, env={**given, **variables}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    assert any(text in call({}) for text in UNTRUSTED)
    rendered = {name: value.replace(FOLDER, str(trusted)) for name, value in VARIABLES[image].items()}
    assert answered in call(rendered)
