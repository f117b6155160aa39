"""An interrupt ends the program and the policy packs without output, even while they import modules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCKS = "import sys, time; print('imported', flush=True); time.sleep(60)"
SHOWN = 32  # the exit code after which the language host adds no error of its own


@pytest.mark.parametrize(
    ("program", "imports", "exit_code"),
    [
        (".", "pulumi", SHOWN),
    ],
)
def test_an_interrupt_during_an_import_is_quiet(tmp_path: Path, program: str, imports: str, exit_code: int) -> None:
    (tmp_path / f"{imports}.py").write_text(BLOCKS)
    with subprocess.Popen(
        [sys.executable, str(CHECKOUT / program)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "imported\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == exit_code
