"""`clickhouse-keeper --config-file=FILE`: stands in for ClickHouse Keeper.

It has Keeper's ports, its four-letter words, `/ready` and metrics. It answers only while it reaches a majority of the
members on their Raft ports. It has neither Raft nor ZooKeeper's protocol (see `coordination.py`): the member with the
lowest id that it reaches counts as the leader. Members are read again when the file changes, as Keeper does.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sandbox.images.clickhouse.programs.configuration import Address, ConfigurationError, listen_hosts, load
from sandbox.images.clickhouse.programs.interfaces import HttpHandler, LineHandler, config_file, listen

FRESH_SECONDS = 1.0
"""How long it remembers which members it reaches."""

CONNECT_SECONDS = 1.0

FOUR_LETTER_WORDS = ("ruok", "mntr", "srvr", "stat", "conf", "isro")

log = logging.getLogger("keeper")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the configuration says."""

    id: int
    listen_hosts: Sequence[str]
    client_port: int
    control_port: int | None
    metrics_port: int | None
    folder: Path
    log_folder: Path
    snapshot_folder: Path
    words: tuple[str, ...]
    members: Mapping[int, Address]

    @classmethod
    def read(cls, file: Path, environment: Mapping[str, str]) -> Settings:
        """Read the files. Raises `ConfigurationError` if this Keeper is not one of the members."""
        root = load(file, environment)
        keeper = root.find("keeper_server")
        if keeper is None:
            raise ConfigurationError(f"{file}: <keeper_server> is missing")
        members = {
            int(server.findtext("id", "0")): Address(server.findtext("hostname", ""), int(server.findtext("port", "0")))
            for server in keeper.iterfind("raft_configuration/server")
        }
        number = int(keeper.findtext("server_id", "0"))
        if number not in members:
            raise ConfigurationError(
                f"{file}: server_id {number} is not in <raft_configuration>, which has {sorted(members)}"
            )
        folder = Path(root.findtext("path", "/var/lib/clickhouse-keeper/"))
        control, metrics = keeper.findtext("http_control/port"), root.findtext("prometheus/port")
        return cls(
            id=number,
            listen_hosts=listen_hosts(root),
            client_port=int(keeper.findtext("tcp_port", "9181")),
            control_port=int(control) if control else None,
            metrics_port=int(metrics) if metrics else None,
            folder=folder,
            log_folder=Path(keeper.findtext("log_storage_path", str(folder / "log"))),
            snapshot_folder=Path(keeper.findtext("snapshot_storage_path", str(folder / "snapshots"))),
            words=tuple(keeper.findtext("four_letter_word_white_list", ",".join(FOUR_LETTER_WORDS)).split(",")),
            members=members,
        )


