"""Sends requests to the API server through the connection pool of the official client, without its model classes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.kubeconfig import Target
from sandbox.plugins.kubernetes.objects import Object, objects, text
from sandbox.plugins.protocol import package_version

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse

CONNECT_SECONDS: Final = 10.0
CONNECTIONS: Final = 64
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"  # JSON is YAML
BUSY_RETRIES: Final = 5
WARNING_HEADER: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class Cause(NamedTuple):
    """One cause of an error response: the field, the reason and the message."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """An error response of the API server."""

    def __init__(self, status: int, answer: Object) -> None:
        """`answer` is the Status object in the response."""
        message = text(answer, "message") or f"the API server returned status {status}"
        super().__init__(message)
        self.status, self.message = status, message
        self.reason = text(answer, "reason")
        self.details_kind = text(answer, "details", "kind")
        self.causes = [
            Cause(text(cause, "field"), text(cause, "reason"), text(cause, "message"))
            for cause in objects(answer, "details", "causes")
        ]


class UnreachableError(PluginError):
    """No cluster is configured, or it does not respond or rejects the credentials."""


class Api:
    """One API server. Thread-safe; connects with the first request."""

    def __init__(self, target: Target, timeout: float | None = None) -> None:
        """`timeout` in seconds limits every request except watches."""
        self.target, self.timeout = target, timeout
        self._client: ApiClient | None = None
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
        content_type: str = JSON,
        warn: Callable[[str], None] | None = None,
    ) -> Object:
        """Return the response as an object. Raises ApiError for an error response, UnreachableError for none."""
        response = self._send(method, path, query or {}, body, content_type, stream=False)
        if warn is not None:
            for header in response.headers.getlist("Warning"):
                for quoted in WARNING_HEADER.findall(header):
                    warn(re.sub(r"\\(.)", r"\1", quoted))
        answer = _decode(response.data)
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(response.status, answer)
        return answer

    def stream(self, path: str, query: Mapping[str, str]) -> Iterator[Object]:
        """Yield the events of a watch until the server ends it."""
        response = self._send("GET", path, query, None, JSON, stream=True)
        try:
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise ApiError(response.status, _decode(response.read()))
            rest = b""
            for chunk in response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (_decode(line) for line in lines if line)
        except _http_error() as error:
            raise self._unreachable(error) from error
        finally:
            response.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | list[Object] | None,
        content_type: str,
        *,
        stream: bool,
    ) -> BaseHTTPResponse:
        from urllib3 import Retry, Timeout  # noqa: PLC0415  # the client library has already imported it

        client = self._connect()
        url = client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": _user_agent()}
        bearer = client.configuration.auth_settings().get("BearerToken")
        if bearer and bearer["value"]:
            headers["authorization"] = bearer["value"]
        try:
            return client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                preload_content=not stream,
                retries=Retry(
                    status=BUSY_RETRIES,  # of responses with Retry-After
                    read=1 if method == "GET" else 0,  # the server may have closed a pooled connection
                    connect=0,
                    other=0,
                    redirect=0,
                    allowed_methods=None,
                    raise_on_status=False,
                ),
                timeout=Timeout(connect=CONNECT_SECONDS, read=None if stream else self.timeout),
            )
        except _http_error() as error:
            raise self._unreachable(error) from error

    def _connect(self) -> ApiClient:
        with self._lock:
            if self._client is None:
                import urllib3  # noqa: PLC0415  # see _send

                client = self.target.connect()
                # The kubeconfig turns verification off on purpose; without this, every request shows a warning.
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                client.rest_client.pool_manager.connection_pool_kw["maxsize"] = CONNECTIONS
                self._client = client
            return self._client

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = getattr(error, "reason", None) or error
        cause = str(reason).rpartition(": ")[2] or type(reason).__name__
        server = self.target.server or "of this pod"
        return UnreachableError(
            f"the API server {server} does not respond: {cause}. Start it, or select another one with KUBECONFIG "
            "or with the kubeconfig and context of the provider"
        )


def _http_error() -> type[Exception]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # see _send

    return HTTPError


def _user_agent() -> str:
    return f"pulumi-kubernetes-standin/{package_version('pulumi_kubernetes')}"


def _decode(data: bytes) -> Object:
    try:
        decoded = json.loads(data) if data else {}
    except ValueError:
        return {"message": data.decode(errors="replace")[:500]}
    return decoded if isinstance(decoded, dict) else {}
