"""Checks that an installation answers at its public address, in the version that was deployed."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import requests

from operations.errors import OperationError

TIMEOUT_SECONDS: Final = 10

READY: Final = "/api/public/ready"
"""Answers 500 while the process shuts down (web/src/pages/api/public/ready.ts)."""

HEALTH: Final = "/api/public/health?failIfDatabaseUnavailable=true"
"""Answers with the status and version, with 503 without Postgres (web/src/pages/api/public/health.ts)."""


def check(url: str, version: str) -> Iterator[str]:
    """The problems of an installation."""
    for path in (READY, HEALTH):
        try:
            answer = requests.get(url + path, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            yield f"{url}{path}: {type(error).__name__}"
            continue
        if answer.status_code != requests.codes.ok:
            yield f"{url}{path}: answers {answer.status_code}"
        elif path == HEALTH and (found := _version(answer)) != version:
            yield f"{url}{path}: runs version {found}, not {version}"


def wait(url: str, version: str, *, attempts: int, pause: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Check an installation until it is healthy.

    Args:
        url: The installation's public address.
        version: The release of Langfuse that was deployed.
        attempts: The most checks.
        pause: Seconds between two attempts.
        sleep: Called with the seconds to wait.

    Raises:
        OperationError: The last check found problems; the message lists them.
    """
    wrong: list[str] = []
    for attempt in range(attempts):
        if attempt:
            sleep(pause)
        wrong = list(check(url, version))
        if not wrong:
            return
    raise OperationError("\n  ".join([f"not healthy after {attempts} attempts:", *wrong]))


def _version(answer: requests.Response) -> str:
    try:
        return str(answer.json()["version"])
    except (ValueError, KeyError, TypeError):
        return "(none: this answer is not from Langfuse)"
