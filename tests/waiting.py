"""Waits for conditions."""

import contextlib
import time
from collections.abc import Callable

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5  # one look by `kubectl` takes a tenth of a second of CPU time


def eventually(
    holds: Callable[[], bool],
    failure: str = "did not happen",
    *,
    within: float = 60,
    ignoring: tuple[type[Exception], ...] = (),
) -> None:
    """Wait until a condition holds, and fail if it does not in time.

    Args:
        holds: The condition. An assertion in it ends the wait at once.
        failure: What the failure says, followed by the time limit.
        within: Time limit in seconds.
        ignoring: Errors of the condition that mean "not yet".
    """
    deadline = time.monotonic() + within
    pause = _FIRST_PAUSE_SECONDS
    while True:
        with contextlib.suppress(*ignoring):
            if holds():
                return
        assert time.monotonic() < deadline, f"{failure} within {within:g} s"
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
