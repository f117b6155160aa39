"""Copies of the language host run Python files as interpreters of their own would."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.plugins.language_python.spares import suits

ROOT = Path(__file__).parents[4]
HOST = f"""
import os, signal, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from sandbox.plugins.language_python.spares import make_spares

first, second, third = make_spares()
file = sys.argv[1]
"""
"""What a host does at its start. Copies can't be made in the tests' own process, which has threads."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.py"


def host(script: str, file: Path, **environment: str) -> str:
    """Run a host in a process of its own; return what it prints."""
    command = [sys.executable, "-P", "-c", HOST + script, str(file)]
    ran = subprocess.run(
        command, env={**os.environ, **environment}, check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_file_finds_what_an_interpreter_of_its_own_would_give_it(file: Path) -> None:
    file.write_text(
        "import gc, json, os, sys\n"
        "print(json.dumps({\n"
        "    'name': __name__, 'arguments': sys.argv[1:],\n"
        "    'variables': [os.environ.get('GIVEN'), os.environ.get('HOST')],\n"
        "    'folder': os.getcwd(), 'input': sys.stdin.read(), 'group': os.getpgid(0) == os.getpid(),\n"
        "    'of the host': [one for one in (*sys.modules, *sys.path) if 'sandbox' in one], 'gc': gc.get_threshold(),\n"
        "}))\n"
        "sys.stderr.write('told')\n"
        "sys.exit(3)\n"
    )
    script = """
environment = {"GIVEN": "yes", "PATH": os.environ["PATH"]}
first.run([file, "a", "b c"], environment=environment, directory=Path(file).parent, pipe_output=True)
print(first.stdout.read().decode(), end="")
print([first.stderr.read(), first.wait(), first.poll()])
"""
    told, ended = host(script, file, HOST="secret").splitlines()
    assert json.loads(told) == {
        "name": "__main__",
        "arguments": ["a", "b c"],
        "variables": ["yes", None],
        "folder": str(file.parent),
        "input": "",
        "group": True,
        "of the host": [],
        "gc": [700, 10, 10],
    }
    assert ended == "[b'told', 3, 3]"


def test_output_that_is_not_piped_is_the_hosts(file: Path) -> None:
    file.write_text("print('from the file')")
    script = """
second.run([file], environment=os.environ, directory=None, pipe_output=False)
print(second.wait())
"""
    assert host(script, file) == "from the file\n0\n"


def test_a_file_that_is_ended_by_a_signal_or_an_error_says_so(file: Path) -> None:
    file.write_text("import sys, time\nprint('waits', flush=True)\ntime.sleep(60) if sys.argv[1:] else 1 / 0")
    script = """
first.run([file, "wait"], environment=os.environ, directory=None, pipe_output=True)
first.stdout.readline()
try:
    first.wait(0.01)
except subprocess.TimeoutExpired:
    print("runs", first.poll())
os.killpg(first.pid, signal.SIGTERM)
print(first.wait())
second.run([file], environment=os.environ, directory=None, pipe_output=True)
print(second.stderr.read().decode().splitlines()[-1], second.wait())
"""
    assert host(script, file).splitlines() == ["runs None", "-15", "ZeroDivisionError: division by zero 1"]


def test_copies_that_are_not_needed_end_with_the_host(file: Path) -> None:
    command = [sys.executable, "-P", "-c", HOST + "print('ready', flush=True); time.sleep(60)", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == ""  # copies have it open too: this is read when they have ended


@pytest.mark.parametrize(
    ("command", "added", "verdict"),
    [
        ([sys.executable, "runner.py", "--stack", "dev"], {}, True),
        ([sys.executable, "runner.py"], {"VIRTUAL_ENV": "/elsewhere"}, True),
        (["/elsewhere/bin/python", "runner.py"], {}, False),
        ([sys.executable, "-m", "pip"], {}, False),
        ([sys.executable, "/a/plugin"], {}, False),
        ([sys.executable, "runner.py"], {"PYTHONPATH": "/elsewhere"}, False),
        ([sys.executable, "runner.py"], {"GRPC_VERBOSITY": "debug"}, False),
    ],
)
def test_a_copy_stands_for_the_same_interpreter_alone(command: list[str], added: dict[str, str], verdict: bool) -> None:
    assert suits(command, {**os.environ, **added}) is verdict
