"""How often something happens."""

import math
from decimal import Decimal


def runs(schedule: str, days: int) -> int:
    """How often a cron schedule runs in a number of days, about."""
    minute, hour, day, month, weekday = (
        _matches(field, low, high)
        for field, (low, high) in zip(schedule.split(), ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6)), strict=True)
    )
    return math.ceil(days * minute * hour * Decimal(day) / 31 * month / 12 * weekday / 7)


def _matches(field: str, low: int, high: int) -> int:
    """How many values a field of a schedule that was validated stands for."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("", "", "") if span == "*" else span.partition("-")
        end = int(last or first or high) if not step or last else high
        found.update(range(int(first or low), end + 1, int(step or 1)))
    return len({value % 7 for value in found} if high == 6 else found)  # noqa: PLR2004  # 7 is Sunday, too
