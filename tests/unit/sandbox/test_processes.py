from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox import processes
from sandbox.processes import Service, State, Supervisor
from tests.waiting import eventually

SLEEP = (sys.executable, "-c", "import time; print('started', flush=True); time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, lambda *_: None); print('ready', flush=True); time.sleep(60)",
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.stop(["one", "two"])


def pid_of(supervisor: Supervisor, name: str = "one") -> int:
    pid = supervisor.report(name).pid
    assert pid is not None
    return pid


def test_a_process_runs_detached_with_a_private_log(supervisor: Supervisor) -> None:
    assert supervisor.state("one") is State.STOPPED
    supervisor.start(Service("one", SLEEP, port=1234))
    report = supervisor.report("one")
    assert report.state is State.RUNNING
    assert report.port == 1234
    assert report.memory_bytes
    assert stat.S_IMODE(report.log.stat().st_mode) == 0o600
    assert os.getsid(pid_of(supervisor)) == report.pid
    eventually(lambda: supervisor.last_lines("one") == ("started",))
    process = psutil.Process(report.pid)
    supervisor.stop(["one"])
    assert supervisor.state("one") is State.STOPPED
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_another_supervisor_of_the_same_folder_recognizes_a_process(supervisor: Supervisor, tmp_path: Path) -> None:
    service = Service("one", SLEEP)
    supervisor.start(service)
    assert Supervisor(tmp_path).is_current(service)


def test_a_crash_differs_from_a_stop(supervisor: Supervisor) -> None:
    supervisor.start(Service("one", (sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)")))
    eventually(lambda: supervisor.state("one") is State.CRASHED)
    assert supervisor.report("one").last_lines == ("one", "two")
    supervisor.stop(["one"])
    assert supervisor.state("one") is State.STOPPED


def test_a_reused_pid_is_not_mistaken_for_the_process(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Service("one", SLEEP))
    record = tmp_path / "run" / "one.json"
    content = json.loads(record.read_text())
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        psutil.Process(pid_of(supervisor)).kill()
        record.write_text(json.dumps({**content, "pid": stranger.pid, "created": content["created"] - 60}))
        assert supervisor.state("one") is State.CRASHED
        supervisor.stop(["one"])
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ignores_sigterm_is_killed_after_a_timeout(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "TERMINATE_SECONDS", 0.3)
    supervisor.start(Service("one", STUBBORN))
    eventually(lambda: supervisor.last_lines("one") == ("ready",))
    process = psutil.Process(pid_of(supervisor))
    start = time.monotonic()
    supervisor.stop(["one"])
    assert time.monotonic() - start < 5
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_change_of_arguments_environment_or_inputs_needs_a_new_process(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    file = tmp_path / "input"
    file.write_text("a")
    service = Service("one", SLEEP, {"A": "1"}, (file,))
    supervisor.start(service)
    assert supervisor.is_current(service)
    assert not supervisor.is_current(Service("one", (*SLEEP, "more"), {"A": "1"}, (file,)))
    assert not supervisor.is_current(Service("one", SLEEP, {"A": "2"}, (file,)))
    file.write_text("b")
    assert not supervisor.is_current(service)


def test_a_process_inherits_no_credentials(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@example")
    supervisor.start(Service("one", (sys.executable, "-c", "import os; print(dict(os.environ), flush=True)")))
    eventually(lambda: bool(supervisor.last_lines("one")))
    assert "hunter2" not in supervisor.log("one").read_text()


def test_the_log_of_the_previous_run_is_kept(supervisor: Supervisor) -> None:
    for text in ("first", "second"):
        supervisor.start(Service("one", (sys.executable, "-c", f"print({text!r})")))
        eventually(lambda: supervisor.state("one") is State.CRASHED)
    assert supervisor.last_lines("one") == ("second",)
    assert supervisor.log("one").with_suffix(".previous.log").read_text() == "first\n"


def test_a_process_that_cannot_be_recorded_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processes, "write_private", full)
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(OSError, match="No space"):
        supervisor.start(Service("one", SLEEP))
    eventually(
        lambda: (
            not [
                child
                for child in psutil.Process().children()
                if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE
            ]
        )
    )
