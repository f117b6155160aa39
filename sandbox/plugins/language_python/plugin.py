"""Runs plugins that are written in Python: policy packs, components and providers with a PulumiPlugin.yaml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grpc

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.children import Children
from sandbox.plugins.language_python.policy import PolicyProxy
from sandbox.plugins.language_python.streams import output_of
from sandbox.plugins.language_python.toolchain import Toolchain
from sandbox.plugins.pulumirpc import language_pb2

Response = language_pb2.RunPluginResponse


def run_plugin(
    request: language_pb2.RunPluginRequest, tools: Toolchain, children: Children, context: grpc.ServicerContext
) -> Iterator[Response]:
    """Run a plugin to its end: yield its output, then its exit code."""
    base = {**os.environ, **dict(item.split("=", 1) for item in request.env if "=" in item)}
    environment = tools.environment(base)
    if request.kind == "analyzer":
        yield from _run_policy_pack(request, tools, environment, children, context)
        return
    command = [str(tools.python()), *_entry(tools.root, Path(request.info.program_directory)), *request.args]
    child = children.start(command, context, environment=environment, directory=Path(request.pwd), pipe_output=True)
    for name, chunk in output_of(child):
        yield Response(stdout=chunk) if name == "stdout" else Response(stderr=chunk)
    yield Response(exitcode=children.wait(child))


def _entry(root: Path, program: Path) -> list[str]:
    """Return what to give to the interpreter: a folder with a main program, or a package by its name."""
    if (root / "__main__.py").is_file():
        return [str(program)]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text())
        return ["-m", "pulumi.run.plugin", str(project["project"]["name"])]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise PluginError(
            f"the plugin in {root} can't be run: it has neither a __main__.py nor a pyproject.toml with a project name"
        ) from error


def _run_policy_pack(
    request: language_pb2.RunPluginRequest,
    tools: Toolchain,
    environment: dict[str, str],
    children: Children,
    context: grpc.ServicerContext,
) -> Iterator[Response]:
    proxy = PolicyProxy()
    context.add_callback(proxy.close)
    yield Response(stdout=f"{proxy.port}\n".encode())  # the engine connects to the proxy
    pack = Path(request.info.program_directory)
    command = [str(tools.python()), "-u", "-m", "pulumi.policy", *request.args, str(pack)]
    child = children.start(
        command, context, environment={**environment, **proxy.environment()}, directory=pack, pipe_output=True
    )
    first_line = b""
    attached = False
    for name, chunk in output_of(child):
        if name == "stderr":
            yield Response(stderr=chunk)
            continue
        if not attached:
            first_line += chunk
            if b"\n" not in first_line:
                continue
            port, _, rest = first_line.partition(b"\n")
            if not port.strip().isdigit():
                proxy.fail("the policy pack printed something else than its port; it must not print at import")
                children.stop(child)
            else:
                proxy.attach(int(port))
            attached = True
            chunk = rest  # noqa: PLW2901  # what follows the port is ordinary output
        if chunk:
            yield Response(stdout=chunk)
    code = children.wait(child)
    proxy.fail(f"the policy pack in {pack} ended with exit code {code} before it was ready")
    yield Response(exitcode=code)
