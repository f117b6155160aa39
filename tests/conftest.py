import gc

import pytest

# Recordings are large, long-lived and without cycles: collecting them again and again took a sixth of the time.
gc.set_threshold(50_000, 50, 1_000)

LONGEST = "test_killed_commands.py"
"""A file with one test of minutes, which computes nearly all the time. It starts first, beside tests of servers that
mostly wait; at the end, it would run alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the longest file to the start."""
    items.sort(key=lambda item: item.path.name != LONGEST)
