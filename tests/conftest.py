import gc
from itertools import chain, zip_longest
from pathlib import Path

import pytest

# Recordings are large, long-lived and without cycles: collecting them again and again took a sixth of the time.
gc.set_threshold(50_000, 50, 1_000)

TESTS = Path(__file__).parent
WAITING = {"data", "edge"}
"""Folders whose tests mostly wait for real servers. Those of the others compute nearly all the time."""

LONGEST = (
    "engine/test_killed_commands.py",
    "data/redis/test_sentinel.py",
    "engine/test_environments.py",
    "data/object_store/test_cluster.py",
    "engine/test_dev_stack.py",
    "edge/test_rollout.py",
    "engine/test_interrupted_migration.py",
    "data/clickhouse/test_new_replica.py",
    "engine/test_pull_request.py",
    "data/postgres/test_initialization.py",
    "engine/test_bad_input.py",
)
"""Files of one minute to four. They start first, so that none runs alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, and one that computes with each that waits."""
    files = dict.fromkeys(item.path for item in items)
    longest = [TESTS / name for name in LONGEST]
    rest = [file for file in files if file not in longest]
    waiting = [file for file in rest if file.relative_to(TESTS).parts[0] in WAITING]
    computing = [file for file in rest if file not in waiting]
    order = [*longest, *chain.from_iterable(zip_longest(waiting, computing))]
    place = {file: number for number, file in enumerate(order)}
    items.sort(key=lambda item: place[item.path])
