"""Cron schedules of the configuration, parsed as the policies parse them."""

import re

from components.schema.policy_library import cron

_STEPS_OF_ALL = re.compile(r"(?<![^,])[*?]/(?!0*1(?![0-9]))")
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4


def checked(text: str) -> str:
    """The text, if it is a schedule of five fields that starts something at least once.

    Raises:
        ValueError: The text is not such a schedule. The message names the field, the rule and the fix.
    """
    if problem := cron.fault(text):
        raise ValueError(problem)
    return text


def schedule(text: str) -> cron.Schedule:
    """The days and minutes of a schedule that was checked."""
    found = cron.parse(text)
    if found is None:
        raise AssertionError("a schedule of the configuration was checked")
    return found


def with_seconds(text: str) -> str:
    """The same schedule for CloudNativePG, which reads seconds first.

    To its parser (robfig/cron v1) a day field such as `*/2` leaves every day open; to that of CronJobs (v3) it does
    not. Both agree on a field that names the range of days.
    """
    fields = text.split()
    for index, days in ((_DAY_OF_MONTH, "1-31"), (_DAY_OF_WEEK, "0-6")):
        fields[index] = _STEPS_OF_ALL.sub(f"{days}/", fields[index])
    return " ".join(["0", *fields])
