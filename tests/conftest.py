import gc
import os
import tempfile
from contextlib import ExitStack
from itertools import chain, zip_longest
from pathlib import Path

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling  # type: ignore[import-untyped]

from sandbox.plugins.install import PYTHON_VARIABLE
from tests import sampling
from tests.vault import vault
from tests.warm_python import warm_python

# Recordings are large, long-lived and without cycles: collecting them again and again took a sixth of the time.
gc.set_threshold(50_000, 50, 1_000)

TESTS = Path(__file__).parent
NODE = TESTS / "node"
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test`."""
    parser.addoption("--sample-long", action="store_true", help="run a random part of the tests that are marked `long`")


def pytest_report_header() -> str:
    """Show what repeats the random choices of this run."""
    return f"SAMPLE={sampling.SHARE:g} SAMPLE_SEED={sampling.SEED}"


def pytest_configure(config: pytest.Config) -> None:
    """Let the plugins and commands of all workers start fast."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["SAMPLE_SEED"] = str(sampling.SEED)  # all workers choose the same tests
        stack = ExitStack()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ[PYTHON_VARIABLE] = str(stack.enter_context(warm_python(folder / "warm-python")))
        os.environ.update(stack.enter_context(vault()))
        config.add_cleanup(stack.close)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the long tests of this run, and start the longest files first."""
    if config.getoption("--sample-long"):
        _deselect_long(config, items)
    _sort(items)


def _deselect_long(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests of some files. Those of one file share what they set up, so they run together."""
    long = [item for item in items if item.get_closest_marker("long")]
    chosen = sampling.sample(sorted({item.path for item in long}), "long tests")
    left_out = {item for item in long if item.path not in chosen}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _sort(items: list[pytest.Item]) -> None:
    """Start the node's and the longest files first, and one that computes with each that waits."""
    files = dict.fromkeys(item.path for item in items)
    longest = [TESTS / name for name in LONGEST]
    node = [file for file in files if NODE in file.parents]
    rest = [file for file in files if file not in (*node, *longest)]
    waiting = [file for file in rest if file.relative_to(TESTS).parts[0] in WAITING]
    computing = [file for file in rest if file not in waiting]
    order = [*node, *longest, *chain.from_iterable(zip_longest(waiting, computing))]
    place = {file: number for number, file in enumerate(order)}
    items.sort(key=lambda item: place[item.path])


class Scheduler(LoadFileScheduling):  # type: ignore[misc]  # the library has no types
    """Gives each worker whole files, and one of them all files of the real node, which they use in turn."""

    def _split_scope(self, nodeid: str) -> str:
        folder = f"{NODE.relative_to(TESTS.parent)}"
        return folder if nodeid.startswith(f"{folder}/") else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Distribute files as above with `--dist loadfile`."""
    return Scheduler(config, log) if config.getoption("dist") == "loadfile" else None
