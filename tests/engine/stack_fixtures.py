"""The program of this checkout as people run it, and a look at what it made that does not go through Pulumi."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.controlplane import Sandbox
from tests.engine.harness import CHECKOUT, Result

TIMEOUT_SECONDS: Final = 300.0
SETTLE_SECONDS: Final = 60.0
NAME_LABEL: Final = "app.kubernetes.io/name"
SHORTEST_SECRET: Final = 16
USER_NAME: Final = "/access-key-id"

SECRET_MARK: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105  # says only that a value is secret
"""Marks a special value in state (sdk/go/common/resource/properties.go)."""

Json = dict[str, Any]  # a Kubernetes object: of any shape


class Stack:
    """One stack of this checkout's program. Its file is a copy: those in `stacks/` are only read."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` holds the stack's file and the Pulumi.yaml that makes it a project for `stack init`."""
        self.name = name
        self.folder = folder
        self.printed: list[str] = []
        """What people could see of every command so far."""
        self.environment = {
            **environment,
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    @classmethod
    def new(cls, name: str, folder: Path, environment: Mapping[str, str], config: Mapping[str, object]) -> Stack:
        """Make a stack that is configured as its file in `stacks/` (if there is one) and as `config` says."""
        folder.mkdir(parents=True)
        project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"]
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": project, "runtime": "python"}))
        stack = cls(name, folder, environment)
        stack._run(["pulumi", "stack", "init", name, "--non-interactive"], folder).ok()
        source = CHECKOUT / "stacks" / f"Pulumi.{name}.yaml"
        stack.configure({**(yaml.safe_load(source.read_text())["config"] if source.exists() else {}), **config})
        return stack

    @property
    def file(self) -> Path:
        """The stack's configuration file."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    def configure(self, config: Mapping[str, object]) -> None:
        """Set configuration keys, as in a stack file; a key with the value None is removed."""
        content = yaml.safe_load(self.file.read_text()) or {}
        merged = {**content.get("config", {}), **config}
        content["config"] = {key: value for key, value in merged.items() if value is not None}
        self.file.write_text(yaml.safe_dump(content))

    def setting(self, *path: str) -> object:
        """The value at a path of the configuration in the stack's file, None if it is not there."""
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
        """Read every resource from the cluster."""
        return self._operation("refresh", *flags)

    def destroy(self, *flags: str) -> Result:
        """Delete the resources."""
        return self._operation("destroy", "--yes", "--skip-preview", *flags)

    def export(self, *flags: str) -> str:
        """The stack's state as text."""
        return self._pulumi("stack", "export", "--stack", self.name, *flags).ok().stdout

    def resources(self) -> list[Json]:
        """The resources in the state."""
        found: list[Json] = json.loads(self.export())["deployment"].get("resources", [])
        return found

    def pending(self) -> list[Json]:
        """Operations that an interrupted update left unfinished."""
        found: list[Json] = json.loads(self.export())["deployment"].get("pending_operations") or []
        return found

    def urn(self, kind: str, name: str) -> str:
        """The URN of the only resource with this type token and name."""
        (urn,) = (
            str(resource["urn"])
            for resource in self.resources()
            if resource["type"] == kind and str(resource["urn"]).endswith(f"::{name}")
        )
        return urn

    def start_up(self) -> subprocess.Popen[str]:
        """Start an update without waiting for it, in a process group of its own; the caller must end it."""
        return subprocess.Popen(
            self._words("up", "--yes", "--skip-preview", *self._where()),
            cwd=CHECKOUT,
            env=self.environment,
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
            # The SDK's debug events quote secrets; no person sees them.
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
        return run(words, {**self.environment, **variables}, folder)


def run(words: list[str], environment: Mapping[str, str], folder: Path = CHECKOUT) -> Result:
    """Run a command to its end."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Result(tuple(words), done.returncode, done.stdout, done.stderr)


def deploy(stack: str, folder: Path) -> Result:
    """Do what `make up STACK=stack` does once the virtual environment is there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "KUBE"))}
    return run([sys.executable, "-c", "import sys;from sandbox.controlplane import Sandbox;from sandbox.deploy import deploy\nfrom sandbox.errors import SandboxError\ntry: deploy(sys.argv[1], Sandbox())\nexcept SandboxError as e: sys.exit(f'error: {e}')", stack], {**environment, "SANDBOX_DIR": str(folder)})  # FIXME


