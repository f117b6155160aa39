"""Cron schedules of the configuration, read as the policies read them: there is one reader, in the rule library."""

import sys
from pathlib import Path

_LIBRARY = str(Path(__file__).resolve().parents[2] / "policies")
if _LIBRARY not in sys.path:  # the program runs where only the checkout itself can be imported from
    sys.path.append(_LIBRARY)

from langfuse_policies.facts.cron import Schedule, fault, parse  # noqa: E402

__all__ = ["checked", "schedule"]


def checked(text: str) -> str:
    """The text, if it is a schedule of five fields that comes at least once.

    Raises:
        ValueError: With what is wrong and what would be right.
    """
    if problem := fault(text):
        raise ValueError(problem)
    return text


def schedule(text: str) -> Schedule:
    """When a schedule that was checked comes."""
    found = parse(text)
    if found is None:
        raise AssertionError("a schedule of the configuration was checked")
    return found
