"""The real node of the tests. It needs Linux, root and packages of the distribution: see `.ci/run`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from sandbox.folder import Kind
from sandbox.node import requirements

REQUIRED: Final = "NODE_TESTS"
"""`required`: fail where the node can't run, instead of skipping its tests."""


@pytest.fixture(scope="session")
def machine() -> None:
    """Skip, or fail if the tests are required, on a machine that can't run the node."""
    try:
        requirements.check()
    except SandboxError as error:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"the tests of the real node are required: {error}", pytrace=False)
        pytest.skip(f"NOT TESTED on a real node: {error}")


@pytest.fixture(scope="module")
def node(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a real node, which is deleted at the end."""
    started = Sandbox(tmp_path_factory.mktemp("node") / "sandbox")
    try:
        started.up(Kind.REAL)
        yield started
    finally:
        started.reset()
