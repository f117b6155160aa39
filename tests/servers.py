"""Starts real servers for tests on free ports of the loopback interface, and stops them afterwards."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from sandbox import toolchain
from tests.waiting import eventually

START_SECONDS = 30

NO_SYSTEM_CA = {"SSL_CERT_DIR": "/nowhere", "SSL_CERT_FILE": "/nowhere"}
"""Variables for programs in Go: loading the CA certificates of the system takes half of the time of a short run."""


def free_port() -> int:
    """A free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def program(name: str, *others: str, package: str) -> Path:
    """The path of an installed program; skips the test with the package to install if there is none."""
    candidates = [shutil.which(item) for item in (name, *others)]
    folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = [Path(item) for item in candidates if item] + folders
    if not found:
        missing(f"needs {name}: apt-get install {package}")
    return found[0]


def tool(name: str) -> Path:
    """The path of a tool of the project's toolchain."""
    found = toolchain.installed(toolchain.TOOLS[name])
    if found is None:
        pytest.fail(f"needs {name}: make tools", pytrace=False)
    return found


def missing(reason: str) -> NoReturn:
    """Skip a test whose requirement only an administrator can install; in a pipeline, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def unprivileged() -> str | None:
    """The user that Postgres runs as if the tests run as root, which it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    ready: Callable[[], bool],
    *,
    log: Path,
    user: str | int | None = None,
    folder: Path | None = None,
    within: float = START_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, in a folder if one is given, until the end of the block. The block starts when it is ready."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(word) for word in command],
            env={**NO_SYSTEM_CA, **environment},
            stdout=output,
            stderr=output,
            user=user,
            cwd=folder,
        )

    def started() -> bool:
        assert server.poll() is None, f"{command[0]} exited with {server.returncode}:\n{log.read_text()[-2000:]}"
        return ready()

    try:
        eventually(started, f"{command[0]} did not start; see {log}", within=within)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers(port: int) -> bool:
    """Whether a server accepts connections on a port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
