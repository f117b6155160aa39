"""Cron schedules as CronJobs understand them (robfig/cron v3, ParseStandard): when they start, and how far apart."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_DAY = 24 * 60
_HORIZON = [datetime.date(2028, 1, 1) + datetime.timedelta(days) for days in range(2 * 366)]  # with a 29 February

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _WEEKDAYS),
)  # fmt: skip
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_EVERY = re.compile(r"@every (?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:\d{1,6}s)?$")
_RANGE = re.compile(r"(?:(\*|\?)|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?$")


@dataclass(frozen=True)
class Schedule:
    """When something starts: the same minutes of some days, or every so many minutes."""

    #: Days of a horizon of two years, by number.
    days: frozenset[int]
    #: Minutes after midnight.
    minutes: frozenset[int]
    #: Of `@every`, in minutes; its first start is the controller's, so that it has no fixed minutes.
    every: int = 0

    @property
    def longest_gap(self) -> float:
        """The longest time between two starts, in minutes; infinite when there is hardly one."""
        if self.every:
            return self.every
        days, minutes = sorted(self.days), sorted(self.minutes)
        if len(days) < 2:  # noqa: PLR2004  # a gap has two ends
            return float("inf")
        within = max((later - earlier for earlier, later in pairwise(minutes)), default=0)
        between = max(later - earlier for earlier, later in pairwise(days))
        return max(within, between * _DAY - minutes[-1] + minutes[0])

    def meets(self, other: "Schedule") -> bool:
        """Whether both ever start in the same minute."""
        return bool(self.days & other.days and self.minutes & other.minutes)


@lru_cache(maxsize=256)
def parse(text: str, *, seconds: bool = False) -> Schedule | None:
    """The schedule, or None for what is none.

    Args:
        text: Five fields, `@daily` or `@every 1h`.
        seconds: Six fields, seconds first, as in CloudNativePG.
    """
    if every := _EVERY.match(text):
        minutes = 60 * int(every[1] or 0) + int(every[2] or 0)
        return Schedule(frozenset(), frozenset(), max(minutes, 1))
    fields = _DESCRIPTORS.get(text, text).lower().split()
    if seconds and not text.startswith("@"):
        if not fields or _values(fields[0], 0, 59, {}) is None:
            return None
        fields = fields[1:]
    if len(fields) != len(_BOUNDS):
        return None
    values = [_values(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    minutes_, hours, monthdays, months, weekdays = known
    # Day of month and day of week: both must fit if one of them is free, else either.
    free = fields[2][0] in "*?" or fields[4][0] in "*?"

    def runs_on(day: datetime.date) -> bool:
        in_month, in_week = day.day in monthdays, day.isoweekday() % 7 in weekdays
        return day.month in months and ((in_month and in_week) if free else (in_month or in_week))

    days = frozenset(number for number, day in enumerate(_HORIZON) if runs_on(day))
    return Schedule(days, frozenset(60 * hour + minute for hour in hours for minute in minutes_))


def _values(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int] | None:
    found: set[int] = set()
    for part in field.split(","):
        values = _range(part, low, high, names)
        if values is None:
            return None
        found.update(values)
    return frozenset(found)


def _range(part: str, low: int, high: int, names: dict[str, int]) -> Iterator[int] | None:
    match = _RANGE.match(part)
    if match is None:
        return None
    free, first, last, step = match.groups()
    start = low if free else _number(first, names)
    # `5/15` means from 5 on, `5` just 5.
    end = high if free or (step and not last) else _number(last or first, names)
    if start is None or end is None or not low <= start <= end <= high or step == "0":
        return None
    return iter(range(start, end + 1, int(step or 1)))


def _number(text: str, names: dict[str, int]) -> int | None:
    return names.get(text, int(text) if re.fullmatch(r"[0-9]+", text) else None)
