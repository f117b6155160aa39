"""The image registry of a node: serves the sandbox's image archives as every registry that the node asks for.

It implements what containerd needs to pull (opencontainers/distribution-spec, section "Pull"): manifests by tag or
digest, and blobs by digest. An image that is missing is packed or pulled at the first request. It has no state of its
own and no upload. Run it on the host's network as `python -m sandbox.node.registry ADDRESS PORT`.
"""

from __future__ import annotations

import json
import logging
import sys
import tarfile
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from sandbox import images
from sandbox.errors import SandboxError

CHUNK_BYTES: Final = 1 << 20
INDEX: Final = "index.json"
BLOBS: Final = "blobs/sha256/"
DEFAULT_REGISTRY: Final = "docker.io"

log = logging.getLogger("registry")


@dataclass(frozen=True)
class Blob:
    """A part of an archive."""

    archive: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Its content."""
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Archives:
    """The manifests and blobs of the archives that have been requested so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._manifests: dict[str, tuple[str, str]] = {}  # reference: digest, media type
        self.blobs: dict[str, Blob] = {}
        self.media_types: dict[str, str] = {}

    def manifest(self, reference: str) -> str:
        """The digest of the manifest of a reference.

        Raises:
            SandboxError: The image can neither be packed nor pulled.
        """
        with self._lock:
            if reference not in self._manifests:
                self._manifests[reference] = self._read(images.ensure([reference])[reference])
            digest, media_type = self._manifests[reference]
            self.media_types[digest] = media_type
            return digest

    def _read(self, archive: Path) -> tuple[str, str]:
        """Remember where the blobs of an archive are; return the digest and media type of its manifest."""
        with tarfile.open(archive) as tar:
            members = {member.name.removeprefix("./"): member for member in tar.getmembers()}
        parts = {name: Blob(archive, member.offset_data, member.size) for name, member in members.items()}
        (manifest,) = json.loads(parts[INDEX].read())["manifests"]
        self.blobs |= {f"sha256:{Path(name).name}": part for name, part in parts.items() if name.startswith(BLOBS)}
        return manifest["digest"], manifest["mediaType"]


def reference(path: str, query: str) -> str:
    """The reference of a request: `/v2/NAME/manifests/TAG`, with the registry in the parameter `ns`.

    containerd adds the parameter when it asks a mirror (docs/hosts.md in containerd).
    """
    name, _, tag = path.removeprefix("/v2/").rpartition("/manifests/")
    host = parse_qs(query).get("ns", [DEFAULT_REGISTRY])[0]
    return f"{host}/{name}:{tag}"


class Handler(BaseHTTPRequestHandler):
    """Responds to GET and HEAD requests."""

    protocol_version = "HTTP/1.1"
    archives: Archives

    def do_GET(self) -> None:
        """Send a manifest or a blob."""
        url = urlsplit(self.path)
        if url.path == "/v2/":
            self._send(HTTPStatus.OK, b"{}", "application/json")
            return
        digest = url.path.rpartition("/")[2]
        if "/manifests/" in url.path and not digest.startswith("sha256:"):
            try:
                digest = self.archives.manifest(reference(url.path, url.query))
            except SandboxError as error:
                log.warning("%s", error)
                body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": str(error)}]}
                self._send(HTTPStatus.NOT_FOUND, json.dumps(body).encode(), "application/json")
                return
        self._send_blob(digest)

    do_HEAD = do_GET  # noqa: N815  # the name is that of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing for a request that succeeds."""

    def _send_blob(self, digest: str) -> None:
        blob = self.archives.blobs.get(digest)
        if blob is None:
            self._send(HTTPStatus.NOT_FOUND, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}', "application/json")
            return
        media_type = self.archives.media_types.get(digest, "application/octet-stream")
        self._start(HTTPStatus.OK, blob.size, media_type, digest)
        if self.command == "HEAD":
            return
        with blob.archive.open("rb") as file:
            file.seek(blob.offset)
            left = blob.size
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _send(self, status: HTTPStatus, body: bytes, media_type: str) -> None:
        self._start(status, len(body), media_type)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: HTTPStatus, size: int, media_type: str, digest: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()


def main() -> None:
    """Serve until the process is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    address, port = sys.argv[1], int(sys.argv[2])
    Handler.archives = Archives()
    server = ThreadingHTTPServer((address, port), Handler)
    log.info("serving images at %s:%d", address, port)
    server.serve_forever()


if __name__ == "__main__":
    main()
