"""Runs plugins that are written in Python: policy packs, components and providers with a PulumiPlugin.yaml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.children import Children, output_of
from sandbox.plugins.language_python.toolchain import Toolchain
from sandbox.plugins.pulumirpc import language_pb2

Response = language_pb2.RunPluginResponse

POLICY_RUNNER: Final = Path(__file__).with_name("policy_runner.py")


def run_plugin(
    request: language_pb2.RunPluginRequest, tools: Toolchain, children: Children, context: grpc.ServicerContext
) -> Iterator[Response]:
    """Run a plugin until it ends: yield its output, then its exit code."""
    base = {**os.environ, **dict(item.split("=", 1) for item in request.env if "=" in item)}
    program, directory = Path(request.info.program_directory), Path(request.pwd)
    if request.kind == "analyzer":
        words, directory = [str(POLICY_RUNNER), *request.args, str(program)], program
    else:
        words = [*_entry_point(tools.root, program), *request.args]
    command = [str(tools.python()), *words]
    child = children.start(command, context, environment=tools.environment(base), directory=directory, pipe_output=True)
    for name, chunk in output_of(child):
        yield Response(stdout=chunk) if name == "stdout" else Response(stderr=chunk)
    yield Response(exitcode=children.wait(child))


def _entry_point(root: Path, program: Path) -> list[str]:
    """Return the interpreter's arguments: a folder with a main program, or a package by its name."""
    if (root / "__main__.py").is_file():
        return [str(program)]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text())
        return ["-m", "pulumi.run.plugin", str(project["project"]["name"])]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise PluginError(
            f"the plugin in {root} can't be run: it has neither a __main__.py nor a pyproject.toml with a project name"
        ) from error