@dataclass(frozen=True)
class View:
    """What `kubectl` sees of a namespace."""

    sandbox: Sandbox
    namespace: str

    def kubectl(self, *words: str, stdin: str = "") -> Result:
        """Run kubectl, whatever its outcome."""
        done = subprocess.run(
            [self.sandbox.folder.bin / "kubectl", *words],
            env=self.sandbox.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(("kubectl", *words), done.returncode, done.stdout, done.stderr)

    def objects(self, *kinds: str) -> list[Json]:
        """Every object of these kinds in the namespace."""
        found: list[Json] = json.loads(
            self.kubectl("get", "--namespace", self.namespace, ",".join(kinds), "--output=json").ok().stdout
        )["items"]
        return found

    def get(self, kind: str, name: str) -> Json:
        """One object of the namespace."""
        found: Json = json.loads(
            self.kubectl("get", "--namespace", self.namespace, kind, name, "--output=json").ok().stdout
        )
        return found

    def patch(self, kind: str, name: str, change: Json, *, manager: str) -> None:
        """Change an object behind Pulumi's back, as the named program would."""
        self.kubectl(
            *("patch", "--namespace", self.namespace, kind, name, "--type=merge"),
            *(f"--patch={json.dumps(change)}", f"--field-manager={manager}"),
        ).ok()

    def identities(self, *kinds: str) -> dict[str, tuple[str, object]]:
        """What changes when somebody replaces an object or changes more of it than its status."""
        return {
            f"{item['kind']}/{item['metadata']['name']}": (
                item["metadata"]["uid"],
                item["spec"] if "status" in item else item["metadata"]["resourceVersion"],
            )
            for item in self.objects(*kinds)
        }

    def pods(self) -> dict[str, frozenset[str]]:
        """The ids of the pods of each running workload, once no pod of a former template is left."""
        wanted = {
            item["metadata"]["labels"][NAME_LABEL]: item["spec"]["replicas"]
            for item in self.objects("deployments", "statefulsets")
        }
        found: dict[str, frozenset[str]] = {}

        def settled() -> bool:
            live: dict[str, set[str]] = {name: set() for name in wanted}
            for pod in self.objects("pods"):
                name = pod["metadata"]["labels"][NAME_LABEL]
                if name in wanted:
                    live[name].add(pod["metadata"]["uid"])
            found.update({name: frozenset(uids) for name, uids in live.items()})
            return {name: len(uids) for name, uids in live.items()} == wanted

        eventually(settled)
        return found

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Name and id of each workload's Job; fails if a workload has two."""
        jobs = [job for job in self.objects("jobs") if "ownerReferences" not in job["metadata"]]
        found = {
            job["metadata"]["labels"][NAME_LABEL]: (job["metadata"]["name"], job["metadata"]["uid"]) for job in jobs
        }
        assert len(found) == len(jobs), [job["metadata"]["name"] for job in jobs]
        return found

    def generated(self) -> dict[str, str]:
        """Every value in the Secrets of the namespace that is not a user name, by Secret and key."""
        return {key: value for key, value in self._secrets() if not key.endswith(USER_NAME)}

    def user_names(self) -> list[str]:
        """The other values of the Secrets: no secrets."""
        return [value for key, value in self._secrets() if key.endswith(USER_NAME)]

    def _secrets(self) -> list[tuple[str, str]]:
        return [
            (f"{secret['metadata']['name']}/{key}", base64.b64decode(value).decode())
            for secret in self.objects("secrets")
            for key, value in secret["data"].items()
        ]


def conditions(item: Json) -> dict[str, str]:
    """The status conditions of an object: type -> status."""
    return {condition["type"]: condition["status"] for condition in item["status"].get("conditions", [])}


def secret_texts(state: object) -> set[str]:
    """Every text that is secret in a state exported with `--show-secrets`, also without the base64 of a Secret."""
    if isinstance(state, dict):
        if SECRET_MARK in state and "plaintext" in state:
            texts = _texts(json.loads(state["plaintext"]))
            return {form for text in texts for form in (text, _decoded(text)) if len(form) >= SHORTEST_SECRET}
        return set[str]().union(*map(secret_texts, state.values()))
    return set[str]().union(*map(secret_texts, state)) if isinstance(state, list) else set()


def forms(value: str) -> tuple[str, str]:
    """A value as it is and as Kubernetes stores it."""
    return value, base64.b64encode(value.encode()).decode()


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


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """The keys whose values differ; every key counts that only one of them has."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def eventually(holds: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> None:
    """Wait until something holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.2)


def contents(files: Iterable[Path]) -> dict[Path, bytes]:
    """The bytes of files."""
    return {file: file.read_bytes() for file in files}
