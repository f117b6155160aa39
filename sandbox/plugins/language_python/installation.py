"""Makes a program's virtual environment and installs its packages, as `pulumi install` asks.

Each function yields the commands to run, so that their output can be streamed as they go.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.toolchain import Toolchain, ambient_python, find_uv, uv_project


@dataclass(frozen=True)
class Step:
    """One command of an installation, with what to tell the user before it."""

    message: str
    command: list[str]
    directory: Path
    environment: dict[str, str]


def steps(toolchain: Toolchain, base: dict[str, str], *, is_plugin: bool = False) -> Iterator[Step]:
    """Yield what installs a program's dependencies, or a plugin's package and its dependencies."""
    if toolchain.name == "uv":
        yield from _uv_steps(toolchain, base)
    else:
        yield from _pip_steps(toolchain, base, is_plugin=is_plugin)


def _uv_steps(toolchain: Toolchain, base: dict[str, str]) -> Iterator[Step]:
    project = uv_project(toolchain.program)
    if project is None:
        raise PluginError(
            f"the uv toolchain needs a pyproject.toml with a [project] section in {toolchain.program} or above; "
            "make one with `uv init --bare`, or use toolchain pip in Pulumi.yaml"
        )
    yield Step(
        "Installing dependencies with uv...",
        [str(find_uv()), "sync"],
        toolchain.program,
        uv_environment(toolchain, base),
    )


def synchronize(toolchain: Toolchain, base: dict[str, str]) -> None:
    """Bring a uv project's virtual environment up to date, as `uv run` would; other programs' stay as they are."""
    if toolchain.name != "uv" or uv_project(toolchain.program) is None:
        return
    result = subprocess.run(
        [str(find_uv()), "sync", "--inexact"],
        check=False,
        capture_output=True,
        text=True,
        cwd=toolchain.program,
        env=uv_environment(toolchain, base),
    )
    if result.returncode:
        raise PluginError(f"`uv sync --inexact` failed: {result.stderr.strip()}")


def uv_environment(toolchain: Toolchain, base: dict[str, str]) -> dict[str, str]:
    """Return the environment in which uv uses the program's virtual environment."""
    return {**base, "UV_PROJECT_ENVIRONMENT": str(toolchain.virtualenv)}


def _pip_steps(toolchain: Toolchain, base: dict[str, str], *, is_plugin: bool) -> Iterator[Step]:
    directory = toolchain.program
    if toolchain.virtualenv is not None:
        command = [str(ambient_python()), "-m", "venv", str(toolchain.virtualenv)]
        yield Step(f"Creating virtual environment {toolchain.virtualenv}...", command, directory, base)
    environment = toolchain.environment(base)
    pip = [str(toolchain.python()), "-m", "pip", "install"]
    yield Step(
        "Updating pip, setuptools, and wheel...",
        [*pip, "--upgrade", "pip", "setuptools", "wheel"],
        directory,
        environment,
    )
    if is_plugin and (directory / "pyproject.toml").is_file():
        yield Step("Installing the plugin's package...", [*pip, str(directory)], directory, environment)
    if (directory / "requirements.txt").is_file():
        yield Step("Installing dependencies...", [*pip, "-r", "requirements.txt"], directory, environment)
