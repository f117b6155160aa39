"""The rates of a day, from a CSV or JSON file."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from operations.errors import OperationError

HOURS: Final = 24


@dataclass(frozen=True, kw_only=True)
class Day:
    """The rates of a day. Each lasts until the next one, the last one until midnight."""

    rates: Sequence[tuple[float, float]]
    """Hours since midnight, from 0, and events per second."""

    @property
    def peak(self) -> float:
        """The highest rate."""
        return max(rate for _, rate in self.rates)

    @property
    def least(self) -> float:
        """The lowest rate."""
        return min(rate for _, rate in self.rates)

    @property
    def mean(self) -> float:
        """The average of the day."""
        ends = [*(hour for hour, _ in self.rates[1:]), HOURS]
        return sum((end - hour) * rate for (hour, rate), end in zip(self.rates, ends, strict=True)) / HOURS

    def at(self, second: int) -> float:
        """The rate at a second since midnight."""
        return next(rate for hour, rate in reversed(self.rates) if hour * 3600 <= second)


def read_day(file: Path) -> Day:
    """Reads a CSV file with the columns hour and events per second, or JSON: a list of such pairs, or a map.

    Raises:
        OperationError: The file can't be read, or a line is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(f"{file}: can't be read as text ({error})") from None
    rows = list(_json_rows(file, text) if text.lstrip()[:1] in {"[", "{"} else _csv_rows(text))
    found = [_rate(file, *row) for row in rows]
    hours = [hour for hour, _ in found]
    if not found or hours[0] != 0:
        raise OperationError(f"{file}: begins at hour {hours[0] if hours else 'none'}; the first row must be hour 0")
    if any(later <= earlier for earlier, later in pairwise(hours)):
        raise OperationError(f"{file}: the hours {', '.join(map(str, hours))} must increase; sort the rows")
    if not any(rate for _, rate in found):
        raise OperationError(f"{file}: has no rate above 0")
    return Day(rates=found)


def _csv_rows(text: str) -> Iterator[tuple[str, object, object]]:
    """The rows with two cells. A first row without digits is a heading."""
    for number, cells in enumerate(csv.reader(text.splitlines()), 1):
        if not cells or (number == 1 and not any(cell.strip()[:1].isdigit() for cell in cells)):
            continue
        yield f"line {number}", cells[0].strip(), cells[1].strip() if len(cells) > 1 else ""


def _json_rows(file: Path, text: str) -> Iterator[tuple[str, object, object]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise OperationError(f"{file}: is not JSON ({error})") from None
    pairs = data.items() if isinstance(data, dict) else data
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:  # noqa: PLR2004  # a pair
            raise OperationError(f"{file}: entry {number} is no pair; write [0, 12.5], or a map like {{'0': 12.5}}")
        yield f"entry {number}", *pair


def _rate(file: Path, place: str, hour: object, rate: object) -> tuple[float, float]:
    """An hour, as 13, 13.5 or 13:30, and its rate."""
    try:
        whole, _, minutes = str(hour).partition(":")
        found = float(whole) + (int(minutes) / 60 if minutes else 0), float(str(rate))
    except ValueError:
        found = math.nan, math.nan
    if not (0 <= found[0] < HOURS and 0 <= found[1] < math.inf):
        raise OperationError(f"{file}: {place} has hour {hour!r} and rate {rate!r}; write them like 13 and 12.5")
    return found
