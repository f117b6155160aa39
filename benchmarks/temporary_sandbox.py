"""The sandbox in which all benchmarks run. Its start is measured; it is deleted at the end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.commands import Cost, run
from benchmarks.programs import CHECKOUT
from sandbox.controlplane import Sandbox
from sandbox.folder import FOLDER_VARIABLE
from sandbox.plugins.install import MARKER, PLUGINS, STANDIN

OWN_VARIABLES = ("PULUMI_", "KUBE", FOLDER_VARIABLE)


class TemporarySandbox:
    """A sandbox in a temporary folder, which also has the folders of the projects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sandbox = Sandbox(folder / "sandbox")

    def start(self) -> Cost:
        """Start the control plane with its command and return when it is ready."""
        return self._command("up")

    def stop(self) -> None:
        """Stop it and keep its state."""
        self._command("down")

    def wipe(self) -> None:
        """Stop it and delete its state."""
        self._sandbox.reset()

    def memory(self) -> int:
        """Resident memory of the control plane in bytes."""
        return sum(report.memory_bytes or 0 for report in self._sandbox.status().processes)

    def environment(self) -> dict[str, str]:
        """The environment of commands that use it, without the developer's own Pulumi and cluster settings."""
        return {**_clean_environment(), **self._sandbox.environment()}

    def plugins(self) -> dict[str, str]:
        """Version and origin of each plugin, by name."""
        folder = self._sandbox.folder.pulumi_home / "plugins"
        found = {}
        for plugin in PLUGINS:
            marker = folder / plugin.folder / MARKER
            is_standin = marker.is_file() and marker.read_text() == STANDIN
            found[plugin.name] = f"{plugin.version} ({STANDIN if is_standin else 'official'})"
        return found

    def _command(self, name: str) -> Cost:
        environment = {**_clean_environment(), FOLDER_VARIABLE: str(self._sandbox.folder.path)}
        return run((sys.executable, "-m", "sandbox", name), folder=CHECKOUT, environment=environment).cost


@contextmanager
def temporary_sandbox() -> Iterator[TemporarySandbox]:
    """Yield a sandbox that is not started yet; stop and delete it in any case."""
    folder = Path(tempfile.mkdtemp(prefix="langfuse-benchmarks-"))
    sandbox = TemporarySandbox(folder)
    try:
        yield sandbox
    finally:
        sandbox.wipe()
        shutil.rmtree(folder)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
