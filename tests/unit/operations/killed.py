"""A world in which every change can be the last one of a command."""

from __future__ import annotations

from collections.abc import Callable


class KilledError(Exception):
    """The command was killed."""


class Killable:
    """Counts changes. With `last`, the command is killed before or, at half a number more, after one of them."""

    def __init__(self) -> None:
        self.changes = 0
        self.last: float | None = None

    def change(self, what: Callable[[], None]) -> None:
        """Change something, unless the command was killed before. It may also be killed right after."""
        if self.last is not None and self.changes >= self.last:
            raise KilledError
        self.changes += 1
        what()
        if self.last is not None and self.changes + 0.5 > self.last:
            raise KilledError
