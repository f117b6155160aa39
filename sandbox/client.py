"""A small client of the API server, for bootstrapping the cluster and for the volume provisioner.

It needs little memory, so it suits a long-running process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

CONNECT_SECONDS = 2.0
READ_SECONDS = 30.0
HEALTH_SECONDS = 3.0
BUSY_RETRIES = 10
"""Retries of a response with Retry-After, which a new API server sends while the storage of a CRD initializes."""
OPEN_API = "/openapi/v2"
OPEN_API_FORMAT = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""The first request of many clients, such as Pulumi's Kubernetes plugin (discovery_client.go in client-go). The API
server builds its response on the first request, which takes half a minute on a busy machine."""
OK = 200
NOT_FOUND = 404
CONFLICT = 409

Json = dict[str, Any]  # a Kubernetes object: of any shape


class ApiError(Exception):
    """An error response of the API server, with its message, or the reason why it cannot be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class Client:
    """Sends requests to one server with one client certificate."""

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        """`server` is a URL; the files are PEM."""
        self._server = server
        self._pool = urllib3.PoolManager(
            ca_certs=str(authority),
            cert_file=str(certificate),
            key_file=str(key),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(
                status=BUSY_RETRIES,
                connect=False,
                read=False,
                other=False,
                redirect=False,
                allowed_methods=None,
                raise_on_status=False,
            ),
            maxsize=8,
        )

    def request(self, method: str, path: str, body: Json | None = None, accept: str = "application/json") -> Json:
        """Send one request; a PATCH is a JSON merge patch."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            response = self._pool.request(
                method,
                self._server + path,
                body=json.dumps(body) if body is not None else None,
                headers={"Content-Type": kind, "Accept": accept},
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"the API server at {self._server} cannot be reached ({type(error).__name__})") from error
        if response.status >= 400:  # noqa: PLR2004  # HTTP: client and server errors
            raise ApiError(response.status, _message(response.data))
        answer: Json = json.loads(response.data) if accept.startswith("application/json") else {}
        return answer

    def create(self, path: str, body: Json) -> bool:
        """Create an object; return False if it already exists."""
        try:
            self.request("POST", path, body)
        except ApiError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    def is_healthy(self, path: str) -> bool:
        """Whether a health endpoint, such as `/readyz`, responds with 200 within a few seconds."""
        try:
            response = self._pool.request("GET", self._server + path, timeout=HEALTH_SECONDS, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == OK

    def serves_openapi(self) -> bool:
        """Whether the API server returns its OpenAPI schema. The first response takes long."""
        try:
            self.request("GET", OPEN_API, accept=OPEN_API_FORMAT)
        except ApiError:
            return False
        return True

    def watch(self, path: str, version: str, seconds: int) -> Iterator[Json]:
        """Yield the changes since a resource version until the server ends the watch after `seconds`."""
        try:
            response = self._pool.request(
                "GET",
                f"{self._server}{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}",
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds + READ_SECONDS),
            )
            buffer = b""
            for chunk in response.stream(amt=None):
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"the watch on {path} broke ({type(error).__name__})") from error


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:300]
