"""`python -m sandbox deploy`: deploys a stack of this checkout to the sandbox with `pulumi up`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from components.settings import documents
from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT, Kind
from sandbox.progress import say

SECRETS_PROVIDER_KEYS = ("encryptedkey", "encryptionsalt", "secretsprovider")
"""Keys of a stack file that belong to one backend (sdk/go/common/workspace/project.go)."""


def deploy(stack: str, sandbox: Sandbox, kind: Kind | None = None) -> None:
    """Run `pulumi up` for a stack of the checkout and print how to inspect the result.

    The stack's file in `stacks/` is only read. The sandbox keeps a copy, with the salt of its own passphrase.

    Raises:
        SandboxError: the stack has no file, or `pulumi up` failed.
    """
    _read(stack)  # report its errors before the slow start
    sandbox.up(kind)
    if sandbox.folder.kind is Kind.REAL:
        from sandbox import images  # noqa: PLC0415  # only a real node needs them
        from sandbox.images import catalog  # noqa: PLC0415

        images.ensure(catalog.DEFAULTS)  # with progress: the node's registry would make them without
    environment = {**os.environ, **sandbox.environment()}
    _recover(stack, sandbox, environment)
    copy = stack_file(stack, sandbox, environment)
    up = [
        str(sandbox.folder.bin / "pulumi"),
        "up",
        "--yes",
        "--skip-preview",
        "--stack",
        stack,
        "--config-file",
        str(copy),
    ]
    if _run_until_it_ends(up, environment):
        raise SandboxError(f"`pulumi up` of stack {stack} failed", "fix the errors above and run the command again")
    _report(stack, environment, simulated=sandbox.folder.kind is Kind.SIMULATED)


def _recover(stack: str, sandbox: Sandbox, environment: Mapping[str, str]) -> None:
    """Recover from a killed update, which leaves its lock or pending operations in the backend."""
    backend, project = sandbox.folder.backend / ".pulumi", _project()
    locked = any((backend / "locks" / "organization" / project / stack).glob("*"))
    file = backend / "stacks" / project / f"{stack}.json"
    state = (json.loads(file.read_text())["checkpoint"].get("latest") or {}) if file.exists() else {}
    if locked or state.get("pending_operations"):
        words = ["recover", "--stack", stack, "--config-file", str(_copy_of(stack, sandbox))]
        done = subprocess.run([sys.executable, "-m", "operations", *words], cwd=CHECKOUT, env=environment, check=False)
        if done.returncode:
            raise SandboxError(f"stack {stack} could not be recovered", "fix the errors above")


def stack_file(stack: str, sandbox: Sandbox, environment: Mapping[str, str]) -> Path:
    """Create a stack in the sandbox's backend if it is missing, and update the sandbox's copy of its file.

    Raises:
        SandboxError: The stack's file in `stacks/` is missing or can't be used.
    """
    config = _read(stack)
    copy = _init(stack, sandbox, environment)
    own = yaml.safe_load(copy.read_text()) if copy.exists() else {}
    kept = {key: value for key, value in (own or {}).items() if key in SECRETS_PROVIDER_KEYS}
    content = yaml.safe_dump({**config, **kept})
    if not copy.exists() or copy.read_text() != content:
        copy.write_text(content)
    return copy


def _read(stack: str) -> Mapping[str, object]:
    """Read the stack's file in `stacks/`, without the keys that belong to a backend."""
    source = CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml"
    if not source.exists():
        stacks = {path.name.split(".")[1] for path in source.parent.glob("Pulumi.*.yaml")} - {"example"}
        known = ", ".join(sorted(stacks))
        raise SandboxError(f'there is no stack "{stack}"', f"choose one of {known}, or write {source}")
    try:
        documents.read_stack(source)
        _, content = documents.read_mapping(source)
    except documents.DocumentError as error:
        raise SandboxError(str(error), "correct the file and run the command again") from None
    if "secure:" in source.read_text():
        raise SandboxError(
            f"{source} has encrypted values, which only their own secrets provider can decrypt",
            "let `credentials` generate the secrets of a stack that runs in the sandbox",
        )
    return {key: value for key, value in content.items() if key not in SECRETS_PROVIDER_KEYS}


def _run_until_it_ends(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a command and let it handle Ctrl-C: Pulumi finishes running operations before it stops."""
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _init(stack: str, sandbox: Sandbox, environment: Mapping[str, str]) -> Path:
    """Create the stack in the sandbox's backend if it is missing; return the sandbox's copy of its file."""
    file = _copy_of(stack, sandbox)
    project = file.parent
    project.mkdir(exist_ok=True)
    (project / "Pulumi.yaml").write_text(yaml.safe_dump({"name": _project(), "runtime": "python"}))
    listed = _pulumi(["stack", "ls", "--json"], project, environment)
    if stack not in {item["name"] for item in json.loads(listed)}:
        _pulumi(["stack", "init", stack], project, environment)
    return file


def _copy_of(stack: str, sandbox: Sandbox) -> Path:
    return sandbox.folder.path / "stacks" / f"Pulumi.{stack}.yaml"


def _project() -> str:
    name: str = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"]
    return name


def _report(stack: str, environment: Mapping[str, str], *, simulated: bool) -> None:
    outputs = json.loads(_pulumi(["stack", "output", "--json", "--stack", stack], CHECKOUT, environment))
    namespace = outputs["namespace"]
    say(f"\nLangfuse {outputs['versions']['langfuse']} is deployed as stack {stack}, namespace {namespace}.")
    say('  eval "$(.venv/bin/python -m sandbox env)"    # lets pulumi and kubectl use it:')
    say(f"  kubectl -n {namespace} get pods,jobs,pvc")
    say(f"  pulumi stack output --stack {stack}")
    if simulated:
        say("Its pods are simulated: the sandbox has a control plane, but no container runtime.")


def _pulumi(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    command = [shutil.which("pulumi", path=environment["PATH"]) or "pulumi", *words, "--non-interactive"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"`pulumi {' '.join(words)}` failed:\n{done.stderr.strip()}", "see the message above")
    return done.stdout
