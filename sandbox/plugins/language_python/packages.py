"""The Pulumi packages in a program's environment, and the plugins that they need."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.toolchain import Toolchain
from sandbox.plugins.pulumirpc import language_pb2, plugin_pb2

WITHOUT_PLUGINS: Final = frozenset({"pulumi-policy", "pulumi-esc-sdk"})
LIST_TIMEOUT_SECONDS: Final = 60
_RELEASE = re.compile(
    r"(?P<release>\d+(?:\.\d+)*)(?:(?P<phase>a|b|rc)(?P<number>\d*))?(?:\.post(?P<post>\d*))?(?:\.dev(?P<dev>\d*))?"
)
_PHASES: Final = {"a": "alpha", "b": "beta", "rc": "rc"}


def required_packages(toolchain: Toolchain) -> list[plugin_pb2.PackageDependency]:
    """Return the plugins that the installed Pulumi packages need, in the version of each package."""
    installed = toolchain.probe("pulumi_packages")
    found = [
        dependency(name.lower().replace("_", "-"), package["version"], package["plugin"])
        for name, package in sorted(installed.items())
    ]
    return [package for package in found if package is not None]


def dependency(name: str, version: str, plugin: Mapping[str, object] | None) -> plugin_pb2.PackageDependency | None:
    """Return the plugin that a Python package needs, as its pulumi-plugin.json describes it; None if it needs none."""
    if name in WITHOUT_PLUGINS or (plugin is not None and not plugin.get("resource")):
        return None
    described = plugin or {}
    plugin_version = str(described.get("version") or "") or plugin_version_of(version)
    if plugin_version is None:
        return None
    return plugin_pb2.PackageDependency(
        name=str(described.get("name") or name.removeprefix("pulumi-")),
        kind="resource",
        version="v" + plugin_version.removeprefix("v"),
        server=str(described.get("server") or ""),
        parameterization=_parameterization(described.get("parameterization")),
        extension=_parameterization(described.get("extensionParameterization")),
    )


def plugin_version_of(version: str) -> str | None:
    """Convert a Python package version to a semantic version; None if it has none (epochs, local versions)."""
    match = _RELEASE.fullmatch(version)
    if match is None:
        return None
    segments = match["release"].split(".")
    result = ".".join(segments + ["0"] * (3 - len(segments)))
    if match["phase"]:
        result += f"-{_PHASES[match['phase']]}.{match['number']}"
    build = "".join(f"{label}{match[label]}" for label in ("post", "dev") if match[label] is not None)
    return f"{result}+{build}" if build else result


def program_dependencies(toolchain: Toolchain, *, transitive: bool) -> list[language_pb2.DependencyInfo]:
    """Return the program's Python packages as `pulumi about` lists them."""
    arguments = ["-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    if not transitive:
        arguments.append("--not-required")
    try:
        listing = subprocess.run(
            [str(toolchain.python()), *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=LIST_TIMEOUT_SECONDS,
            cwd=toolchain.root,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PluginError(
            f"could not list the program's Python packages: pip failed ({type(error).__name__})"
        ) from error
    return [language_pb2.DependencyInfo(name=item["name"], version=item["version"]) for item in json.loads(listing)]


def _parameterization(value: object) -> plugin_pb2.PackageParameterization | None:
    if not isinstance(value, Mapping):
        return None
    return plugin_pb2.PackageParameterization(
        name=str(value.get("name", "")),
        version=str(value.get("version", "")),
        value=base64.b64decode(str(value.get("value", ""))),
    )
