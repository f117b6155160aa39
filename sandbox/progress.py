"""Progress of long steps on stderr: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SPINNER_SECONDS = 1.0
HEARTBEAT_SECONDS = 30.0  # in a log file, an occasional line is enough


def elapsed(since: float) -> str:
    """Time since a `time.monotonic()` reading, as `0.4 s`, `12 s` or `3:07 min`."""
    seconds = time.monotonic() - since
    if seconds < 10:  # noqa: PLR2004  # only below ten seconds are decimals of interest
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def say(text: str) -> None:
    """Print one line for people on stderr; stdout is for programs."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Progress:
    """Shows which of a number of steps is running, and for how long."""

    def __init__(self, total: int) -> None:
        """`total` is the number of steps."""
        self._total = total
        self._started = 0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announce a step, show the time while it runs, and report how long it took."""
        self._started += 1
        head = f"[{self._started}/{self._total}] {what}"
        start = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415  # takes 0.1 s, which most commands do not need

            status = Console(stderr=True).status(head)
            with status, _ticking(SPINNER_SECONDS, lambda: status.update(f"{head} ({elapsed(start)})")):
                yield
        else:
            say(f"{head} ...")
            with _ticking(HEARTBEAT_SECONDS, lambda: say(f"{head} ... {elapsed(start)}")):
                yield
        say(f"{head}: done in {elapsed(start)}")


@contextmanager
def _ticking(interval: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` every `interval` seconds while the block runs."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(interval):
            tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
