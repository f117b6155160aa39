"""`smoke`: how it runs the tests, and that no other run of tests finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from operations import smoke
from operations.__main__ import app
from operations.pulumi import CHECKOUT


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (2, 2), (5, 2)])
def test_the_tests_get_the_stack_and_their_outcome_is_that_of_the_command(
    code: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append((command, env))
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(smoke, "missing", lambda: None)
    monkeypatch.setattr("operations.smoke.subprocess.run", run)
    file = tmp_path / "Pulumi.prod.yaml"
    options = ["--config-file", str(file), "--url", "http://127.0.0.1:3000/", "--only", "traces"]
    result = CliRunner().invoke(app, ["smoke", "--stack", "prod", *options])
    assert result.exit_code == expected, result.output
    ((command, variables),) = ran
    assert command[-2:] == ["-k", "traces"]
    assert {name: variables[name] for name in ("SMOKE_STACK", "SMOKE_CONFIG_FILE", "SMOKE_URL")} == {
        "SMOKE_STACK": "prod",
        "SMOKE_CONFIG_FILE": str(file),
        "SMOKE_URL": "http://127.0.0.1:3000",
    }


def test_what_the_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    result = CliRunner().invoke(app, ["smoke", "--stack", "prod"])
    assert (result.exit_code, "kubectl on PATH" in result.stderr) == (2, True)


def test_without_a_stack_none_of_them_is_collected() -> None:
    words = [
        "-m",
        "pytest",
        smoke.FOLDER,
        f"--confcutdir={smoke.FOLDER}",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([sys.executable, *words], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert "no tests collected" in done.stdout, done.stdout + done.stderr
