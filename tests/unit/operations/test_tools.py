"""Which `pulumi` the commands run, and with whose state and stack file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from operations import tools
from operations.errors import OperationError
from operations.pulumi import STACKS, Pulumi
from sandbox.folder import FOLDER_VARIABLE, Folder

PULUMI = """#!/bin/sh
echo "$PULUMI_BACKEND_URL $*" >> "{log}"
case "$1 $2" in
  "stack ls") echo '[{{"name": "dev"}}]' ;;
esac
"""


def install(folder: Path, log: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pulumi").write_text(PULUMI.format(log=log))
    (folder / "pulumi").chmod(0o755)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def folder(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A sandbox that has a `pulumi`, for a person who has none."""
    folder = Folder(tmp_path / "sandbox")
    folder.prepare()
    install(folder.bin, log)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder.path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    return folder


def test_without_a_pulumi_of_ones_own_the_sandbox_is_used_with_its_copy_of_the_stack_file(
    folder: Folder, log: Path
) -> None:
    Pulumi("dev").events("preview")
    backend, *words = log.read_text().splitlines()[-1].split()
    assert backend == folder.backend_url
    assert words[0] == "preview"
    copy = Path(words[words.index("--config-file") + 1])
    assert folder.path in copy.parents
    assert (
        yaml.safe_load(copy.read_text())["config"] == yaml.safe_load((STACKS / "Pulumi.dev.yaml").read_text())["config"]
    )


def test_what_reads_only_the_state_gets_no_stack_file(folder: Folder, log: Path) -> None:
    Pulumi("dev").events("policy", "analyze")
    assert "--config-file" not in log.read_text().splitlines()[-1]


@pytest.mark.parametrize("options", ["", "?metadata=skip"])
def test_in_the_shell_of_the_sandbox_its_copy_is_used_too(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.setenv("PATH", f"{folder.bin}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder.backend}{options}")
    monkeypatch.setenv("PULUMI_HOME", "/of/the/person")
    found = tools.find()
    assert found.pulumi == str(folder.bin / "pulumi")
    assert found.sandbox == folder.path
    assert found.environment["PULUMI_HOME"] == "/of/the/person"


@pytest.mark.parametrize("backend", [None, "s3://states", "file:///elsewhere"])
def test_a_pulumi_of_ones_own_keeps_its_backend(
    folder: Folder, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str | None
) -> None:
    install(tmp_path / "own", log)
    monkeypatch.setenv("PATH", f"{tmp_path / 'own'}{os.pathsep}/usr/bin:/bin")
    if backend:
        monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    found = tools.find()
    assert found.pulumi == str(tmp_path / "own" / "pulumi")
    assert found.environment.get("PULUMI_BACKEND_URL") == backend
    assert found.stack_file("dev") is None


def test_without_any_pulumi_both_ways_to_get_one_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationError, match=r"install it .* or run `make up`"):
        tools.find()


def test_a_stack_that_has_no_file_is_told(folder: Folder) -> None:
    with pytest.raises(OperationError, match='there is no stack "nonsense"'):
        tools.find().stack_file("nonsense")
