"""Servers and Keepers of the packed images as processes, with the rendered files. Each has a loopback address."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.stores.clickhouse.keeper import CLIENT_PORT, FIRST_ID, raft_configuration
from components.stores.connections import Endpoint
from sandbox.folder import CHECKOUT
from sandbox.images.clickhouse import PROGRAMS
from tests.servers import running
from tests.unit.sandbox.images.clickhouse.pod import ENVIRONMENT, keeper_file, server_file

ANY = (">0.0.0.0<", ">::<")
"""Where servers listen, as rendered."""


_NUMBERS = itertools.count(1)


def address() -> str:
    """The next loopback address of this process, so that all servers can have the same ports."""
    process = os.getpid()
    return f"127.{100 + process // 250 % 100}.{process % 250}.{next(_NUMBERS)}"


@dataclass(kw_only=True)
class Pod:
    """A server or a Keeper, which can be stopped and started again on its volume."""

    folder: Path
    module: str
    host: str
    port: int
    environment: dict[str, str]
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", f"sandbox.images.clickhouse.programs.{self.module}"]
        arguments = [f"--config-file={self.folder / 'config.xml'}"]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(CHECKOUT)}
        log = self.folder / "log"
        started = running([*command, *arguments], environment, self._listens, log=log)
        self.process = self._stack.enter_context(started)

    def kill(self) -> None:
        """End it without a warning."""
        assert self.process is not None
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._stack.close()

    def lose_volume(self) -> None:
        """Delete its data."""
        shutil.rmtree(self.folder / "data")

    def query(self, statement: str, *, user: str = "langfuse", **options: str) -> str:
        """The output of a statement, or an exception with the exit code and the message of the client."""
        result = self.client("--query", statement, "--user", user, *(f"--{k}={v}" for k, v in options.items()))
        if result.returncode:
            raise ClientFailedError(result.returncode, result.stderr)
        return result.stdout.strip()

    def client(self, *arguments: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        user = arguments[arguments.index("--user") + 1] if "--user" in arguments else "langfuse"
        return subprocess.run(
            [sys.executable, PROGRAMS / "client.py", "--host", self.host, "--user", user, *arguments],
            env={"CLICKHOUSE_PASSWORD": password or f"password of {user}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True


class ClientFailedError(Exception):
    """The client failed."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def installation(
    folder: Path, *, replicas: int, keepers: int, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[Sequence[Pod], Sequence[Pod]]]:
    """Servers and Keepers, all started. `variables` replace some of the servers."""
    keeper_hosts = [address() for _ in range(keepers)]
    hosts = [address() for _ in range(replicas)]
    endpoints = [Endpoint(host=host, port=CLIENT_PORT) for host in keeper_hosts]
    members = raft_configuration(keeper_hosts)
    made: list[Pod] = []
    for number, host in enumerate(keeper_hosts, start=FIRST_ID):
        file = keeper_file(folder / f"keeper-{number}", members, dict.fromkeys(ANY, f">{host}<"))
        environment = {"KEEPER_ID": str(number)}
        made.append(Pod(folder=file.parent, module="keeper", host=host, port=CLIENT_PORT, environment=environment))
    for number, host in enumerate(hosts):
        file = server_file(
            folder / f"server-{number}", hosts=hosts, keepers=endpoints, replaced=dict.fromkeys(ANY, f">{host}<")
        )
        environment = {**ENVIRONMENT, "POD_NAME": host, **(variables or {})}
        made.append(Pod(folder=file.parent, module="server", host=host, port=8123, environment=environment))
    with contextlib.ExitStack() as stack:
        for pod in made:
            stack.callback(pod.stop)
            pod.start()
        yield made[keepers:], made[:keepers]
