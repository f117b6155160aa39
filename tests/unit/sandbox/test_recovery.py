"""`make up` recovers a stack from a killed update, and only then."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox import deploy
from sandbox.errors import SandboxError
from sandbox.folder import Folder


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401  # what `deploy` uses of a Sandbox
    """A sandbox with the stack dev; `ran` are the commands, which end with `exit_code`."""
    found = SimpleNamespace(folder=Folder(tmp_path / "sandbox"), ran=[], exit_code=0)
    found.folder.prepare()
    found.state = found.folder.backend / ".pulumi" / "stacks" / "langfuse" / "dev.json"
    found.lock = found.folder.backend / ".pulumi" / "locks" / "organization" / "langfuse" / "dev" / "a.json"
    for file in (found.state, found.lock):
        file.parent.mkdir(parents=True)
    found.state.write_text(json.dumps({"checkpoint": {"latest": {"resources": []}}}))

    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        found.ran.append(command[1:])
        return subprocess.CompletedProcess(command, found.exit_code)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def recovered(sandbox: Any) -> bool:  # noqa: ANN401  # as above
    deploy._recover("dev", sandbox, {})
    file = sandbox.folder.path / "stacks" / "Pulumi.dev.yaml"
    words = ["-m", "operations", "recover", "--stack", "dev", "--config-file", str(file)]
    assert sandbox.ran in ([], [words])
    return bool(sandbox.ran)


def test_a_stack_without_a_killed_update_is_not_recovered(sandbox: Any) -> None:  # noqa: ANN401
    assert not recovered(sandbox)
    sandbox.state.unlink()
    assert not recovered(sandbox)


def test_a_stack_with_a_lock_is_recovered(sandbox: Any) -> None:  # noqa: ANN401
    sandbox.lock.write_text("{}")
    assert recovered(sandbox)


def test_a_stack_with_a_pending_operation_is_recovered(sandbox: Any) -> None:  # noqa: ANN401
    sandbox.state.write_text(json.dumps({"checkpoint": {"latest": {"pending_operations": [{"type": "creating"}]}}}))
    assert recovered(sandbox)


def test_a_failed_recovery_is_an_error(sandbox: Any) -> None:  # noqa: ANN401
    sandbox.lock.write_text("{}")
    sandbox.exit_code = 2
    with pytest.raises(SandboxError, match="stack dev could not be recovered"):
        recovered(sandbox)
