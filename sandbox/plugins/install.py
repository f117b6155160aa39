"""Puts every plugin that the project's programs need where the Pulumi CLI looks first: PULUMI_HOME/plugins.

For each plugin, in this order: the official one where it is already (PULUMI_HOME, PATH, the user's ~/.pulumi), the
official one by download, the stand-in of this package. `PLUGINS=official` or `PLUGINS=standin` takes the choice away.
"""

from __future__ import annotations

import os
import shlex
import shutil
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
MARKER: Final = "made-by-sandbox"  # a file in each folder made here, with where its plugin comes from
STANDIN: Final = "stand-in"
RETRY_SECONDS: Final = 24 * 3600.0  # how long a stand-in stays before an official plugin is looked for again
NO_LOGS: Final = """The CLI logs each command into a folder of this name, which takes a third of its CPU time.
This file keeps it from that. To have logs, remove the file; `pulumi logs list` tells of them.
"""


@dataclass(frozen=True)
class Plugin:
    """A plugin by Pulumi's kind and name, the Python package whose version it has, and the module of its stand-in."""

    kind: str
    name: str
    distribution: str
    module: str

    @property
    def version(self) -> str:
        """The version that the installed Python package asks for."""
        return metadata.version(self.distribution)

    @property
    def file(self) -> str:
        """The executable's name."""
        return f"pulumi-{self.kind}-{self.name}"

    @property
    def folder(self) -> str:
        """The folder's name among installed plugins."""
        return f"{self.kind}-{self.name}-v{self.version}"

    @property
    def archive(self) -> str | None:
        """Where upstream publishes it; None for what the CLI's own archive holds."""
        if self.distribution == "pulumi":
            return None
        system, architecture = pins.platform_name()
        base = f"https://github.com/pulumi/pulumi-{self.name}/releases/download"
        return f"{base}/v{self.version}/{self.file}-v{self.version}-{system}-{architecture}.tar.gz"

    @property
    def official_install(self) -> str:
        """What a person does to get the official one."""
        if self.archive is None:
            return f"install the official Pulumi CLI {self.version} and put it on PATH"
        return f"install it with `pulumi plugin install {self.kind} {self.name} {self.version}`"


PLUGINS: Final = (
    Plugin("language", "python", "pulumi", "sandbox.plugins.language_python"),
    Plugin("resource", "pulumi-python", "pulumi", "sandbox.plugins.dynamic_python"),
    Plugin("resource", "kubernetes", "pulumi-kubernetes", "sandbox.plugins.kubernetes"),
    Plugin("resource", "random", "pulumi-random", "sandbox.plugins.random"),
)


def install(pulumi_home: Path, python: Path) -> None:
    """Make every plugin available to the CLI with this PULUMI_HOME, without logs of its own; fast when all is so.

    `python` is the interpreter for stand-ins; its environment must have this project's packages.
    Raises SandboxError when PLUGINS asks for what can't be had.
    """
    folder = pulumi_home / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    with cache.exclusive(folder / ".sandbox.lock", lambda: None):
        for plugin in PLUGINS:
            _install_one(plugin, folder / plugin.folder, python, choice())
    logs = pulumi_home / "logs"
    if not logs.exists():
        logs.write_text(NO_LOGS)


def choice() -> Literal["official", "standin"] | None:
    """Return what PLUGINS asks for. Raises SandboxError for another word."""
    match os.environ.get(CHOICE_VARIABLE, ""):
        case "":
            return None
        case "official":
            return "official"
        case "standin":
            return "standin"
        case other:
            raise SandboxError(
                f'{CHOICE_VARIABLE}="{other}" is not a choice', "set it to official or standin, or unset it"
            )


def cli(found: Path, folder: Path) -> Path:
    """Return the CLI to run: with PLUGINS=standin one that has no official plugins beside it.

    Plugins in the CLI's own folder win over those in PULUMI_HOME, whatever the environment says
    (sdk/go/common/workspace/plugins.go, getPluginInfoAndPath). The CLI looks through links, so `folder` gets a copy.
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
    """Return the executable of a stand-in; `-P` keeps the working directory's modules out of its way."""
    words = [str(python), "-P", str(Path(__file__).with_name("start.py").resolve()), plugin.module]
    return f'#!/bin/sh\n# The stand-in for {plugin.file} {plugin.version}.\nexec {shlex.join(words)} "$@"\n'


def _install_one(plugin: Plugin, folder: Path, python: Path, wanted: str | None) -> None:
    made_here = (folder / MARKER).is_file()
    works = (folder / plugin.file).is_file()  # not so for a link whose target is gone
    if works and not made_here:
        if wanted == "standin":
            raise SandboxError(
                f"{CHOICE_VARIABLE}=standin, but {folder} holds the official plugin",
                f"run `pulumi plugin rm {plugin.kind} {plugin.name} {plugin.version}`, or use another PULUMI_HOME",
            )
        return
    is_standin = made_here and (folder / MARKER).read_text() == STANDIN
    if works and made_here and not is_standin and wanted != "standin":
        return
    script = shim(plugin, python)
    current = works and is_standin and (folder / plugin.file).read_text() == script
    if wanted != "standin" and not (wanted is None and current and _age(folder / MARKER) < RETRY_SECONDS):
        why = _official(plugin, folder)
        if why is None:
            return
        if wanted == "official":
            raise SandboxError(
                f"{CHOICE_VARIABLE}=official, but {plugin.file} {plugin.version} can't be had: {why}",
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
    """Install the official plugin and return None, or return why there is none."""
    if source := _found(plugin):
        # The language host looks for its script beside itself, so what belongs together is linked together.
        # Links to files: Pulumi takes no link for a plugin's folder.
        _publish(folder, f"link to {source}", lambda partial: _link(source, plugin.file, partial))
        return None
    if plugin.archive is None:
        return "it comes with the official Pulumi CLI, which is not here"
    if os.environ.get(releases.OFFLINE_VARIABLE):
        return f"{releases.OFFLINE_VARIABLE} is set"
    url = plugin.archive
    try:
        _publish(folder, f"download from {url}", lambda partial: _download(url, plugin.file, partial))
    except (releases.UnavailableError, tarfile.TarError) as error:
        return str(error)
    return None


def _found(plugin: Plugin) -> Path | None:
    """Return the folder of an official plugin of the right version: the user's own, on PATH, or beside the CLI."""
    home = Path.home() / ".pulumi" / "plugins" / plugin.folder
    if (home / plugin.file).is_file() and not (home / MARKER).exists():
        return home
    if plugin.archive is None:  # it comes with the CLI, and some parts of it are scripts that tell no version
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
    """Unpack the published archive. Upstream's checksums are on the same host and say no more than TLS and gzip do."""
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
