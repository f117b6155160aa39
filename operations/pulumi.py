"""Runs the Pulumi CLI for a stack of this checkout."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from components.settings import documents
from operations import tools
from operations.errors import OperationError

CHECKOUT: Final = Path(__file__).resolve().parent.parent
STACKS: Final = CHECKOUT / "stacks"

SECRET_MARK: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105  # not a secret itself
"""The key of a special value in the state (sdk/go/common/resource/properties.go)."""

Json = Mapping[str, Any]  # of any shape


@dataclass(frozen=True)
class Events:
    """The events of an operation, without debug messages."""

    exit_code: int
    events: tuple[Json, ...] = field(repr=False)
    complaint: str = field(repr=False)
    """What the command printed to stderr."""


@dataclass(frozen=True)
class Pulumi:
    """A stack and the file that configures it."""

    stack: str
    config_file: Path | None = None
    """Used instead of `stacks/Pulumi.<stack>.yaml`."""

    def events(self, *words: str) -> Events:
        """Run an operation and return its events. They quote values, so no file ever holds them."""
        configured = () if words[0] == "policy" else self._configured()  # `policy analyze` reads only the state
        done = self._run(*words, "--json", *configured)
        return Events(done.returncode, tuple(_events(done.stdout)), done.stderr.strip())

    def run(self, *words: str, folder: Path = CHECKOUT, stdin: str = "") -> str:
        """Run a command and return what it prints.

        Raises:
            OperationError: The command failed. The message has its error.
        """
        done = self._run(*words, folder=folder, stdin=stdin)
        if done.returncode:
            raise OperationError(f"`pulumi {' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def change(self, *words: str) -> None:
        """Run an update and show its progress.

        Raises:
            OperationError: The update failed.
        """
        found = tools.find()
        command = [*_command(found, *words), "--stack", self.stack, "--yes", "--skip-preview", *self._configured()]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=found.environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise OperationError(f"`pulumi {words[0]}` of stack {self.stack} failed; see its messages above")

    def outputs(self) -> Json:
        """The outputs of the stack. Secret ones are hidden."""
        found: Json = json.loads(self.run("stack", "output", "--json"))
        return found

    def objects(self) -> list[Json]:
        """The inputs of the Kubernetes objects in the state. Secret values are hidden."""
        state = (json.loads(self.run("stack", "export")).get("deployment") or {}).get("resources") or []
        return [
            one["inputs"]
            for one in state
            if one["type"].startswith("kubernetes:") and {"kind", "metadata"} <= one.get("inputs", {}).keys()
        ]

    def set_config(self, key: str, value: Json) -> None:
        """Write a key of the stack file with everything below it, at once. Comments in the file stay.

        Raises:
            OperationError: The CLI uses a copy of the stack file, which the next command would replace.
        """
        if self.config_file is None and tools.find().stack_file(self.stack):
            raise OperationError(
                "the sandbox uses a copy of the stack file; pass --config-file with a file of your own"
            )
        content = {key: {"value": json.dumps(value), "objectValue": value}}
        self.run("config", "set-all", "--json", json.dumps(content), *self._configured())

    def config(self, key: str) -> Json:
        """A key of the stack file, with everything below it; empty without it."""
        found = json.loads(self.run("config", "--json", *self._configured()))
        return found.get(key, {}).get("objectValue") or {}

    def decrypt(self) -> None:
        """Decrypt the configuration, and forget it.

        Raises:
            OperationError: It can't be decrypted. The message has the reason.
        """
        self.run("config", "--show-secrets", "--json", *self._configured())

    def settings(self) -> Json:
        """The configuration in the stack file, by key."""
        file = self.config_file or STACKS / f"Pulumi.{self.stack}.yaml"
        if not file.exists():
            raise OperationError(f"{file} does not exist; name a stack that has a stack file, or pass --config-file")
        return documents.read_stack(file)

    def secrets(self) -> frozenset[str]:
        """Every secret text in the state or configuration of the stack. It never leaves this process.

        State or configuration that can't be read counts as empty: the engine could not have quoted it either.
        """
        texts: set[str] = set()
        for words, configured in (
            (("stack", "export", "--show-secrets"), False),
            (("config", "--show-secrets", "--json"), True),
        ):
            done = self._run(*words, *(self._configured() if configured else ()))
            if done.returncode == 0:
                texts |= set(_secret(json.loads(done.stdout)))
        return frozenset(texts)

    @property
    def folder(self) -> Path:
        """The folder of the stack file."""
        return self.config_file.parent if self.config_file else STACKS

    def tags(self) -> Mapping[str, str]:
        """The tags of the stack."""
        found: Mapping[str, str] = json.loads(self.run("stack", "tag", "ls", "--json"))
        return found

    def _configured(self) -> tuple[str, ...]:
        file = self.config_file or tools.find().stack_file(self.stack)
        return ("--config-file", str(file)) if file else ()

    def _run(self, *words: str, folder: Path = CHECKOUT, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return _pulumi(*words, "--stack", self.stack, folder=folder, stdin=stdin)


def listed() -> list[str]:
    """The names of the stacks of this project in the backend."""
    done = _pulumi("stack", "ls", "--json")
    if done.returncode:
        raise OperationError(f"listing the stacks failed: {done.stderr.strip()}")
    return [stack["name"] for stack in json.loads(done.stdout)]


def backend() -> str:
    """The URL of the backend that stores the state."""
    done = _pulumi("whoami", "--json")
    if done.returncode:
        raise OperationError(f"reading the backend's URL failed: {done.stderr.strip()}")
    return str(json.loads(done.stdout)["url"])


def version() -> str:
    """The version of the CLI."""
    return _pulumi("version").stdout.strip()


def _pulumi(*words: str, folder: Path = CHECKOUT, stdin: str = "") -> subprocess.CompletedProcess[str]:
    found = tools.find()
    return subprocess.run(
        _command(found, *words),
        cwd=folder,
        env=found.environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def _command(found: tools.Tools, *words: str) -> list[str]:
    return [found.pulumi, *words, "--non-interactive", "--color", "never"]


def _events(text: str) -> Iterator[Json]:
    for line in text.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if event.get("diagnosticEvent", {}).get("severity") != "debug":  # the SDK quotes secrets in them
                yield event


def _secret(value: object) -> Iterator[str]:
    """The secret texts in an exported state or a printed configuration."""
    if isinstance(value, list):
        for item in value:
            yield from _secret(item)
    elif isinstance(value, dict) and SECRET_MARK in value and "plaintext" in value:
        yield from _texts(json.loads(value["plaintext"]))
    elif isinstance(value, dict) and value.get("secret") is True:
        yield from _texts(value.get("objectValue", value.get("value")))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secret(item)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
