"""Runs Pulumi programs with the real CLI and returns what happened to each resource."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.plugins.install import MARKER, PLUGINS, STANDIN
from sandbox.plugins.random.bcrypt import COST_VARIABLE
from tests.vault import PROVIDER

CHECKOUT: Final = Path(__file__).resolve().parents[2]
PASSPHRASE: Final = "a passphrase for tests"  # noqa: S105  # guards nothing but the tests' own state
TIMEOUT_SECONDS: Final = 180.0
STACK: Final = "test"

SECRET_MARK: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105  # says only that a value is secret
"""The key of special values in the state (sdk/go/common/resource/properties.go)."""

REPLACING: Final = frozenset({"replace", "create-replacement", "delete-replaced"})

COMMAND_LINE: Final = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
    "GOGC": "400",  # the CLI exits before garbage collection would pay
    # The state is written once, at the end: before and after each step takes two thirds of an update's CPU time.
    "PULUMI_EXPERIMENTAL": "true",
    "PULUMI_SKIP_CHECKPOINTS": "true",
    COST_VARIABLE: "4",  # the hashes of a stack's passwords take a second otherwise
}
"""Variables for the CLI in every test."""

CHECKPOINTS: Final = {"PULUMI_SKIP_CHECKPOINTS": "false"}
"""For commands that are interrupted or killed: the state is written before and after each step, as for users."""

QUIET: Final = "import os, signal; signal.signal(signal.SIGINT, lambda *_: os._exit(32))\n"
"""The first lines of every program: an interrupted one ends without a traceback, as the project's program does."""

Json = dict[str, "JsonValue"]
JsonValue = None | bool | int | float | str | list["JsonValue"] | Json


@dataclass(frozen=True)
class Step:
    """The operation on one resource. `diffs` lists the top-level properties that differ."""

    urn: str
    op: str
    diffs: tuple[str, ...]
    detailed: Mapping[str, str]
    inputs: Mapping[str, Any] = field(repr=False)
    """The inputs from the program; empty for deletions."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.split("::")[3]

    @property
    def type(self) -> str:
        """The resource's type token."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]


@dataclass(frozen=True)
class Result:
    """The outcome of one command."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    events: tuple[dict[str, object], ...] = field(repr=False, default=())

    @property
    def output(self) -> str:
        """Everything that is printed."""
        return self.stdout + self.stderr

    @cached_property
    def steps(self) -> list[Step]:
        """The steps in the engine's order."""
        return list(self._steps())

    @property
    def ops(self) -> dict[str, str]:
        """The operations by resource name. The three steps of a replacement are one `replace`."""
        return {step.name: "replace" if step.op in REPLACING else step.op for step in self.steps}

    @property
    def changes(self) -> dict[str, str]:
        """The operations on changed resources, without providers and the stack."""
        return {
            step.name: "replace" if step.op in REPLACING else step.op
            for step in self.steps
            if step.op != "same" and not step.type.startswith("pulumi:")
        }

    def messages(self, *severities: str) -> list[str]:
        """Return the diagnostics of the given severities: info, info#err, warning, error."""
        return [
            str(event["message"]).strip()
            for event in self._of("diagnosticEvent")
            if event["severity"] in severities and str(event["message"]).strip()
        ]

    def ok(self) -> Result:
        """Return this result. If the command failed, fail with its output."""
        assert self.exit_code == 0, f"{' '.join(self.command)} exited with {self.exit_code}\n{self.output}"
        return self

    def _of(self, kind: str) -> Iterator[dict[str, object]]:
        for event in self.events:
            body = event.get(kind)
            if isinstance(body, dict):
                yield body

    def _steps(self) -> Iterator[Step]:
        for event in self._of("resourcePreEvent"):
            metadata = event["metadata"]
            assert isinstance(metadata, dict)
            detailed = metadata.get("detailedDiff") or {}
            yield Step(
                urn=metadata["urn"],
                op=metadata["op"],
                diffs=tuple(metadata.get("diffs") or ()),
                detailed={path: difference["diffKind"] for path, difference in detailed.items()},
                inputs=(metadata.get("new") or {}).get("inputs") or {},
            )


