"""The rendered public routes. tests/edge tests them with Envoy and a browser."""

from typing import Any

import pytest

from components.langfuse import Langfuse
from tests.unit.configuration import only_problem, settings
from tests.unit.recorder import Recording, record

EXTERNAL: dict[str, Any] = {
    "credentials": {"source": "existing", "secret": "langfuse-credentials"},
    "objectStore": {
        "mode": "external",
        "region": "eu-central-1",
        "buckets": {purpose: f"their-{purpose}" for purpose in ("events", "media", "exports", "backups")},
    },
}


def stack(**ingress: object) -> Recording:
    chosen = settings({"ingress": ingress})
    return record(lambda: Langfuse("langfuse", chosen))


def routes(recording: Recording, name: str = "langfuse") -> dict[str, dict[str, Any]]:
    return {route["name"]: route for route in recording.one("VirtualService", name).inputs["spec"]["http"]}


def test_one_host_serves_web_and_the_files_of_signed_links() -> None:
    found = routes(stack())
    assert list(found) == ["internal", "buckets", "web"]
    assert {match["uri"]["prefix"] for match in found["buckets"]["match"]} == {
        "/langfuse-dev-media/",
        "/langfuse-dev-exports/",
    }
    destination = found["web"]["route"][0]["destination"]
    assert destination == {"host": "langfuse-web.langfuse-dev.svc.cluster.local", "port": {"number": 3000}}


def test_files_can_have_their_own_host() -> None:
    recording = stack(bucketHost="files.example.net", gateway="edge/public")
    assert list(routes(recording)) == ["internal", "web"]
    spec = recording.one("VirtualService", "langfuse-buckets").inputs["spec"]
    assert (spec["hosts"], spec["gateways"]) == (["files.example.net"], ["edge/public"])
    assert routes(recording, "langfuse-buckets") == {"buckets": routes(stack())["buckets"]}


def test_an_external_store_has_no_route() -> None:
    chosen = settings(EXTERNAL)
    assert list(routes(record(lambda: Langfuse("langfuse", chosen)))) == ["internal", "web"]


def external(**store: str) -> dict[str, object]:
    return {**EXTERNAL, "objectStore": {**EXTERNAL["objectStore"], **store}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"ingress": {"bucketHost": "langfuse.example.com"}},
            'ingress.bucketHost: "langfuse.example.com" is the UI\'s host',
        ),
        (
            {"ingress": {"bucketHost": "files.example.net", "tls": False}},
            'ingress.bucketHost: "files.example.net" needs https',
        ),
        (
            {**EXTERNAL, "ingress": {"bucketHost": "files.example.net"}},
            'ingress.bucketHost: "files.example.net" has no effect on an external store',
        ),
        (
            external(publicEndpoint="https://langfuse.example.com"),
            'objectStore.publicEndpoint: "https://langfuse.example.com" is the UI\'s host',
        ),
    ],
)
def test_an_unusable_host_for_files_is_refused(config: dict[str, object], message: str) -> None:
    assert message in only_problem(config)


@pytest.mark.parametrize(
    "config",
    [
        {"ingress": {"bucketHost": "files.example.net"}},
        {"ingress": {"kind": "none", "bucketHost": "langfuse.example.com"}},
        external(publicEndpoint="https://s3.example.com"),
        {**external(publicEndpoint="https://langfuse.example.com"), "ingress": {"kind": "none"}},
    ],
)
def test_a_usable_host_for_files_is_accepted(config: dict[str, object]) -> None:
    settings(config)


def test_hsts_is_sent_only_with_tls() -> None:
    def headers(**ingress: object) -> set[str]:
        found = routes(stack(**ingress)).values()
        return {name for route in found for name in route.get("headers", {}).get("response", {}).get("set", {})}

    assert "strict-transport-security" in headers()
    assert "strict-transport-security" not in headers(tls=False)
    assert "headers" not in routes(stack(tls=False))["web"]
