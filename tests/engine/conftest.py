"""Fixtures of tests that run the real engine. `PLUGINS=official|standin` selects the plugins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import toolchain
from sandbox.errors import SandboxError
from sandbox.plugins.install import PYTHON_VARIABLE, choice, cli, install
from tests.engine.harness import PASSPHRASE, Engine, Program
from tests.engine.kube import dev, kube, namespace, on_cluster, sandbox
from tests.engine.stacks import Stack, StackFactory

__all__ = ["dev", "kube", "namespace", "on_cluster", "sandbox"]
"""Fixtures are imported only here: every module that imported them would start its own cluster."""

ProgramFactory = Callable[[str], Program]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The pinned CLI, with a PULUMI_HOME for the test session that has every plugin."""
    found = toolchain.installed(toolchain.TOOLS["pulumi"])
    if found is None:
        pytest.fail("the Pulumi CLI of the pinned version is not there: run `make tools`", pytrace=False)
    home = new_home(tmp_path_factory)
    return Engine(cli(found, home / "cli"), home, {"PULUMI_IGNORE_AMBIENT_PLUGINS": "true"})


@pytest.fixture
def plain_engine(engine: Engine, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose stand-ins run with the interpreter itself rather than with `warm_python`."""
    monkeypatch.delenv(PYTHON_VARIABLE)
    return replace(engine, home=new_home(tmp_path_factory))


def new_home(factory: pytest.TempPathFactory) -> Path:
    """Return a new PULUMI_HOME with every plugin. Without official ones that were asked for, the test is skipped."""
    home = factory.mktemp("pulumi-home")
    (home / "passphrase").write_text(PASSPHRASE)
    try:
        install(home)
    except SandboxError as error:
        if choice() == "official":
            pytest.skip(f"no official plugins: {error}")
        raise
    return home


@pytest.fixture
def program(engine: Engine, tmp_path: Path) -> ProgramFactory:
    """Creates programs from source code, each with its own project, stack and backend."""
    made = 0

    def make(source: str) -> Program:
        nonlocal made
        made += 1
        new = Program(engine, tmp_path / f"{made}")
        new.write(source)
        return new

    return make


@pytest.fixture
def nowhere(engine: Engine, tmp_path: Path) -> StackFactory:
    """Creates stacks in an environment without a cluster."""
    backend, home = tmp_path / "backend", tmp_path / "home"
    backend.mkdir()
    home.mkdir()
    environment = {**engine.environment(backend), "HOME": str(home)}
    return lambda name, config=None: Stack.new(name, tmp_path / name, environment, config)