@dataclass(frozen=True)
class Engine:
    """A Pulumi CLI with its plugins. Every program has its own backend."""

    cli: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def has_standin(self, kind: str, name: str) -> bool:
        """Whether a plugin is the stand-in of this checkout."""
        (plugin,) = (plugin for plugin in PLUGINS if (plugin.kind, plugin.name) == (kind, name))
        return (self.home / "plugins" / plugin.folder / MARKER).read_text() == STANDIN

    def environment(self, backend: Path) -> dict[str, str]:
        """The environment of a command, without the developer's own Pulumi settings and cluster."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "KUBE"))}
        passphrase = self.home / "passphrase"
        return {
            **kept,
            "PATH": os.pathsep.join([str(self.cli.parent), kept.get("PATH", "")]),
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
            **COMMAND_LINE,
            **self.variables,
        }


class Program:
    """One Pulumi project with one stack in its own folder."""

    def __init__(self, engine: Engine, folder: Path, *, name: str = "program") -> None:
        self.engine = engine
        self.folder = folder / "project"
        self.name = name
        self.variables: dict[str, str] = {}
        self._backend = folder / "backend"
        self._events = folder / "events.json"
        self.folder.mkdir(parents=True)
        self._backend.mkdir()
        self.options({"toolchain": "pip", "virtualenv": sys.prefix})
        self._initialized = False

    def options(self, options: Mapping[str, object], **project: object) -> None:
        """Write Pulumi.yaml with these runtime options."""
        content = {"name": self.name, "runtime": {"name": "python", "options": dict(options)}, **project}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(content))

    def write(self, source: str, file: str = "__main__.py") -> None:
        """Write the program or one of its modules."""
        (self.folder / file).write_text((QUIET if file == "__main__.py" else "") + textwrap.dedent(source))

    def pulumi(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command of the CLI on the stack."""
        self._initialize()
        return self._run(*arguments, stdin=stdin)

    def share_backend(self, other: Program) -> None:
        """Use the backend of another program, so that stack references can be resolved."""
        self._backend = other._backend

    def preview(self, *flags: str) -> Result:
        """Preview an update."""
        return self._operation("preview", *flags)

    def up(self, *flags: str) -> Result:
        """Update the stack."""
        return self._operation("up", "--yes", "--skip-preview", *flags)

    def refresh(self, *flags: str) -> Result:
        """Refresh the state."""
        return self._operation("refresh", "--yes", "--skip-preview", *flags)

    def destroy(self, *flags: str) -> Result:
        """Delete the resources."""
        return self._operation("destroy", "--yes", "--skip-preview", *flags)

    def config_set(self, key: str, value: str, *, secret: bool = False) -> None:
        """Set a configuration value. A secret is passed through a pipe, as users should do."""
        if secret:
            self.pulumi("config", "set", "--secret", key, stdin=value).ok()
        else:
            name = key if ":" in key else f"{self.name}:{key}"
            self._configure(lambda config: {**config, name: value})

    def configure(self, **values: object) -> None:
        """Replace the configuration of the stack by these plain values."""
        self._configure(lambda _: {f"{self.name}:{key}": value for key, value in values.items()})

    def export(self) -> str:
        """The state of the stack as text, with encrypted secrets."""
        return self.pulumi("stack", "export").ok().stdout

    def state(self) -> dict[str, dict[str, object]]:
        """The state of each resource by name."""
        resources = checkpoint(state_file(self._backend, self.name, STACK)).get("resources") or []
        return {resource["urn"].split("::")[3]: resource for resource in resources}

    def outputs(self) -> dict[str, object]:
        """The outputs of the stack, with secrets in plain text. Without secrets, they need no command."""
        stored = self.state().get(f"{self.name}-{STACK}", {}).get("outputs") or {}
        assert isinstance(stored, dict)
        if SECRET_MARK not in json.dumps(stored):
            return stored
        result = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").ok().stdout)
        assert isinstance(result, dict)
        return result

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in the background. The caller must end it."""
        self._initialize()
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.folder,
            env=self._environment() | CHECKPOINTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _configure(self, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
        """Change the configuration in the stack file."""
        file = self.folder / f"Pulumi.{STACK}.yaml"
        content = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump({**content, "config": change(content.get("config") or {})}))

    def _initialize(self) -> None:
        """Create the stack if it does not exist: the first by the CLI, others as copies, which is ten times faster."""
        if self._initialized:
            return
        self._initialized = True
        file, first = self.folder / f"Pulumi.{STACK}.yaml", self.engine.home / "first-stacks" / self.name
        shares_backend = self._backend.parent != self.folder.parent
        if first.exists() and not shares_backend:
            shutil.copytree(first / "backend", self._backend, dirs_exist_ok=True)
            given = yaml.safe_load(file.read_text()) if file.exists() else {}
            file.write_text(yaml.safe_dump({**yaml.safe_load((first / file.name).read_text()), **given}))
            return
        self._run("stack", "init", STACK, "--secrets-provider", PROVIDER).ok()
        if not shares_backend:
            shutil.copytree(self._backend, first / "backend")
            content = yaml.safe_load(file.read_text())
            kept = {key: content[key] for key in ("secretsprovider", "encryptedkey")}
            (first / file.name).write_text(yaml.safe_dump(kept))

    def _operation(self, *arguments: str) -> Result:
        self._events.unlink(missing_ok=True)
        result = self.pulumi(*arguments, "--event-log", str(self._events))
        lines = self._events.read_text().splitlines() if self._events.exists() else []
        self._events.unlink(missing_ok=True)  # the SDK's debug events quote secrets
        events = (json.loads(line) for line in lines)
        shown = tuple(event for event in events if event.get("diagnosticEvent", {}).get("severity") != "debug")
        return Result(result.command, result.exit_code, result.stdout, result.stderr, shown)

    def _run(self, *arguments: str, stdin: str = "") -> Result:
        done = subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(arguments, done.returncode, done.stdout, done.stderr)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(self.engine.cli), *arguments, "--non-interactive", "--color", "never"]

    def _environment(self) -> dict[str, str]:
        return {**self.engine.environment(self._backend), "PULUMI_STACK": STACK, **self.variables}


def state_file(backend: Path, project: str, stack: str) -> Path:
    """The file with the state of a stack in a local backend."""
    return backend / ".pulumi" / "stacks" / project / f"{stack}.json"


def checkpoint(file: Path) -> dict[str, Any]:
    """The state in a file of a backend. Faster than `pulumi stack export`, with the same content."""
    found: dict[str, Any] = json.loads(file.read_text())["checkpoint"].get("latest") or {}
    return found