class Quorum:
    """Which members this Keeper reaches."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        """`file` is the main file of the configuration."""
        self._file, self._environment = file, environment
        self._settings = Settings.read(file, environment)
        self._lock = threading.Lock()
        self._checked = 0.0
        self._reached: set[int] = set()

    def role(self) -> str:
        """`standalone`, `leader`, `follower`, or nothing without a majority."""
        with self._lock:
            if time.monotonic() - self._checked > FRESH_SECONDS:
                self._check()
            members, reached = self._settings.members, self._reached
        if len(members) == 1:
            return "standalone"
        if len(reached) * 2 <= len(members):
            return ""
        return "leader" if min(reached) == self._settings.id else "follower"

    def _check(self) -> None:
        try:
            self._settings = Settings.read(self._file, self._environment)
        except ConfigurationError as error:  # a file that is being replaced
            log.warning("%s", error)
        own = self._settings.id
        reached = {number for number, address in self._settings.members.items() if number == own or _answers(address)}
        if reached != self._reached:
            log.info("server %d reaches %s of %s", own, sorted(reached), sorted(self._settings.members))
        self._reached, self._checked = reached, time.monotonic()


class Nodes:
    """The tree, in one file of the volume. Each node has a version, and None as value if it was removed."""

    def __init__(self, file: Path) -> None:
        """Read the file, if it exists."""
        self._file = file
        self._lock = threading.Lock()
        self._nodes: dict[str, tuple[int, str | None]] = json.loads(file.read_text()) if file.exists() else {}

    def all(self) -> dict[str, tuple[int, str | None]]:
        """All nodes with their versions and values."""
        with self._lock:
            return dict(self._nodes)

    def set(self, path: str, value: str | None) -> None:
        """Write a node, or None to remove it."""
        with self._lock:
            self._nodes[path] = (time.time_ns(), value)
            partial = self._file.with_suffix(".tmp")
            partial.write_text(json.dumps(self._nodes))
            partial.replace(self._file)


class Client(LineHandler):
    """The client port: four-letter words, and requests of `coordination.py`."""

    quorum: Quorum
    nodes: Nodes
    settings: Settings

    def respond(self, line: bytes) -> bytes:
        """Answer a line, or a word of four letters without a line break."""
        word = line.decode(errors="replace").strip()
        if word in FOUR_LETTER_WORDS:
            return self._word(word).encode() if word in self.settings.words else b""
        try:
            answer = self._request(json.loads(line))
        except (ValueError, KeyError) as error:
            answer = {"error": f"not a request: {error}"}
        return json.dumps(answer).encode() + b"\n"

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self.quorum.role():
            return {"error": "no majority of Keepers"}
        match request["operation"]:
            case "list":
                return {"nodes": self.nodes.all()}
            case "put":
                self.nodes.set(request["path"], request["value"])
                return {}
            case "remove":
                self.nodes.set(request["path"], None)
                return {}
        return {"error": f"unknown operation {request['operation']}"}

    def _word(self, word: str) -> str:
        role = self.quorum.role()
        if word == "ruok":
            return "imok"
        if word == "isro":
            return "rw" if role else "null"
        if word == "conf":
            return f"server_id={self.settings.id}\ntcp_port={self.settings.client_port}\n"
        if not role:
            return "This instance is not currently serving requests"
        count = len(self.nodes.all())
        if word == "mntr":
            return f"zk_server_state\t{role}\nzk_znode_count\t{count}\n"
        return f"ClickHouse Keeper version: stand-in\nMode: {role}\nNode count: {count}\n"


class Control(HttpHandler):
    """`/ready` of http_control."""

    quorum: Quorum

    def handle_request(self) -> None:
        """Whether this Keeper follows or leads a quorum (docs: clickhouse-keeper, HTTP control)."""
        role = self.quorum.role()
        status = HTTPStatus.OK if role else HTTPStatus.SERVICE_UNAVAILABLE
        details = {"role": role or "observer", "hasLeader": bool(role)}
        answer = json.dumps({"status": "ok" if role else "fail", "details": details})
        self.send(status if self.url.path == "/ready" else HTTPStatus.NOT_FOUND, answer.encode())


class Metrics(HttpHandler):
    """Metrics in the format of Prometheus."""

    quorum: Quorum

    def handle_request(self) -> None:
        """One metric: enough for a scrape."""
        leads = int(self.quorum.role() in {"leader", "standalone"})
        self.send(HTTPStatus.OK, f"ClickHouseAsyncMetrics_KeeperIsLeader {leads}\n".encode())


class Member(LineHandler):
    """The Raft port, which only tells other members that this one runs."""

    def respond(self, line: bytes) -> bytes:
        """Answer nothing."""
        del line
        return b""


def serve(file: Path, environment: Mapping[str, str]) -> Settings:
    """Listen on all ports, in threads."""
    settings = Settings.read(file, environment)
    for folder in (settings.folder, settings.log_folder, settings.snapshot_folder):
        folder.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "quorum": Quorum(file, environment),
        "nodes": Nodes(settings.snapshot_folder / "nodes.json"),
        "settings": settings,
    }
    ports: list[tuple[type[LineHandler | HttpHandler], int | None]] = [
        (Client, settings.client_port),
        (Member, settings.members[settings.id].port),
        (Control, settings.control_port),
        (Metrics, settings.metrics_port),
    ]
    for handler, port in ports:
        if port is not None:
            listen(type(handler.__name__, (handler,), shared), settings.listen_hosts, port)
    return settings


def _answers(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # of all threads: only `sigwait` gets it
    try:
        settings = serve(config_file(sys.argv[1:]), os.environ)
    except (ConfigurationError, OSError) as error:
        sys.exit(f"clickhouse-keeper: {error}")
    log.info("server %d is ready for connections on port %d", settings.id, settings.client_port)
    signal.sigwait({signal.SIGTERM})
    os._exit(0)


if __name__ == "__main__":
    main()
