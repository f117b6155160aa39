from __future__ import annotations

from collections.abc import Iterator

import pytest

from operations.errors import OperationError
from operations.health import wait
from tests.http_server import Answer, Request, serving

WELL = {
    "/api/public/ready": Answer({"status": "OK"}),
    "/api/public/health": Answer({"status": "OK", "version": "4.16.0"}),
}


class Installation:
    """Answers each path with one answer after the other; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {path: [answer] for path, answer in WELL.items()}
        self.asked: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.asked.append(request.path)
        answers = self.answers[request.path.partition("?")[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def installation() -> Iterator[tuple[Installation, str]]:
    made = Installation()
    with serving(made.answer) as url:
        yield made, url


def test_a_healthy_installation_is_asked_once(installation: tuple[Installation, str]) -> None:
    made, url = installation
    wait(url, "4.16.0", attempts=3, pause=0)
    assert made.asked == ["/api/public/ready", "/api/public/health?failIfDatabaseUnavailable=true"]


def test_it_may_take_its_time(installation: tuple[Installation, str]) -> None:
    made, url = installation
    made.answers["/api/public/ready"] = [Answer(status=503), Answer(status=500), WELL["/api/public/ready"]]
    slept: list[float] = []
    wait(url, "4.16.0", attempts=5, pause=7, sleep=slept.append)
    assert slept == [7, 7]


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/api/public/ready", Answer(status=500), "ready: answers 500"),
        ("/api/public/health", Answer({"status": "Database not available", "version": "4.16.0"}, 503), "answers 503"),
        ("/api/public/health", Answer({"status": "OK", "version": "4.15.0"}), "runs version 4.15.0, not 4.16.0"),
        ("/api/public/health", Answer("a portal's sign-in page"), "not from Langfuse"),
    ],
)
def test_what_stays_wrong_is_said(installation: tuple[Installation, str], path: str, answer: Answer, said: str) -> None:
    made, url = installation
    made.answers[path] = [answer]
    with pytest.raises(OperationError, match=said):
        wait(url, "4.16.0", attempts=3, pause=0)
    assert len(made.asked) == 6


def test_a_host_that_is_not_there_is_said() -> None:
    with pytest.raises(OperationError, match="ConnectionError"):
        wait("http://127.0.0.1:9", "4.16.0", attempts=1, pause=0)
