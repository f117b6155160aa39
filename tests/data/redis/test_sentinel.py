"""Three servers and three Sentinels, started and stopped with the commands and environment of the rendered pods."""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import redis
from redis.sentinel import Sentinel

from components.application.modules import CONFIG, KEEP_REDIS_CONNECTIONS
from components.stores.redis.passwords import RETIRE
from components.stores.redis.valkey import SCRIPTS as FOLDER
from sandbox.images import probe_application
from tests import waiting
from tests.data import rendered
from tests.data.containers import Run, install_client, run
from tests.data.redis.clients import ONCE
from tests.servers import answers, free_port, program
from tests.unit import pods
from tests.unit.configuration import HOST
from tests.unit.program import recorded
from tests.unit.recorder import Recording

QUEUE_LOAD = Path(__file__).parent / "queue-load.cjs"

PROMOTION_SECONDS = 90
"""Five seconds until a server counts as down, then an election; the rest is for a busy machine."""


@pytest.fixture(scope="module")
def stack() -> Recording:
    return recorded("dev", {"host": HOST, "redis": {"mode": "sentinel"}})


@dataclass(kw_only=True)
class Member:
    """One pod: its volume, its two programs and their ports."""

    folder: Path
    port: int
    sentinel_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port


@dataclass(kw_only=True)
class Trio:
    """Three pods on the loopback interface."""

    stack: Recording
    members: list[Member]
    clients: Path
    password: str
    """The current one, with which pods start."""

    def container(self, name: str) -> rendered.Container:
        return pods.container(self.stack.one("StatefulSet", "langfuse-redis"), name)

    def command(self, member: Member, words: Sequence[str]) -> list[str]:
        """A rendered command with local folders and ports instead of those of the pod."""
        places = {"/scripts/": f"{FOLDER}/", "/etc/valkey/": f"{member.folder}/etc/", "/run/": f"{member.folder}/"}
        ports = {"6379": str(member.port), "26379": str(member.sentinel_port)}
        for old, new in places.items():
            words = [word.replace(old, new, 1) if word.startswith(old) else word for word in words]
        return [ports.get(word, word) for word in words]

    def environment(self, member: Member, name: str) -> dict[str, str]:
        """The variables of the rendered container, with local addresses."""
        variables = rendered.environment(
            self.container(name),
            FIRST_PRIMARY=f"127.0.0.1:{self.members[0].port}",
            MEMBER=f"127.0.0.1:{member.port}",
            MEMBERS=" ".join(f"127.0.0.1:{one.port}" for one in self.members),
            OWN_SENTINEL=f"127.0.0.1:{member.sentinel_port}",
            REDISCLI_AUTH=self.password,
            SENTINEL_STATE=str(member.folder / "sentinel.conf"),
            SENTINELS=" ".join(f"127.0.0.1:{one.sentinel_port}" for one in self.members),
            USERS_FILE=str(member.folder / "users.acl"),
        )
        return {**variables, "PATH": f"{self.clients}:/usr/bin:/bin"}

    def start(self, member: Member, *names: str) -> None:
        """Start the programs of a pod."""
        for name in names or ("valkey", "sentinel"):
            with (member.folder / f"{name}.log").open("ab") as log:
                member.processes[name] = subprocess.Popen(
                    self.command(member, self.container(name)["command"]),
                    env=self.environment(member, name),
                    stdout=log,
                    stderr=log,
                )

    def stop(self, member: Member, *names: str, kill: bool = False) -> None:
        """Stop or kill the programs of a pod."""
        processes = [member.processes[name] for name in names or member.processes]
        for process in processes:
            process.kill() if kill else process.terminate()
        for process in processes:
            process.wait(20)

    def delete(self, member: Member) -> None:
        """Stop a pod as the kubelet does: for each container in parallel, the preStop hook and then SIGTERM."""

        def end(name: str) -> None:
            hook = self.container(name).get("lifecycle", {}).get("preStop")
            if hook:
                with (member.folder / f"{name}.log").open("ab") as log:
                    command = self.command(member, hook["exec"]["command"])
                    subprocess.run(command, env=self.environment(member, name), stdout=log, stderr=log, check=False)
            member.processes[name].terminate()

        threads = [threading.Thread(target=end, args=[name]) for name in member.processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in member.processes.values():
            process.wait(20)

    def connect(self, member: Member, *, patience: float = 2) -> "redis.Redis":
        return redis.Redis(port=member.port, password=self.password, socket_timeout=patience, retry=ONCE)

    def primary(self) -> Member:
        """The primary that the Sentinels report to clients."""
        sentinels = [("127.0.0.1", one.sentinel_port) for one in self.members]
        options = {"password": self.password, "socket_timeout": 2, "retry": ONCE}
        asked = Sentinel(sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]  # upstream
        address = asked.discover_master("langfuse")  # type: ignore[no-untyped-call]  # upstream
        return next(member for member in self.members if member.address() == address)

    def complete(self) -> bool:
        """Whether the primary has both replicas, and each Sentinel both other Sentinels."""
        replicas = self.connect(self.primary()).info("replication")
        online = [key for key, one in replicas.items() if key[5:].isdigit() and one["state"] == "online"]
        return len(online) == 2 and all(self._prepared(member) for member in self.members)

    def _prepared(self, member: Member) -> bool:
        """Whether a Sentinel passes its probe and has heard from both replicas, which it queries every ten seconds."""
        connection = redis.Redis(port=member.sentinel_port, password=self.password, decode_responses=True, retry=ONCE)
        replicas = connection.sentinel_slaves("langfuse")
        following = [one for one in replicas if one["master-link-status"] == "ok" and not one["is_sdown"]]
        return len(following) == 2 and self.check(member, "sentinel") == 0

    def check(self, member: Member, name: str) -> int:
        """Run the probe that decides whether a rolling update continues."""
        probe = {"valkey": "check-valkey-member.sh", "sentinel": "check-sentinel.sh"}[name]
        port = {"valkey": member.port, "sentinel": member.sentinel_port}[name]
        container = {"command": ["/bin/sh", probe, str(port)]}
        return run(container, self.environment(member, name), self.clients).code


eventually = partial(
    waiting.eventually, within=PROMOTION_SECONDS, ignoring=(redis.exceptions.RedisError, StopIteration, OSError)
)
"""Waits for a condition; servers may be unavailable meanwhile."""


@pytest.fixture
def trio(stack: Recording, tmp_path: Path) -> Iterator[Trio]:
    clients = tmp_path / "clients"
    install_client(clients, "valkey-server", program("valkey-server", "redis-server", package="redis-server"))
    install_client(clients, "valkey-cli", program("valkey-cli", "redis-cli", package="redis-tools"))
    members = []
    text = stack.one("ConfigMap", "langfuse-redis-config").inputs["data"]["valkey.conf"]
    for number in range(3):
        folder = tmp_path / f"pod-{number}"
        folder.mkdir()
        member = Member(folder=folder, port=free_port(), sentinel_port=free_port())
        for part in ("etc", "valkey"):
            (folder / part).mkdir()
        places = {
            "port 6379": f"port {member.port}",
            "dir /data": f"dir {folder}",
            "bind * -::*": "bind 127.0.0.1",
        }
        own = text
        for old, new in places.items():
            assert old in own
            own = own.replace(old, new)
        (folder / "etc/valkey.conf").write_text(own)
        members.append(member)
    made = Trio(
        stack=stack, members=members, clients=clients, password=rendered.secrets()["langfuse-redis", "password"]
    )
    try:
        for member in members:
            made.start(member)
        eventually(made.complete)
        yield made
    finally:
        for member in members:
            made.stop(member, kill=True)


def write(trio: Trio, key: str) -> None:
    """Write to the current primary until it accepts the write, as the application does."""
    eventually(lambda: bool(trio.connect(trio.primary()).set(key, "kept")))


WRITERS = 4


@dataclass(kw_only=True)
class Writes:
    """The writes of clients that succeeded, and those that failed."""

    kept: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def writing(trio: Trio) -> Iterator[Writes]:
    """Clients that write all the time over one connection each, and query the Sentinels again after a failure."""
    writes, ended = Writes(), threading.Event()

    def write(number: int) -> None:
        connection = None
        for count in itertools.count():
            if ended.wait(0.02):
                break
            try:
                connection = connection or trio.connect(trio.primary(), patience=20)
                connection.set(f"{number}-{count}", "kept")
                writes.kept.append(f"{number}-{count}")
            except (redis.exceptions.RedisError, StopIteration) as error:
                writes.failed.append(repr(error))
                connection = None

    threads = [threading.Thread(target=write, args=[number], daemon=True) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield writes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_lost_primary_is_replaced_and_returns_as_a_replica_with_all_data(trio: Trio) -> None:
    lost = trio.primary()
    assert lost is trio.members[0]
    write(trio, "before")
    assert trio.connect(lost).execute_command("WAIT", 2, 5000) == 2  # type: ignore[no-untyped-call]  # upstream

    trio.stop(lost, kill=True)
    eventually(lambda: trio.primary() is not lost)
    assert trio.connect(trio.primary()).get("before") == b"kept"
    write(trio, "meanwhile")

    trio.start(lost)
    eventually(lambda: trio.check(lost, "valkey") == 0 and trio.complete())
    assert trio.primary() is not lost
    back = trio.connect(lost)
    assert back.info("replication")["role"] == "slave"
    assert (back.get("before"), back.get("meanwhile")) == (b"kept", b"kept")


def test_a_stopping_primary_hands_over_without_losing_a_write(trio: Trio) -> None:
    primary = trio.primary()
    with writing(trio) as writes:
        eventually(lambda: len(writes.kept) > 20)
        trio.delete(primary)
        before = len(writes.kept)
        eventually(lambda: len(writes.kept) > before + 20)
    assert trio.primary() is not primary
    connection = trio.connect(trio.primary())
    assert [key for key in writes.kept if connection.get(key) is None] == []
    # Each writer notices once that its connection was closed.
    assert len(writes.failed) <= WRITERS
    trio.start(primary)
    eventually(trio.complete)
    assert trio.connect(primary).info("replication")["role"] == "slave"


@pytest.mark.long
def test_after_a_handover_writes_wait_until_all_clients_are_back(trio: Trio) -> None:
    """Langfuse connects its queues a second after the loss of a connection, and its cache at once."""
    primary = trio.primary()
    queue, cache = (_connection(trio, primary) for _ in range(2))
    returned: list[float] = []

    def come_back() -> None:
        assert queue.recv(1) == b""
        time.sleep(1)
        _connection(trio, trio.primary())
        returned.append(time.monotonic())

    threads = [threading.Thread(target=come_back), threading.Thread(target=trio.delete, args=[primary])]
    for thread in threads:
        thread.start()
    assert cache.recv(1) == b""
    assert trio.connect(trio.primary(), patience=20).set("after", "kept")
    written = time.monotonic()
    for thread in threads:
        thread.join()
    assert written > returned[0]


def _connection(trio: Trio, member: Member) -> socket.socket:
    """An open connection of a client that has sent a command."""
    made = socket.create_connection(member.address(), timeout=PROMOTION_SECONDS)
    made.sendall(f"AUTH {trio.password}\r\nPING\r\n".encode())
    assert made.makefile("rb").read(len(b"+OK\r\n+PONG\r\n")) == b"+OK\r\n+PONG\r\n"
    return made


@pytest.mark.long
def test_a_handover_asks_a_sentinel_that_acts(trio: Trio) -> None:
    """In TILT mode a Sentinel accepts the command and does nothing."""
    primary, tilted, _ = trio.members
    assert trio.primary() is primary
    sentinel = redis.Redis(port=tilted.sentinel_port, password=trio.password, decode_responses=True)
    sentinel.execute_command("SENTINEL", "DEBUG", "tilt-trigger", "1")  # type: ignore[no-untyped-call]  # upstream
    eventually(lambda: sentinel.info("sentinel")["sentinel_tilt"] == 1)
    with writing(trio) as writes:
        eventually(lambda: len(writes.kept) > 20)
        trio.delete(primary)
    assert "stops as the primary" not in (primary.folder / "valkey.log").read_text()
    assert len(writes.failed) <= WRITERS


@pytest.mark.long
def test_a_pod_has_started_when_the_sentinels_of_all_pods_reach_it(trio: Trio) -> None:
    """Their DNS server may know its former address for a while. An update must not stop the next pod before."""
    member = trio.members[2]
    assert trio.check(member, "sentinel") == 0
    trio.stop(member, "valkey", kill=True)
    eventually(lambda: trio.check(member, "sentinel") != 0)
    trio.start(member, "valkey")
    eventually(lambda: trio.check(member, "sentinel") == 0)


@pytest.mark.long
def test_a_primary_that_crashed_continues_with_its_data(trio: Trio) -> None:
    """It starts before the Sentinels count it as lost."""
    primary = trio.primary()
    write(trio, "before")
    trio.stop(primary, "valkey", kill=True)
    trio.start(primary, "valkey")
    write(trio, "after")
    assert trio.primary() is primary
    assert trio.connect(primary).get("before") == b"kept"


@pytest.mark.long
def test_a_primary_that_has_lost_its_data_does_not_come_back_as_the_primary(trio: Trio) -> None:
    """Its replicas would copy the empty data set."""
    primary = trio.primary()
    write(trio, "before")
    assert trio.connect(primary).execute_command("WAIT", 2, 5000) == 2  # type: ignore[no-untyped-call]  # upstream
    trio.stop(primary, "valkey", kill=True)
    shutil.rmtree(primary.folder / "appendonlydir")

    def started() -> bool:
        if primary.processes["valkey"].poll() is not None:
            trio.start(primary, "valkey")  # as the kubelet does
        return trio.check(primary, "valkey") == 0

    eventually(started)
    assert trio.primary() is not primary
    assert trio.connect(trio.primary()).get("before") == b"kept"


@pytest.mark.long
def test_a_primary_without_replicas_stops_in_time(trio: Trio) -> None:
    primary = trio.primary()
    for member in trio.members:
        if member is not primary:
            trio.stop(member, kill=True)
    trio.delete(primary)
    assert primary.processes["valkey"].returncode == 0
    assert "stops as the primary" in (primary.folder / "valkey.log").read_text()


@pytest.mark.long
def test_a_restarted_pod_waits_for_the_other_sentinels(trio: Trio) -> None:
    """Its own Sentinel remembers it as the primary, and a new pod may not reach the others at first."""
    lost = trio.primary()
    trio.stop(lost, kill=True)
    eventually(lambda: trio.primary() is not lost)
    promoted, *others = trio.primary(), *(member for member in trio.members if member is not lost)
    for member in others:
        trio.stop(member, "sentinel", kill=True)
    trio.start(lost)
    time.sleep(4)  # longer than the timeout of one query
    for member in others:
        trio.start(member, "sentinel")
    eventually(trio.complete)
    assert trio.primary() is promoted
    starts = re.findall("starts; the primary is (.*)", (lost.folder / "valkey.log").read_text())
    assert starts == [f"127.0.0.1:{one.port}" for one in (lost, promoted)]


@pytest.mark.long
def test_sentinels_can_rewrite_the_configuration_of_a_server(trio: Trio) -> None:
    """The server runs with a writable copy of the file in the ConfigMap."""
    lost = trio.primary()
    shipped = {member.port: (member.folder / "etc/valkey.conf").read_text() for member in trio.members}
    trio.stop(lost, kill=True)
    eventually(lambda: trio.primary() is not lost)
    replica = next(member for member in trio.members if member not in (lost, trio.primary()))
    followed = f"replicaof 127.0.0.1 {trio.primary().port}"
    eventually(lambda: followed in (replica.folder / "valkey/valkey.conf").read_text())
    assert {member.port: (member.folder / "etc/valkey.conf").read_text() for member in trio.members} == shipped


@pytest.mark.long
def test_after_a_full_stop_the_last_primary_continues_with_its_data(trio: Trio) -> None:
    trio.stop(trio.primary(), kill=True)
    eventually(lambda: trio.primary() is not trio.members[0])
    last = trio.primary()
    write(trio, "late")
    trio.start(trio.members[0])
    eventually(trio.complete)
    for member in trio.members:
        trio.stop(member)
    for member in trio.members:
        trio.start(member)
    eventually(trio.complete)
    assert trio.primary() is last
    assert trio.connect(last).get("late") == b"kept"


@pytest.mark.long
def test_a_primary_without_replicas_accepts_no_writes(trio: Trio) -> None:
    primary = trio.primary()
    for member in trio.members:
        if member is not primary:
            trio.stop(member, kill=True)
    connection = trio.connect(primary)

    def refused() -> bool:
        try:
            connection.set("job", "lost")
        except redis.exceptions.ResponseError as error:
            return "NOREPLICAS" in str(error)
        return False

    eventually(refused)


def test_connections_without_the_password_are_refused_and_it_is_not_shown(trio: Trio) -> None:
    for member in trio.members:
        for port in (member.port, member.sentinel_port):
            assert answers(port)
            with pytest.raises(redis.exceptions.AuthenticationError):
                redis.Redis(port=port, retry=ONCE).execute_command("INFO")  # type: ignore[no-untyped-call]  # upstream
        for file in ("sentinel.conf", "users.acl", "valkey/valkey.conf"):
            assert (member.folder / file).stat().st_mode & 0o077 == 0
    assert_not_shown(trio, trio.password)


def assert_not_shown(trio: Trio, *passwords: str) -> None:
    """Passwords are in no log and no command line."""
    shown = [trio.clients / "command-lines"]
    for member in trio.members:
        shown += [member.folder / f"{name}.log" for name in member.processes]
        shown += [Path(f"/proc/{process.pid}/cmdline") for process in member.processes.values()]
    texts = [path.read_text() for path in shown if path.exists()]
    assert not [password for password in passwords for text in texts if password in text]


NEW_PASSWORD = "n" * 32


@pytest.mark.long
def test_a_new_password_takes_the_place_of_the_old_one_without_a_lost_job(trio: Trio) -> None:
    """Pods restart one by one with the new one, then web and worker, and then all refuse the old one."""
    old = trio.password
    with queue_load(trio, "old") as former:
        trio.password = NEW_PASSWORD
        for member in reversed(trio.members):
            trio.delete(member)
            trio.start(member)
            eventually(lambda member=member: ready(trio, member))  # type: ignore[misc]  # a default binds the value
            if member is not trio.members[0]:
                assert "does not accept the current password" in retire(trio, seconds=0).output
        eventually(trio.complete)
        with queue_load(trio, "new") as current:
            reports = [stopped(former)]
            assert set(accepting(trio, old)) == set(accepting(trio, NEW_PASSWORD)) == endpoints(trio)
            assert retire(trio).code == 0
            assert accepting(trio, old) == []
            assert set(accepting(trio, NEW_PASSWORD)) == endpoints(trio)
            trio.delete(trio.primary())  # its handover uses the new password
            reports.append(stopped(current))
    assert_not_shown(trio, old, NEW_PASSWORD)
    assert [report["refused"] for report in reports] == [[], []]
    added, processed = ({id_ for report in reports for id_ in report[key]} for key in ("added", "processed"))
    assert min(len(report["added"]) for report in reports) > 20
    assert added <= processed


def ready(trio: Trio, member: Member) -> bool:
    """Whether both containers pass their probes, so that an update continues with the next pod."""
    return trio.check(member, "valkey") == trio.check(member, "sentinel") == 0


def endpoints(trio: Trio) -> set[int]:
    """The ports of all servers and Sentinels."""
    return {port for member in trio.members for port in (member.port, member.sentinel_port)}


def accepting(trio: Trio, password: str) -> list[int]:
    """The ports of the servers and Sentinels that accept a password."""
    accepted = []
    for port in endpoints(trio):
        with contextlib.suppress(redis.exceptions.AuthenticationError):
            redis.Redis(port=port, password=password, retry=ONCE).ping()
            accepted.append(port)
    return accepted


def retire(trio: Trio, *, seconds: int = 10) -> Run:
    """Run the Job after a rotation."""
    return run(
        {"command": ["/bin/sh", RETIRE, str(seconds)]},
        trio.environment(trio.members[0], "valkey"),
        trio.clients,
    )


@contextlib.contextmanager
def queue_load(trio: Trio, generation: str) -> Iterator["subprocess.Popen[str]"]:
    """A web and a worker that use the current password. Starts once they add jobs."""
    environment = {
        "APP": str(probe_application.APP),
        "GENERATION": generation,
        "NODE_PATH": str(probe_application.node_modules()),
        "PATH": os.environ["PATH"],
        "REDIS_AUTH": trio.password,
        "REDIS_SENTINEL_ENABLED": "true",
        "REDIS_SENTINEL_MASTER_NAME": "langfuse",
        "REDIS_SENTINEL_NODES": ",".join(f"127.0.0.1:{one.sentinel_port}" for one in trio.members),
        "REDIS_SENTINEL_PASSWORD": trio.password,
    }
    command = [str(program("node", package="nodejs")), f"--require={CONFIG / KEEP_REDIS_CONNECTIONS}", str(QUEUE_LOAD)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


def stopped(load: "subprocess.Popen[str]") -> dict[str, list[str]]:
    """The report of a load, once it has processed all jobs."""
    load.terminate()
    report: dict[str, list[str]] = json.loads(load.communicate(timeout=60)[0])
    return report
