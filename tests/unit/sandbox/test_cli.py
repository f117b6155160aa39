from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.__main__ import app
from sandbox.folder import CHECKOUT, Folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *words],
        cwd=CHECKOUT,
        env={**os.environ, "SANDBOX_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_help_of_each_command_is_one_line_of_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(tmp_path, "--help").stdout.splitlines()
    for command in app.registered_commands:
        assert command.callback
        first = (inspect.getdoc(command.callback) or "").splitlines()[0]
        assert any(first in line for line in lines), first


def test_status_of_no_sandbox_is_stopped(tmp_path: Path) -> None:
    assert run(tmp_path, "status").returncode == 3
    found = run(tmp_path, "status", "--json")
    assert found.returncode == 3
    status = json.loads(found.stdout)
    assert status["state"] == "stopped"
    assert {process["state"] for process in status["processes"]} == {"stopped"}


def test_env_without_a_sandbox_is_an_error_with_a_fix(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "env")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "python -m sandbox up" in result.stderr
    assert "Traceback" not in result.stderr


def test_env_quotes_for_the_shell_and_can_be_repeated(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "it's a folder")
    folder.prepare()
    lines = run(folder.path, "env").stdout
    script = f'{lines}\nprintf "%s\\n" "$KUBECONFIG" "$PULUMI_CONFIG_PASSPHRASE_FILE" "$PATH"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    kubeconfig, passphrase, path = shell.stdout.splitlines()
    assert kubeconfig == str(folder.kubeconfig)
    assert Path(passphrase).read_text() == folder.passphrase.read_text()
    assert path.split(":")[:2] == [str(folder.bin), str(Path(sys.executable).parent)]
    assert folder.passphrase.read_text() not in lines
    again = subprocess.run(
        [sys.executable, "-m", "sandbox", "env"],
        cwd=CHECKOUT,
        env={**os.environ, "SANDBOX_DIR": str(folder.path), "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == lines


def test_reset_of_a_folder_with_other_files_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = run(tmp_path, "reset")
    assert result.returncode == 1
    assert result.stderr.startswith("error: will not wipe")
    assert "Traceback" not in result.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_down_of_no_sandbox_does_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "none", "down").returncode == 0
    assert not (tmp_path / "none").exists()
