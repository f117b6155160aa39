"""Installs every plugin that the project's programs need into PULUMI_HOME/plugins, where the Pulumi CLI looks first.

A plugin is the first of these that is available: an installed official one (in PULUMI_HOME, on PATH, in ~/.pulumi), a
downloaded official one, the stand-in of this package. `PLUGINS=official` and `PLUGINS=standin` allow only one kind.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from sandbox import cache, pins, releases, toolchain
from sandbox.errors import SandboxError
from sandbox.plugins.version import reported_version

CHOICE_VARIABLE: Final = "PLUGINS"
PYTHON_VARIABLE: Final = "PLUGINS_PYTHON"
MARKER: Final = "made-by-sandbox"  # a file in each folder that this module creates, with the plugin's origin
STANDIN: Final = "stand-in"
RETRY_SECONDS: Final = 24 * 3600.0  # before a stand-in is checked for an official replacement again
NO_LOGS: Final = """The Pulumi CLI logs each command in a folder of this name, which takes a third of its CPU time.
This file prevents that. To get logs, delete this file; `pulumi logs list` lists them.
"""


@dataclass(frozen=True)
class Plugin:
    """A plugin: its kind and name, the Python package with the same version, and the module of its stand-in."""

    kind: str
    name: str
    distribution: str
    module: str

    @property
    def version(self) -> str:
        """The version that the installed Python package needs."""
        return metadata.version(self.distribution)

    @property
    def file(self) -> str:
        """The executable's name."""
        return f"pulumi-{self.kind}-{self.name}"

    @property
    def folder(self) -> str:
        """The name of its folder in PULUMI_HOME/plugins."""
        return f"{self.kind}-{self.name}-v{self.version}"

    @property
    def archive(self) -> str | None:
        """The URL of its official release; None if it is part of the CLI's release."""
        if self.distribution == "pulumi":
            return None
        system, architecture = pins.platform_name()
        base = f"https://github.com/pulumi/pulumi-{self.name}/releases/download"
        return f"{base}/v{self.version}/{self.file}-v{self.version}-{system}-{architecture}.tar.gz"

    @property
    def official_install(self) -> str:
        """How to install the official plugin."""
        if self.archive is None:
            return f"install the official Pulumi CLI {self.version} and put it on PATH"
        return f"install it with `pulumi plugin install {self.kind} {self.name} {self.version}`"


PLUGINS: Final = (
    Plugin("language", "python", "pulumi", "sandbox.plugins.language_python"),
    Plugin("resource", "pulumi-python", "pulumi", "sandbox.plugins.dynamic_python"),
    Plugin("resource", "kubernetes", "pulumi-kubernetes", "sandbox.plugins.kubernetes"),
    Plugin("resource", "random", "pulumi-random", "sandbox.plugins.random"),
)


def install(pulumi_home: Path) -> None:
    """Install every missing plugin into a PULUMI_HOME, and turn off the CLI's logs there.

    Stand-ins run with this interpreter or that of PLUGINS_PYTHON, which must have the same packages.
    Raises SandboxError if PLUGINS selects a kind that is not available.
    """
    folder = pulumi_home / "plugins"
    python = Path(os.environ.get(PYTHON_VARIABLE) or sys.executable)
    folder.mkdir(parents=True, exist_ok=True)
    with cache.exclusive(folder / ".sandbox.lock", lambda: None):
        for plugin in PLUGINS:
            _install_one(plugin, folder / plugin.folder, python, choice())
    logs = pulumi_home / "logs"
    if not logs.exists():
        logs.write_text(NO_LOGS)


def choice() -> Literal["official", "standin"] | None:
    """Return the value of PLUGINS. Raises SandboxError for an invalid one."""
    match os.environ.get(CHOICE_VARIABLE, ""):
        case "":
            return None
        case "official":
            return "official"
        case "standin":
            return "standin"
        case other:
            raise SandboxError(f'{CHOICE_VARIABLE}="{other}" is invalid', "set it to official or standin, or unset it")


def cli(found: Path, folder: Path) -> Path:
    """Return the CLI to run. With PLUGINS=standin, its folder has no official plugins.

    Plugins in the CLI's own folder always win over those in PULUMI_HOME (getPluginInfoAndPath in
    sdk/go/common/workspace/plugins.go). The CLI follows links, so `folder` gets a copy of it.
    """
    bundled = [plugin for plugin in PLUGINS if plugin.archive is None]
    if choice() != "standin" or not any((found.resolve().parent / plugin.file).exists() for plugin in bundled):
        return found
    copy, original = folder / found.name, found.resolve().stat()
    if not copy.exists() or (copy.stat().st_size, copy.stat().st_mtime) != (original.st_size, original.st_mtime):
        folder.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(".partial")
        shutil.copy2(found.resolve(), partial)
        partial.replace(copy)
    return copy


