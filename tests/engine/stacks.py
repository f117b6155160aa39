"""Stacks of this checkout's program: their commands, and the secrets in their state."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import yaml

from sandbox.plugins.install import PYTHON_VARIABLE
from tests import vault
from tests.engine.harness import CHECKOUT, CHECKPOINTS, COMMAND_LINE, SECRET_MARK, Result, checkpoint, state_file
from tests.engine.view import Json

TIMEOUT_SECONDS: Final = 300.0
COMPONENTS: Final = "langfuse:index:"
SHORTEST_SECRET: Final = 16


class Stack:
    """One stack of this checkout's program. Its file is a copy; the files in `stacks/` are only read."""

    timeout_seconds: float = TIMEOUT_SECONDS
    """How long a command may take."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` contains the stack file and the Pulumi.yaml that `stack init` needs."""
        self.name = name
        self.folder = folder
        self.printed: list[str] = []
        """The output of every command so far."""
        self.environment = {**environment, **COMMAND_LINE, **vault.variables()}

    @classmethod
    def new(
        cls, name: str, folder: Path, environment: Mapping[str, str], config: Mapping[str, object] | None = None
    ) -> Stack:
        """Create a stack with the configuration of its file in `stacks/`, if any, and of `config`."""
        folder.mkdir(parents=True)
        project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"]
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": project, "runtime": "python"}))
        stack = cls(name, folder, environment)
        init = ["pulumi", "stack", "init", name, "--secrets-provider", vault.PROVIDER, "--non-interactive"]
        stack._run(init, folder).ok()
        source = CHECKOUT / "stacks" / f"Pulumi.{name}.yaml"
        stack.configure({**(yaml.safe_load(source.read_text())["config"] if source.exists() else {}), **(config or {})})
        return stack

    @property
    def file(self) -> Path:
        """The stack's configuration file."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    def configure(self, config: Mapping[str, object]) -> None:
        """Set keys of the stack file. A key with the value None is removed."""
        content = yaml.safe_load(self.file.read_text()) or {}
        merged = {**content.get("config", {}), **config}
        content["config"] = {key: value for key, value in merged.items() if value is not None}
        self.file.write_text(yaml.safe_dump(content))

    def setting(self, *path: str) -> object:
        """The value at a path of the stack file; None if there is none."""
        value: object = yaml.safe_load(self.file.read_text())["config"]
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def preview(self, *flags: str, **variables: str) -> Result:
        """Preview an update."""
        return self._operation("preview", *flags, **variables)

    def up(self, *flags: str, **variables: str) -> Result:
        """Update the stack."""
        return self._operation("up", "--yes", "--skip-preview", *flags, **variables)

    def refresh(self, *flags: str) -> Result:
        """Refresh the state from the cluster."""
        return self._operation("refresh", *flags)

    def destroy(self, *flags: str) -> Result:
        """Delete the resources, after a preview, in which Pulumi refuses before it deletes anything."""
        return self._operation("destroy", "--yes", *flags)

    def preview_destroy(self, *flags: str) -> Result:
        """Show what would be deleted."""
        return self._operation("destroy", "--preview-only", *flags)

    def pulumi(self, *words: str) -> Result:
        """Run another command of the CLI on the stack."""
        return self._pulumi(*words, "--stack", self.name)

    def export(self, *flags: str) -> str:
        """The stack's state as text."""
        return self.pulumi("stack", "export", *flags).ok().stdout

    def resources(self) -> list[Json]:
        """The resources in the state."""
        found: list[Json] = self.checkpoint().get("resources") or []
        return found

    def pending(self) -> list[Json]:
        """The unfinished operations of an interrupted update."""
        found: list[Json] = self.checkpoint().get("pending_operations") or []
        return found

    def checkpoint(self) -> dict[str, Any]:
        """The state, as the engine has written it last."""
        return checkpoint(self.state_file)

    @cached_property
    def state_file(self) -> Path:
        """The file with the state."""
        project = yaml.safe_load((self.folder / "Pulumi.yaml").read_text())["name"]
        return state_file(Path(urlsplit(self.environment["PULUMI_BACKEND_URL"]).path), project, self.name)

    def urn(self, kind: str, name: str) -> str:
        """The URN of the only resource with this type token and name."""
        (urn,) = (
            str(resource["urn"])
            for resource in self.resources()
            if resource["type"] == kind and str(resource["urn"]).endswith(f"::{name}")
        )
        return urn

    def start_up(self) -> subprocess.Popen[str]:
        """Start an update in the background, in its own process group. The caller must end it."""
        return subprocess.Popen(
            self._words("up", "--yes", "--skip-preview", *self._where()),
            cwd=CHECKOUT,
            env=self.environment | CHECKPOINTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _where(self) -> list[str]:
        return ["--stack", self.name, "--config-file", str(self.file)]

    def _operation(self, *words: str, **variables: str) -> Result:
        log = self.folder / "events.json"
        result = self._pulumi(*words, *self._where(), "--event-log", str(log), **variables)
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        events = tuple(
            event
            for event in map(json.loads, lines)
            # The SDK's debug events, which are not printed, quote secrets.
            if event.get("diagnosticEvent", {}).get("severity") != "debug"
        )
        self.printed += [result.output, *map(json.dumps, events)]
        return Result(result.command, result.exit_code, result.stdout, result.stderr, events)

    def _pulumi(self, *words: str, **variables: str) -> Result:
        return self._run(self._words(*words), CHECKOUT, **variables)

    @staticmethod
    def _words(*words: str) -> list[str]:
        return ["pulumi", *words, "--non-interactive", "--color", "never"]

    def _run(self, words: list[str], folder: Path, **variables: str) -> Result:
        return run(words, {**self.environment, **variables}, folder, self.timeout_seconds)


class StackFactory(Protocol):
    """Creates a stack, based on its file in `stacks/` if there is one, with this configuration."""

    def __call__(self, name: str, config: Mapping[str, object] | None = None) -> Stack: ...


def run(
    words: list[str], environment: Mapping[str, str], folder: Path = CHECKOUT, timeout_seconds: float = TIMEOUT_SECONDS
) -> Result:
    """Run a command to its end."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    return Result(tuple(words), done.returncode, done.stdout, done.stderr)


def operate(
    command: str, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS
) -> Result:
    """Run a command of `python -m operations`."""
    return run([warm(), "-m", "operations", command, *words], environment, timeout_seconds=timeout_seconds)


def deploy(stack: str, folder: Path) -> Result:
    """Run what `make up STACK=stack` runs in the virtual environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "KUBE"))}
    variables = {**COMMAND_LINE, "SANDBOX_DIR": str(folder)}
    return run([warm(), "-m", "sandbox", "deploy", stack], {**environment, **variables})


