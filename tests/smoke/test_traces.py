"""Traces in and out: by the API of the SDKs and by OpenTelemetry, and files by signed links."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

import pytest

from components.application.phases import write_mode
from operations.clients import hops, sender
from operations.clients.hops import Place
from tests.smoke.live import Live, failed
from tests.smoke.media import Files, MediaError

if TYPE_CHECKING:
    from components.schema.application import Phase

READ_SECONDS: Final = 60
"""Langfuse waits up to 15 s before it writes an event (LANGFUSE_INGESTION_QUEUE_DELAY_MS)."""


@pytest.fixture(scope="module")
def target(live: Live) -> sender.Target:
    """The first project, by the address from outside."""
    public_key, secret_key = live.clients.keys_of_first_project()
    return sender.Target(url=live.url, public_key=public_key, secret_key=secret_key)


@pytest.fixture
def trace(target: sender.Target) -> Iterator[str]:
    """An id, whose trace is deleted at the end."""
    made = secrets.token_hex(16)
    yield made
    sender.erase(target, made)


def place(live: Live) -> Place:
    """Where the traces of the tests come from."""
    return Place(
        client="",
        namespace=None,
        stack_namespace=live.namespace,
        project=live.clients.first_project(),
        phase=live.phase,
    )


@pytest.mark.parametrize("kind", ["sdk", "otel", "dify"])
def test_a_trace_is_accepted_and_read_back(live: Live, target: sender.Target, trace: str, kind: str) -> None:
    if kind == "dify" and live.phase == "events_only":
        pytest.skip("events_only refuses events of version 3, and no client of the stack sends them")
    for found in hops.results(sender.send(target, kind, trace, read_seconds=READ_SECONDS), place(live)):
        if found.outcome == "failed":
            failed(found.hop, found.detail, found.fix)


def test_web_and_worker_write_what_the_phase_says(live: Live) -> None:
    for workload in ("web", "worker"):
        mode = live.run(workload, "write-mode.js")["mode"]
        expected = write_mode(cast("Phase", live.phase))
        if mode and mode != expected:
            failed(
                "write mode",
                f"{workload} runs with the write mode {mode}, not {expected} as in the phase {live.phase}",
                "remove LANGFUSE_MIGRATION_V4_WRITE_MODE from langfuse:extraEnv, and run `pulumi up`",
            )


def test_a_file_goes_up_and_down_by_signed_links(live: Live, target: sender.Target, trace: str) -> None:
    if not live.public:
        pytest.skip("signed links lead to the public address")
    try:
        Files(target).round_trip(trace)
    except MediaError as error:
        failed(error.hop, error.detail, error.fix)
