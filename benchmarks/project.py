"""A Pulumi project with its own backend and namespace, and the measured operations."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from benchmarks import events
from benchmarks.commands import BenchmarkError, Cost, run
from benchmarks.events import Events
from benchmarks.programs import CHECKOUT, PLAN_FILE, USAGE_VARIABLE
from benchmarks.state import Plan

PROJECT = "langfuse"
RUNTIME = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
"""For every program and policy pack: the interpreter that runs the benchmark."""


@dataclass(frozen=True)
class Operation:
    """The cost and the events of an operation."""

    cost: Cost
    events: Events
    program: Mapping[str, float]
    """CPU seconds of the program's process: see `programs.run`."""

    def unchanged(self, what: str) -> Operation:
        """Return this operation. Raises BenchmarkError if it has changed resources."""
        if self.events.changed:
            raise BenchmarkError(f"{what} must not change resources, but did: {self.events.changes}")
        return self


class Project:
    """A program in a new Pulumi project."""

    def __init__(
        self,
        folder: Path,
        program: str,
        *,
        namespace: str,
        version: str,
        environment: Mapping[str, str],
        plan: Plan | None = None,
        stack: str = "dev",
        config: Mapping[str, object] | None = None,
    ) -> None:
        """Create `folder`, which must not exist, with the project and its state. The stack selects the profile."""
        self.name = program
        self._folder = folder / "project"
        self._usage = folder / "usage.json"
        self._folder.mkdir(parents=True)
        backend = folder / "backend"
        backend.mkdir()
        self._environment = {
            **environment,
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PYTHONPATH": str(CHECKOUT),
            USAGE_VARIABLE: str(self._usage),
        }
        (self._folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": RUNTIME}))
        (self._folder / "__main__.py").write_text(f"from benchmarks.programs import run\n\nrun({program!r})\n")
        if plan:
            (self._folder / PLAN_FILE).write_text(json.dumps({**asdict(plan), "version": version}))
        self._pulumi("stack", "init", stack)
        self._config = self._folder / f"Pulumi.{stack}.yaml"
        file = CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml"
        of_stack = yaml.safe_load(file.read_text())["config"] if file.exists() else {f"{PROJECT}:host": "example.com"}
        own = {"namespace": namespace, "version": version, **(config or {})}
        self._configure(of_stack | {f"{PROJECT}:{key}": value for key, value in own.items()})

    def up(self) -> Operation:
        """Update the stack."""
        return self._operation("up", "--yes", "--skip-preview")

    def preview(self, *flags: str) -> Operation:
        """Preview an update."""
        return self._operation("preview", *flags)

    def destroy(self) -> Operation:
        """Delete every resource."""
        return self._operation("destroy", "--yes", "--skip-preview")

    def set_version(self, version: str) -> None:
        """Set the release of Langfuse."""
        self._configure({f"{PROJECT}:version": version})

    def export(self) -> dict[str, object]:
        """Export the stack's state with its secrets, which stay in memory."""
        words = ("pulumi", "stack", "export", "--show-secrets", "--non-interactive")
        done = run(words, folder=self._folder, environment=self._environment, is_private=True)
        state: dict[str, object] = json.loads(done.stdout)
        return state

    def _configure(self, config: Mapping[str, object]) -> None:
        """Set configuration values in the stack's file, without the CLI."""
        content = yaml.safe_load(self._config.read_text()) if self._config.exists() else {}
        content["config"] = {**content.get("config", {}), **config}
        self._config.write_text(yaml.safe_dump(content))

    def _operation(self, *arguments: str) -> Operation:
        self._usage.unlink(missing_ok=True)
        with events.listening() as (address, seen):
            cost = self._pulumi(*arguments, "--event-log", address)
        usage = json.loads(self._usage.read_text()) if self._usage.exists() else {}  # `destroy` runs no program
        return Operation(cost, seen, usage)

    def _pulumi(self, *arguments: str) -> Cost:
        words = ("pulumi", *arguments, "--non-interactive", "--color", "never")
        return run(words, folder=self._folder, environment=self._environment).cost
