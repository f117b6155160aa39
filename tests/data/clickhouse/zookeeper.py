"""ZooKeeper instead of ClickHouse Keeper: they have the same protocol, and no package contains Keeper."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers import answers, free_port, missing, program, running

LIBRARIES = Path("/usr/share/java")
PACKAGES = "default-jre-headless libzookeeper-java"


@dataclass(frozen=True, kw_only=True)
class ZooKeeper:
    """A running ZooKeeper server."""

    port: int

    def children(self, path: str) -> Sequence[str]:
        """The names below a path."""
        return [name for name in self._answer("ls", path).strip("[]").split(", ") if name]

    def write(self, path: str, value: str) -> None:
        """Set the value of a path."""
        self._answer("set", path, value)

    def _answer(self, *words: str) -> str:
        address = f"127.0.0.1:{self.port}"
        finished = subprocess.run(
            [*_java(), "org.apache.zookeeper.ZooKeeperMain", "-server", address, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return (finished.stdout.strip().splitlines() or [""])[-1]


@contextlib.contextmanager
def zookeeper(folder: Path) -> Iterator[ZooKeeper]:
    """Run a server with its files in a folder."""
    port = free_port()
    configuration = folder / "zoo.cfg"
    lines = {
        "tickTime": 500,
        "dataDir": folder / "data",
        "clientPort": port,
        "clientPortAddress": "127.0.0.1",
        "admin.enableServer": "false",
    }
    configuration.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    command: list[str | Path] = [*_java(), "org.apache.zookeeper.server.ZooKeeperServerMain", configuration]
    with running(command, {"PATH": os.environ["PATH"]}, lambda: answers(port), log=folder / "log"):
        yield ZooKeeper(port=port)


def _java() -> Sequence[str]:
    java = program("java", package=PACKAGES)
    if not (LIBRARIES / "zookeeper.jar").exists():
        missing(f"needs ZooKeeper: apt-get install {PACKAGES}")
    return [str(java), "-Xmx128m", "-cp", f"{LIBRARIES}/*"]
