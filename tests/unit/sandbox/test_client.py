from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.client import BUSY_RETRIES, ApiError, Client
from tests.http_server import Answer, Request, serving

BUSY = Answer({"message": "storage is (re)initializing"}, 429, {"Retry-After": "0"})
PATH = "/apis/external-secrets.io/v1/externalsecrets"


@contextmanager
def busy_at_first(times: int, seen: list[Request]) -> Iterator[Client]:
    """A client of a server that is busy for the first requests."""

    def answer(request: Request) -> Answer:
        seen.append(request)
        return BUSY if len(seen) <= times else Answer({"items": ["found"]})

    with serving(answer) as url:
        nowhere = Path("/nonexistent")  # no files are read without TLS
        yield Client(url, nowhere, nowhere, nowhere)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_requests_are_retried_as_a_busy_server_requests(method: str) -> None:
    seen: list[Request] = []
    with busy_at_first(2, seen) as client:
        assert client.request(method, PATH) == {"items": ["found"]}
    assert [request.method for request in seen] == [method] * 3


def test_a_server_that_stays_busy_is_an_error() -> None:
    seen: list[Request] = []
    with busy_at_first(BUSY_RETRIES + 1, seen) as client, pytest.raises(ApiError, match="429: storage is") as raised:
        client.request("GET", PATH)
    assert raised.value.status == 429
    assert len(seen) == BUSY_RETRIES + 1


def test_an_unreachable_server_is_an_error_without_retries() -> None:
    with busy_at_first(0, []) as client:
        pass
    with pytest.raises(
        ApiError, match=r"the API server at http://127.0.0.1:\d+ cannot be reached \(NewConnectionError\)"
    ):
        client.request("GET", PATH)
    assert not client.is_healthy("/readyz")


def test_the_schema_is_requested_in_the_format_of_clients_until_it_is_served() -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer({"message": "not yet"}, 503) if len(seen) == 1 else Answer()

    with serving(answer) as url:
        nowhere = Path("/nonexistent")
        client = Client(url, nowhere, nowhere, nowhere)
        assert not client.serves_openapi()
        assert client.serves_openapi()
    assert {request.path for request in seen} == {"/openapi/v2"}
    assert {request.headers["Accept"] for request in seen} == {
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    }
