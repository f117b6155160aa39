"""A Job is followed to its end, also while the API server is away for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from operations import jobs
from operations.cluster import Step
from operations.errors import OperationError, UnreachableError

JOB = {"metadata": {"name": "restore", "namespace": "langfuse-prod"}, "spec": {"activeDeadlineSeconds": 86_400}}
DONE = {**JOB, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}


class Away:
    """An API server that does not answer a number of requests while a Job runs."""

    def __init__(self, requests: int) -> None:
        self.answers: Iterator[Mapping[str, Any] | None] = iter([JOB, *[None] * requests, DONE])

    def get(self, _: object) -> Mapping[str, Any]:
        answer = next(self.answers)
        if answer is None:
            raise UnreachableError("the cluster can't be reached: ConnectTimeoutError; check KUBECONFIG")
        return answer

    def steps(self, _: object) -> list[Step]:
        return [Step("pod", "main", runs=True, failed=False, log="copied 3 of 9\n")]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    monkeypatch.setattr("time.sleep", lambda more: seconds.__setitem__(0, seconds[0] + more))


def test_a_job_is_followed_while_the_api_server_is_away_for_a_while() -> None:
    said: list[str] = []
    assert jobs.run(Away(200), JOB, said.append) == "copied 3 of 9\n"  # type: ignore[arg-type]
    outage = "  restore waits: the cluster can't be reached: ConnectTimeoutError; check KUBECONFIG; trying again"
    assert said == [outage, "  main: copied 3 of 9"]


def test_an_api_server_that_stays_away_is_an_error() -> None:
    with pytest.raises(OperationError, match="can't be reached"):
        jobs.run(Away(400), JOB, lambda _: None)  # type: ignore[arg-type]
