"""Runs the type checker that Pulumi.yaml asks for, before the program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.toolchain import Toolchain


def check_types(tools: Toolchain, environment: Mapping[str, str]) -> None:
    """Raise PluginError with the checker's report when the program does not pass; do nothing without a checker."""
    if tools.typechecker is None:
        return
    command = [str(tools.python()), "-m", tools.typechecker]
    if tools.typechecker == "mypy" and tools.virtualenv is not None:
        command += ["--exclude", os.path.relpath(tools.virtualenv, tools.program)]
    result = subprocess.run(
        [*command, str(tools.program)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tools.program,
        env=environment,
    )
    if result.returncode:
        raise PluginError(f"{tools.typechecker} failed: exit code {result.returncode}\n{result.stdout}")
