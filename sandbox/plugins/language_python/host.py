"""The LanguageRuntime service for Python programs.

It behaves as the official host does (sdk/python/cmd/pulumi-language-python/main.go). Calls that need Pulumi's code
generators, which are written in Go, return a clear error.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
from google.protobuf import empty_pb2, json_format

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python import installation, toolchain
from sandbox.plugins.language_python.children import Children, output_of
from sandbox.plugins.language_python.packages import program_dependencies, required_packages
from sandbox.plugins.language_python.plugin import run_plugin
from sandbox.plugins.language_python.toolchain import PROBE_SECONDS, Toolchain
from sandbox.plugins.protocol import CHANNEL_OPTIONS, plugin_info, unsupported
from sandbox.plugins.pulumirpc import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc, plugin_pb2

RUNNER: Final = Path(__file__).with_name("runner.py")
SHOWN_TO_USER: Final = 32  # the program's exit code after an error that was already shown to the user
Context = grpc.ServicerContext


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Installs and runs Python programs for one engine."""

    def __init__(self, engine_address: str) -> None:
        self.engine_address = engine_address
        self.children = Children()

    def Handshake(  # the protocol defines the names of these methods
        self, request: language_pb2.LanguageHandshakeRequest, _context: Context
    ) -> language_pb2.LanguageHandshakeResponse:
        """Remember the engine's address."""
        self.engine_address = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: Context) -> plugin_pb2.PluginInfo:
        """Return the version of the host, which is that of the `pulumi` package."""
        return plugin_info("pulumi")

    def Cancel(self, _request: empty_pb2.Empty, _context: Context) -> empty_pb2.Empty:
        """Interrupt the running child processes."""
        self.children.cancel()
        return empty_pb2.Empty()

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: Context
    ) -> language_pb2.GetRequiredPackagesResponse:
        """Return the plugins that the program's packages need. Creates a missing virtual environment first."""
        tools = resolve(request.info)
        if tools.needs_virtualenv():
            for chunk in self._install(tools, context):
                self._log(chunk.decode(errors="replace"))
        return language_pb2.GetRequiredPackagesResponse(packages=required_packages(tools))

    def Run(self, request: language_pb2.RunRequest, context: Context) -> language_pb2.RunResponse:
        """Run the program until it ends."""
        if request.attach_debugger:
            raise unsupported("attaching a debugger")
        tools = resolve(request.info)
        environment = tools.environment(os.environ)
        installation.synchronize(tools, environment)
        installation.check_types(tools, environment)
        # Configuration may be secret: other users can read a process's arguments, but not its environment.
        environment["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        environment["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        command = [str(tools.python()), str(RUNNER), *run_arguments(request, self.engine_address)]
        child = self.children.start(command, context, environment=environment)
        code = self.children.wait(child)
        if code == SHOWN_TO_USER:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(error=f"program was terminated by signal {-code}")
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: Context
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Install the program's packages and stream the output of the installers."""
        tools = resolve(request.info, is_plugin=request.is_plugin)
        for chunk in self._install(tools, context, is_plugin=request.is_plugin):
            yield language_pb2.InstallDependenciesResponse(stdout=chunk)

    def About(self, request: language_pb2.AboutRequest, _context: Context) -> language_pb2.AboutResponse:
        """Return the interpreter and tools that the program uses."""
        tools = resolve(request.info)
        found = tools.probe("about")
        return language_pb2.AboutResponse(
            executable=found["executable"],
            version=found["version"],
            metadata={
                "toolchain": tools.name.capitalize(),
                "toolchainVersion": _uv_version() if tools.name == "uv" else found["pip"],
                "typechecker": (tools.typechecker or "none").capitalize(),
            },
        )

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, _context: Context
    ) -> language_pb2.GetProgramDependenciesResponse:
        """Return the program's Python packages."""
        found = program_dependencies(resolve(request.info), transitive=request.transitiveDependencies)
        return language_pb2.GetProgramDependenciesResponse(dependencies=found)

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: Context
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack or another plugin written in Python and stream its output."""
        if request.attach_debugger:
            raise unsupported("attaching a debugger")
        is_plugin = request.kind != "analyzer"
        yield from run_plugin(request, resolve(request.info, is_plugin=is_plugin), self.children, context)

    def RuntimeOptionsPrompts(
        self, _request: language_pb2.RuntimeOptionsRequest, _context: Context
    ) -> language_pb2.RuntimeOptionsResponse:
        """Return no prompts: the defaults (pip, the interpreter on PATH) are complete."""
        return language_pb2.RuntimeOptionsResponse()

    def Template(self, _request: language_pb2.TemplateRequest, _context: Context) -> language_pb2.TemplateResponse:
        """Leave a new project as it is in its template: pip can use requirements.txt."""
        return language_pb2.TemplateResponse()

    def GenerateProgram(
        self, _request: language_pb2.GenerateProgramRequest, _context: Context
    ) -> language_pb2.GenerateProgramResponse:
        """Return an error: not supported."""
        raise unsupported("generating a program")

    def GenerateProject(
        self, _request: language_pb2.GenerateProjectRequest, _context: Context
    ) -> language_pb2.GenerateProjectResponse:
        """Return an error: not supported."""
        raise unsupported("generating a project")

    def GeneratePackage(
        self, _request: language_pb2.GeneratePackageRequest, _context: Context
    ) -> language_pb2.GeneratePackageResponse:
        """Return an error: not supported."""
        raise unsupported("generating an SDK")

    def Pack(self, _request: language_pb2.PackRequest, _context: Context) -> language_pb2.PackResponse:
        """Return an error: not supported."""
        raise unsupported("packing an SDK")

    def Link(self, _request: language_pb2.LinkRequest, _context: Context) -> language_pb2.LinkResponse:
        """Return an error: not supported."""
        raise unsupported("linking a local SDK")

    def _install(self, tools: Toolchain, context: Context, *, is_plugin: bool = False) -> Iterator[bytes]:
        for step in installation.commands(tools, dict(os.environ), is_plugin=is_plugin):
            yield f"{step.message}\n".encode()
            child = self.children.start(
                step.command, context, environment=step.environment, directory=step.directory, pipe_output=True
            )
            last = b""
            for _stream, chunk in output_of(child):
                last = (last + chunk)[-2000:]
                yield chunk
            if code := self.children.wait(child):
                raise PluginError(
                    f"`{' '.join(step.command)}` failed with exit code {code}: {last.decode(errors='replace').strip()}"
                )

    def _log(self, message: str) -> None:
        with grpc.insecure_channel(self.engine_address, options=CHANNEL_OPTIONS) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(message=message, ephemeral=True, severity=engine_pb2.LogSeverity.INFO)
            )


def resolve(info: language_pb2.ProgramInfo, *, is_plugin: bool = False) -> Toolchain:
    """Return the toolchain that a program's runtime options select."""
    options = json_format.MessageToDict(info.options)
    return toolchain.resolve(
        info.root_directory or os.getcwd(), info.program_directory or os.getcwd(), options, is_plugin=is_plugin
    )


def run_arguments(request: language_pb2.RunRequest, engine_address: str) -> list[str]:
    """Return the arguments of runner.py for a request to run a program."""
    named = {
        "monitor": request.monitor_address,
        "engine": engine_address,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
    }
    flags = [word for key, value in named.items() if value for word in (f"--{key}", value)]
    return [*flags, request.info.entry_point, *request.args]


def _uv_version() -> str:
    command = [str(toolchain.find_uv()), "--version"]
    try:
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PROBE_SECONDS).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PluginError(f"`{' '.join(command)}` failed ({type(error).__name__})") from error
    return output.split()[1]
