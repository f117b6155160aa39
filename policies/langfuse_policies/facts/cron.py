"""Cron schedules as their controllers read them: when they start, and how far apart.

The controller of CronJobs and Velero parse with robfig/cron v3 (ParseStandard), CloudNativePG with v1.2.0, which puts
seconds first and combines days differently. Libraries for Python follow Debian's cron, which reads `*/2` in a day field
as v1 does, accepts 7 as Sunday, and has no `@every`. The configuration uses this parser, too
(`components/schema/schedules.py`): there is no other.
"""

import datetime
import math
import re
from bisect import bisect_left
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
_BOUNDS: dict[str, tuple[int, int, dict[str, int]]] = {
    "minute": (0, 59, {}),
    "hour": (0, 23, {}),
    "day of month": (1, 31, {}),
    "month": (1, 12, _MONTHS),
    "day of week": (0, 6, _WEEKDAYS),
}
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})(ms|h|m|s)")
_MINUTES = {"h": 60.0, "m": 1.0, "s": 1 / 60, "ms": 1 / 60_000}
_SHORTEST_EVERY = 1 / 60
_RANGE = re.compile(r"(?:([*?])|(\w{1,3})(?:-(\w{1,3}))?)(?:/([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class Schedule:
    """A schedule: the same minutes on some days, or a fixed interval."""

    #: Days of a horizon of two years, by number.
    days: frozenset[int]
    #: Minutes after midnight.
    minutes: frozenset[int]
    #: Minutes of `@every`, which counts from the moment when the controller first sees the schedule.
    every: float = 0

    @property
    def longest_gap(self) -> float:
        """The longest time between two starts, in minutes; infinite with fewer than two starts."""
        if self.every:
            return self.every
        days, minutes = sorted(self.days), sorted(self.minutes)
        if len(days) < 2:  # noqa: PLR2004  # a gap has two ends
            return float("inf")
        within = max((later - earlier for earlier, later in pairwise(minutes)), default=0)
        between = max(later - earlier for earlier, later in pairwise(days))
        return max(within, between * _DAY - minutes[-1] + minutes[0])

    @property
    def never(self) -> bool:
        """Whether it never starts, as on 30 February."""
        return not self.every and not self.days

    def most_starts(self, days: int) -> int:
        """The maximum number of starts within a number of days."""
        if self.every:
            return math.ceil(days * _DAY / self.every)
        horizons, rest = divmod(days, len(_HORIZON))
        ordered = sorted(self.days)
        most = max((bisect_left(ordered, first + rest) - number for number, first in enumerate(ordered)), default=0)
        return len(self.minutes) * (horizons * len(ordered) + most)

    def meets(self, other: "Schedule") -> bool:
        """Whether both schedules ever start in the same minute."""
        return bool(self.days & other.days and self.minutes & other.minutes)


@lru_cache(maxsize=256)
def parse(text: str, *, seconds: bool = False) -> Schedule | None:
    """Parses a schedule; None if the text is not one.

    Args:
        text: Five fields, `@daily` or `@every 1h`.
        seconds: Six fields, seconds first, as CloudNativePG reads them.
    """
    if text.startswith("@every "):
        every = _minutes(text.removeprefix("@every "))
        return None if every is None else Schedule(frozenset(), frozenset(), every)
    fields = _DESCRIPTORS.get(text, text).lower().split()
    if seconds and not text.startswith("@"):
        if not fields or _values(fields[0], 0, 59, {}) is None:
            return None
        fields = fields[1:]
    if len(fields) != len(_BOUNDS):
        return None
    values = [_values(field, *bounds) for field, bounds in zip(fields, _BOUNDS.values(), strict=True)]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    minutes_, hours, monthdays, months, weekdays = known
    # Day of month and day of week: both must fit if one of them is free, else either.
    free = any(_is_free(field, steps=seconds) for field in (fields[2], fields[4]))

    def runs_on(day: datetime.date) -> bool:
        in_month, in_week = day.day in monthdays, day.isoweekday() % 7 in weekdays
        return day.month in months and ((in_month and in_week) if free else (in_month or in_week))

    days = frozenset(number for number, day in enumerate(_HORIZON) if runs_on(day))
    return Schedule(days, frozenset(60 * hour + minute for hour in hours for minute in minutes_))


def fault(text: str) -> str | None:
    """What is wrong with a schedule of five fields; None if it is right and comes at least once."""
    fields = text.lower().split()
    if len(fields) != len(_BOUNDS):
        return f'has {len(fields)} field{"" if len(fields) == 1 else "s"}, a schedule has 5, as in "15 2 * * *"'
    for field, (name, (low, high, names)) in zip(fields, _BOUNDS.items(), strict=True):
        if _values(field, low, high, names) is None:
            return f'has "{field}" as {name}, which takes {low} to {high}'
    schedule = parse(text)
    if schedule is None or schedule.never:
        return "never comes: none of its months has such a day; correct the day or the month"
    return None


def _minutes(duration: str) -> float | None:
    """The minutes of a duration of Go, such as `1h30m`."""
    parts = list(_DURATION.finditer(duration))
    if not duration or "".join(part[0] for part in parts) != duration:
        return None
    return max(sum(float(part[1]) * _MINUTES[part[2]] for part in parts), _SHORTEST_EVERY)


def _is_free(field: str, *, steps: bool) -> bool:
    """Whether a day field leaves every day open. To robfig/cron v1 one with steps does, to v3 `*/2` does not."""
    matches = [match for part in field.split(",") if (match := _RANGE.fullmatch(part))]
    return any(match[1] and (steps or int(match[4] or 1) == 1) for match in matches)


def _values(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int] | None:
    parts = [_range(part, low, high, names) for part in field.split(",") if part]
    known = [part for part in parts if part is not None]
    return frozenset(number for part in known for number in part) if parts and len(known) == len(parts) else None


def _range(part: str, low: int, high: int, names: dict[str, int]) -> range | None:
    match = _RANGE.fullmatch(part)
    if match is None:
        return None
    free, first, last, step = match.groups()
    start = low if free else _number(first, names)
    # `5/15` means from 5 on, `5` just 5.
    end = high if free or (step and not last) else _number(last or first, names)
    if start is None or end is None or not low <= start <= end <= high or int(step or 1) == 0:
        return None
    return range(start, end + 1, int(step or 1))


def _number(text: str, names: dict[str, int]) -> int | None:
    return names.get(text, int(text) if re.fullmatch(r"[0-9]+", text) else None)
