"""The interpreter of the tests' plugins does what the real one does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandbox.plugins.install import PYTHON_VARIABLE
from tests.waiting import eventually
from tests.warm_python import CHECKOUT


@pytest.fixture
def python() -> str:
    return os.environ[PYTHON_VARIABLE]


def write(folder: Path, source: str) -> str:
    file = folder / "file.py"
    file.write_text(source)
    return str(file)


def test_a_file_gets_streams_arguments_environment_and_directory(python: str, tmp_path: Path) -> None:
    source = "import os, sys; print(sys.stdin.read(), sys.argv[1:], sys.path[0], os.getcwd(), __name__)"
    words = [python, "-P", write(tmp_path, source), "one", "two"]
    environment = {**os.environ, "PYTHONPATH": "/where"}
    done = subprocess.run(words, input="in", capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    assert done.stdout == f"in ['one', 'two'] /where {tmp_path} __main__\n"


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("raise SystemExit(32)", 32, ""),
        ("raise SystemExit('why')", 1, "why"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_the_file_ends(python: str, tmp_path: Path, source: str, code: int, message: str) -> None:
    done = subprocess.run([python, write(tmp_path, source)], capture_output=True, text=True, check=False)
    assert (done.returncode, message in done.stderr) == (code, True)


def test_it_runs_what_is_no_file(python: str) -> None:
    done = subprocess.run(
        [python, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == sys.executable


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 7), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_signal_reaches_the_file(python: str, tmp_path: Path, number: int, code: int) -> None:
    pid_file = tmp_path / "pid"
    source = f"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open({str(pid_file)!r} + ".part", "w").write(str(os.getpid()))
os.rename({str(pid_file)!r} + ".part", {str(pid_file)!r})
time.sleep(60)
"""
    with subprocess.Popen([python, write(tmp_path, source)]) as started:
        eventually(pid_file.exists)
        fork = psutil.Process(int(pid_file.read_text()))
        started.send_signal(number)
        assert started.wait(30) == code
    psutil.wait_procs([fork], timeout=30)
    assert not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE


def test_a_module_is_run_from_the_working_directory(python: str, tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    source = "import os, sys; print(sys.argv[1:], sys.path[0], sys.executable, __name__); raise SystemExit(3)"
    (tmp_path / "components" / "__main__.py").write_text(source)
    words = [python, "-m", "components", "one"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == f"['one'] {tmp_path} {sys.executable} __main__\n"
    assert (done.returncode, done.stderr) == (3, "")

    words = [python, "-m", "operations", "check-nothing"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: python -m operations [OPTIONS] COMMAND [ARGS]...")


def test_a_program_of_another_folder_does_not_get_this_checkout(python: str, tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("HERE = True")
    source = "import components, pulumi; print(components.HERE)"
    done = subprocess.run([python, write(tmp_path, source), str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("was_used", [False, True])
def test_it_ends_with_the_test_run(tmp_path: Path, was_used: bool) -> None:
    file = write(tmp_path, "")
    source = f"""
import pathlib, subprocess, sys, time
from tests.warm_python import warm_python
with warm_python(pathlib.Path({str(tmp_path / "new")!r})) as python:
    if {was_used}:
        subprocess.run([python, {file!r}], check=True)
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", source], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        children = psutil.Process(run.pid).children()
        run.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
