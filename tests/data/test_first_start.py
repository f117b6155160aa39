"""The first start's script on a server that behaves as Langfuse's web was seen to."""

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
"""A server like web: it makes what it has to before it answers, and goes on when that failed."""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A folder in the shape of the image; no server is left in the end."""
    program("node", package="nodejs")
    (tmp_path / "web").mkdir()
    (tmp_path / "web/server.js").write_text(SERVER)
    yield tmp_path
    if running(tmp_path):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def running(image: Path) -> bool:
    """Whether there still is a server."""
    pid = image / "pid"
    return pid.exists() and Path("/proc", pid.read_text()).exists()


def start(image: Path, behaviour: str, wait_seconds: int = 30) -> subprocess.CompletedProcess[str]:
    """Run the container's script as the image's entrypoint does: in the image's folder."""
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


def test_it_ends_when_the_server_answers_and_takes_the_server_along(image: Path) -> None:
    done = start(image, "answers 2000")
    assert (done.returncode, (image / "made").exists()) == (0, True), done.stdout
    assert not running(image)


def test_a_server_that_could_not_make_them_is_told_at_once(image: Path) -> None:
    began = time.monotonic()
    done = start(image, "fails")
    assert done.returncode == 1
    assert "first-start: the server answered 500: its log above says what it could not make" in done.stdout
    assert time.monotonic() - began < 25  # it does not wait for what can't become better
    assert not running(image)


def test_a_server_that_ends_is_told_at_once(image: Path) -> None:
    done = start(image, "ends")
    assert done.returncode == 1
    assert "first-start: the server ended" in done.stdout


@pytest.mark.parametrize("behaviour", ["silent", "answers 60000"])
def test_it_waits_no_longer_than_it_may(image: Path, behaviour: str) -> None:
    began = time.monotonic()
    done = start(image, behaviour, wait_seconds=3)
    assert done.returncode == 1
    assert "first-start: the server did not answer within 3 s" in done.stdout
    assert time.monotonic() - began < 30
    assert not running(image)