def shim(plugin: Plugin, python: Path) -> str:
    """Return the executable of a stand-in. `-P` prevents imports from the working directory."""
    words = [str(python), "-P", str(Path(__file__).with_name("start.py").resolve()), plugin.module]
    return f'#!/bin/sh\n# The stand-in for {plugin.file} {plugin.version}.\nexec {shlex.join(words)} "$@"\n'


def _install_one(plugin: Plugin, folder: Path, python: Path, kind: str | None) -> None:
    made_here = (folder / MARKER).is_file()
    works = (folder / plugin.file).is_file()  # false for a link whose target was deleted
    if works and not made_here:
        if kind == "standin":
            raise SandboxError(
                f"{CHOICE_VARIABLE}=standin, but {folder} holds the official plugin",
                f"run `pulumi plugin rm {plugin.kind} {plugin.name} {plugin.version}`, or use another PULUMI_HOME",
            )
        return
    is_standin = made_here and (folder / MARKER).read_text() == STANDIN
    if works and made_here and not is_standin and kind != "standin":
        return
    script = shim(plugin, python)
    current = works and is_standin and (folder / plugin.file).read_text() == script
    if kind != "standin" and not (kind is None and current and _age(folder / MARKER) < RETRY_SECONDS):
        reason = _official(plugin, folder)
        if reason is None:
            return
        if kind == "official":
            raise SandboxError(
                f"{CHOICE_VARIABLE}=official, but {plugin.file} {plugin.version} is not available: {reason}",
                f"{plugin.official_install}, or unset {CHOICE_VARIABLE} to use the stand-in",
            )
    if current:
        (folder / MARKER).touch()
        return
    with cache.published(folder) as partial:
        (partial / plugin.file).write_text(script)
        (partial / plugin.file).chmod(0o755)
        (partial / MARKER).write_text(STANDIN)


def _official(plugin: Plugin, folder: Path) -> str | None:
    """Install the official plugin and return None, or return why it is not available."""
    if source := _found(plugin):
        # The language host looks for its script in its own folder, so the script is linked too. The files are linked
        # and not their folder, because Pulumi ignores a plugin's folder that is a link.
        _publish(folder, f"link to {source}", lambda partial: _link(source, plugin.file, partial))
        return None
    if plugin.archive is None:
        return "it is part of the official Pulumi CLI, which was not found"
    if os.environ.get(releases.OFFLINE_VARIABLE):
        return f"{releases.OFFLINE_VARIABLE} is set"
    url = plugin.archive
    try:
        _publish(folder, f"download from {url}", lambda partial: _download(url, plugin.file, partial))
    except (releases.UnavailableError, tarfile.TarError) as error:
        return str(error)
    return None


def _found(plugin: Plugin) -> Path | None:
    """Return the folder of an official plugin of the right version: in ~/.pulumi, on PATH, or in the CLI's folder."""
    home = Path.home() / ".pulumi" / "plugins" / plugin.folder
    if (home / plugin.file).is_file() and not (home / MARKER).exists():
        return home
    if plugin.archive is None:  # it has the CLI's version; some of its files are scripts without a version
        cli = toolchain.installed(toolchain.TOOLS["pulumi"])
        return cli.resolve().parent if cli and (cli.resolve().parent / plugin.file).is_file() else None
    executable = shutil.which(plugin.file)
    if executable is None or reported_version(Path(executable)) != plugin.version:
        return None
    return Path(executable).resolve().parent


def _publish(folder: Path, origin: str, fill: Callable[[Path], None]) -> None:
    with cache.published(folder) as partial:
        fill(partial)
        (partial / MARKER).write_text(origin)


def _link(source: Path, file: str, folder: Path) -> None:
    for item in source.iterdir():
        if item.is_file() and item.name.startswith(file):
            (folder / item.name).symlink_to(item)


def _download(url: str, file: str, folder: Path) -> None:
    """Download and unpack the release. Its checksums are on the same host, so they add nothing to TLS and gzip."""
    archive = folder / "archive"
    releases.fetch(url, archive, releases.Hosts(cache.root() / "unreachable.json"))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()
    if not (folder / file).is_file():
        raise releases.UnavailableError(f"{url} has no {file}")
    (folder / file).chmod(0o755)


def _age(file: Path) -> float:
    return time.time() - file.stat().st_mtime
