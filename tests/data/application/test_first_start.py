"""The script of the first start, with a server that behaves as Langfuse's web was observed to."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.rendered import container, environment
from tests.scripts import SCRIPTS
from tests.servers import free_port, program

LIMIT_SECONDS = 60

SERVER = """
const fs = require("fs");
fs.writeFileSync("pid", String(process.pid));
process.on("SIGTERM", () => {});  // it drains
const [behaviour, waits] = process.env.BEHAVIOUR.split(" ");
if (behaviour === "ends") process.exit(3);
const answer = async (request, response) => {
  await new Promise((done) => setTimeout(done, Number(waits ?? 0)));
  fs.writeFileSync("made", "organization, project, owner, keys");
  response.statusCode = behaviour === "fails" ? 500 : 200;
  response.end();
};
if (behaviour !== "silent") require("http").createServer(answer).listen(process.env.PORT, process.env.HOSTNAME);
else setInterval(() => {}, 1000);
"""
"""A server like web: it creates the first organization before it answers, and keeps running if that fails."""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A folder with the layout of the image. No server may be left after the test."""
    program("node", package="nodejs")
    (tmp_path / "web").mkdir()
    (tmp_path / "web/server.js").write_text(SERVER)
    yield tmp_path
    if running(tmp_path):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def running(image: Path) -> bool:
    """Whether a server is still running."""
    pid = image / "pid"
    return pid.exists() and Path("/proc", pid.read_text()).exists()


def start(image: Path, behaviour: str, wait_seconds: int = 30) -> subprocess.CompletedProcess[str]:
    """Run the script in the folder of the image, as its entrypoint does."""
    job = container("Job", "langfuse-first-start", "first-start")
    shell, script = job["args"]
    variables = environment(job, PORT=str(free_port()), WAIT_SECONDS=str(wait_seconds))
    return subprocess.run(
        [shell, str(SCRIPTS[Path(script).name])],
        cwd=image,
        env={**variables, "BEHAVIOUR": behaviour, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_the_script_ends_with_its_server_once_the_server_answers(image: Path) -> None:
    done = start(image, "answers 2000")
    assert (done.returncode, (image / "made").exists()) == (0, True), done.stdout
    assert not running(image)


def test_a_failed_creation_is_reported_at_once(image: Path) -> None:
    began = time.monotonic()
    done = start(image, "fails")
    assert done.returncode == 1
    assert "first-start: the server answered 500: see its log above for what it could not create" in done.stdout
    assert time.monotonic() - began < 25  # it does not wait for something that cannot succeed
    assert not running(image)


def test_a_server_that_exits_is_reported_at_once(image: Path) -> None:
    done = start(image, "ends")
    assert done.returncode == 1
    assert "first-start: the server exited" in done.stdout


@pytest.mark.parametrize("behaviour", ["silent", "answers 60000"])
def test_the_script_waits_no_longer_than_its_limit(image: Path, behaviour: str) -> None:
    began = time.monotonic()
    done = start(image, behaviour, wait_seconds=3)
    assert done.returncode == 1
    assert "first-start: the server did not answer within 3 s" in done.stdout
    assert time.monotonic() - began < 30
    assert not running(image)
