"""A small client of the API server: enough to set the cluster up, and light enough for a long-running process."""

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
"""How often an answer that says when to come again is obeyed: a new API server gives it while a CRD's storage fills."""
OPEN_API = "/openapi/v2"
OPEN_API_FORMAT = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients ask for first, Pulumi's Kubernetes plugin among them (discovery_client.go in client-go). The API server
puts it together at the first question: on a busy machine that takes half a minute."""
OK = 200
NOT_FOUND = 404
CONFLICT = 409

Json = dict[str, Any]  # a Kubernetes object: of any shape


class ApiError(Exception):
    """The API server's refusal, with its own words, or the reason why it cannot be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class Client:
    """Requests with the client certificate of one kubeconfig."""

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
        if response.status >= 400:  # noqa: PLR2004  # HTTP: everything from here on is an error
            raise ApiError(response.status, _message(response.data))
        answer: Json = json.loads(response.data) if accept.startswith("application/json") else {}
        return answer

    def create(self, path: str, body: Json) -> bool:
        """Create an object; False when it exists already."""
        try:
            self.request("POST", path, body)
        except ApiError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    def answers(self, path: str) -> bool:
        """Whether a health endpoint, such as `/readyz`, answers soon that all is well."""
        try:
            response = self._pool.request("GET", self._server + path, timeout=HEALTH_SECONDS, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == OK

    def tells_schema(self) -> bool:
        """Whether the API server tells its schema; the first answer takes it long."""
        try:
            self.request("GET", OPEN_API, accept=OPEN_API_FORMAT)
        except ApiError:
            return False
        return True

    def watch(self, path: str, version: str, seconds: int) -> Iterator[Json]:
        """Changes since a resource version, until the server ends the watch after `seconds`."""
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
