"""Prepares a program: creates its virtual environment, installs its packages, checks its types."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.toolchain import Toolchain, ambient_python, find_uv, uv_project


@dataclass(frozen=True)
class Command:
    """One command of an installation and the message to show before it runs."""

    message: str
    command: list[str]
    directory: Path
    environment: dict[str, str]


def commands(toolchain: Toolchain, base: dict[str, str], *, is_plugin: bool = False) -> Iterator[Command]:
    """Yield the commands that install a program's dependencies, or a plugin's package and its dependencies."""
    if toolchain.name == "uv":
        yield from _uv_commands(toolchain, base)
    else:
        yield from _pip_commands(toolchain, base, is_plugin=is_plugin)


def _uv_commands(toolchain: Toolchain, base: dict[str, str]) -> Iterator[Command]:
    project = uv_project(toolchain.program)
    if project is None:
        raise PluginError(
            f"the uv toolchain needs a pyproject.toml with a [project] section in {toolchain.program} or above; "
            "create one with `uv init --bare`, or use toolchain pip in Pulumi.yaml"
        )
    yield Command(
        "Installing dependencies with uv...",
        [str(find_uv()), "sync"],
        toolchain.program,
        uv_environment(toolchain, base),
    )


def synchronize(toolchain: Toolchain, base: dict[str, str]) -> None:
    """Update the virtual environment of a uv project, as `uv run` does. Do nothing for other programs."""
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


def _pip_commands(toolchain: Toolchain, base: dict[str, str], *, is_plugin: bool) -> Iterator[Command]:
    directory = toolchain.program
    if toolchain.virtualenv is not None:
        command = [str(ambient_python()), "-m", "venv", str(toolchain.virtualenv)]
        yield Command(f"Creating virtual environment {toolchain.virtualenv}...", command, directory, base)
    environment = toolchain.environment(base)
    pip = [str(toolchain.python()), "-m", "pip", "install"]
    yield Command(
        "Updating pip, setuptools, and wheel...",
        [*pip, "--upgrade", "pip", "setuptools", "wheel"],
        directory,
        environment,
    )
    if is_plugin and (directory / "pyproject.toml").is_file():
        yield Command("Installing the plugin's package...", [*pip, str(directory)], directory, environment)
    if (directory / "requirements.txt").is_file():
        yield Command("Installing dependencies...", [*pip, "-r", "requirements.txt"], directory, environment)


def check_types(toolchain: Toolchain, environment: Mapping[str, str]) -> None:
    """Run the type checker that Pulumi.yaml names, if any. Raises PluginError with its report."""
    if toolchain.typechecker is None:
        return
    command = [str(toolchain.python()), "-m", toolchain.typechecker]
    if toolchain.typechecker == "mypy" and toolchain.virtualenv is not None:
        command += ["--exclude", os.path.relpath(toolchain.virtualenv, toolchain.program)]
    result = subprocess.run(
        [*command, str(toolchain.program)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=toolchain.program,
        env=environment,
    )
    if result.returncode:
        raise PluginError(f"{toolchain.typechecker} failed: exit code {result.returncode}\n{result.stdout}")