def warm() -> str:
    """The interpreter that starts without importing everything again."""
    return os.environ[PYTHON_VARIABLE]


def changed_resources(result: Result) -> set[tuple[str, str]]:
    """Kind and name of the changed resources, without components, which only have inputs."""
    return {
        (step.type.rpartition(":")[2], step.name)
        for step in result.steps
        if step.op != "same" and not step.type.startswith(("pulumi:", COMPONENTS))
    }


def drifted(result: Result) -> set[tuple[str, str]]:
    """Kind and name of the resources that a refresh found changed or deleted."""
    events: list[Json] = [dict(event) for event in result.events if "resOutputsEvent" in event]
    found = [event["resOutputsEvent"]["metadata"] for event in events]
    return {
        (step["urn"].split("::")[2].rpartition(":")[2], step["urn"].split("::")[3])
        for step in found
        if step["op"] not in {"same", "refresh"}
    }


def secret_texts(state: object) -> set[str]:
    """Every secret text in a state exported with `--show-secrets`; the data of Secrets also decoded.

    The metadata of Secrets is left out, since names and labels are not secret elsewhere.
    """
    if isinstance(state, dict):
        if SECRET_MARK in state and "plaintext" in state:
            texts = _texts(json.loads(state["plaintext"]))
            return {form for text in texts for form in (text, _decoded(text)) if len(form) >= SHORTEST_SECRET}
        return set[str]().union(*(secret_texts(value) for key, value in state.items() if key != "metadata"))
    return set[str]().union(*map(secret_texts, state)) if isinstance(state, list) else set()


def forms(value: str) -> tuple[str, str]:
    """A value in plain text and in base64, as Kubernetes stores it."""
    return value, base64.b64encode(value.encode()).decode()


def contents(files: Iterable[Path]) -> dict[Path, bytes]:
    """The contents of files."""
    return {file: file.read_bytes() for file in files}


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""
