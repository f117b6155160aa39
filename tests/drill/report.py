"""What a drill measures: the scripts of the Jobs beside plain tools, and the table that shows both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

MEBIBYTE: Final = 1024**2

HEAD: Final = (
    "Store",
    "RPO",
    "RTO",
    "backup",
    "plain tool",
    "ratio",
    "restore",
    "plain tool",
    "ratio",
)


@dataclass(kw_only=True)
class Race:
    """The same work, done by the scripts of a Job and by a plain tool in turn.

    Other work on the machine makes some of the runs slower, so the fastest of each count.
    """

    tool: str
    """Name of the plain tool."""
    bytes: int = 0
    seconds: dict[Literal["script", "plain"], list[float]] = field(default_factory=lambda: {"script": [], "plain": []})

    @contextlib.contextmanager
    def measure(self, who: Literal["script", "plain"], say: Callable[[str], None]) -> Iterator[None]:
        """Measure one run."""
        begun = time.monotonic()
        yield
        self.seconds[who].append(time.monotonic() - begun)
        say(f"  {'scripts' if who == 'script' else self.tool:24} {self.seconds[who][-1]:8.2f} s")

    @property
    def ratio(self) -> float | None:
        """The speed of the scripts, where that of the tool is 1; None if the tool did not run."""
        return min(self.seconds["plain"]) / min(self.seconds["script"]) if self.seconds["plain"] else None

    def cells(self) -> Sequence[str]:
        """Speed of the scripts, speed of the tool, ratio."""
        script, plain = (
            f"{self.bytes / MEBIBYTE / min(found):.1f} MiB/s" if found else "" for found in self.seconds.values()
        )
        return (script, f"{plain} `{self.tool}`" if plain else "", "" if self.ratio is None else f"{self.ratio:.2f}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a drill has found out about a store."""

    store: str
    rpo: str
    """What is lost at most."""
    rto: float
    """Seconds until the data is there again."""
    backup: Race | None = None
    restore: Race | None = None

    def cells(self) -> Sequence[str]:
        """One cell for each column of `HEAD`."""
        races = [cell for race in (self.backup, self.restore) for cell in (race.cells() if race else ("", "", ""))]
        return (self.store, self.rpo, f"{self.rto:.1f} s", *races)


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    cells = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    head, *others = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *others])
