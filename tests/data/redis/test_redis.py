"""The rendered configuration and the scripts with a real Valkey or Redis server."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from components.application.modules import CONFIG, KEEP_REDIS_CONNECTIONS
from components.stores.redis.passwords import RETIRE
from sandbox.images import probe_application
from tests.data.containers import Run, install_client, run
from tests.data.redis.clients import ONCE
from tests.data.rendered import COPIES, config_map, container, environment, secrets
from tests.scripts import SCRIPTS
from tests.servers import answers, free_port, program, running
from tests.unit import pods
from tests.unit.configuration import HOST
from tests.unit.program import recorded

QUEUE_CONNECTION = Path(__file__).parent / "queue-connection.cjs"


def password() -> str:
    return secrets()["langfuse-redis", "password"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that the script of the container started."""

    port: int
    clients: Path
    process: subprocess.Popen[bytes]
    password: str

    def connect(self) -> "redis.Redis":
        return redis.Redis(port=self.port, password=self.password, retry=ONCE)

    def accepts(self, secret: str) -> bool:
        """Whether clients can connect with a password."""
        try:
            redis.Redis(port=self.port, password=secret, retry=ONCE).ping()
        except redis.exceptions.AuthenticationError:
            return False
        return True


@contextlib.contextmanager
def started(tmp_path: Path, secret: str) -> Iterator[Server]:
    """Run the command of the container, with the folders of the pod replaced by folders of the test."""
    port = free_port()
    clients = tmp_path / "clients"
    install_client(clients, "valkey-server", program("valkey-server", "redis-server", package="redis-server"))
    install_client(clients, "valkey-cli", program("valkey-cli", "redis-cli", package="redis-tools"))
    places = {
        "port 6379": f"port {port}",
        "dir /data": f"dir {tmp_path}",
        "bind * -::*": "bind 127.0.0.1",
    }
    text = config_map("langfuse-redis-config")["valkey.conf"]
    for old, new in places.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "valkey.conf").write_text(text)
    users = str(tmp_path / "users.acl")
    valkey = container("StatefulSet", "langfuse-redis", "valkey")
    variables = environment(valkey, REDISCLI_AUTH=secret, USERS_FILE=users)
    command: list[str | Path] = ["/bin/sh", SCRIPTS["start-valkey.sh"], tmp_path / "valkey.conf"]
    with running(
        command, {**variables, "PATH": f"{clients}:/usr/bin:/bin"}, lambda: answers(port), log=tmp_path / "log"
    ) as process:
        yield Server(port=port, clients=clients, process=process, password=secret)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started(tmp_path, password()) as made:
        yield made


def check(server: Server) -> Run:
    """Run the startup probe."""
    valkey = container("StatefulSet", "langfuse-redis", "valkey")
    probe = {"command": [*valkey["startupProbe"]["exec"]["command"], str(server.port)]}
    return run(probe, environment(valkey), server.clients)


def test_keys_are_never_evicted_and_every_write_is_persisted(server: Server) -> None:
    settings = server.connect().config_get("*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["maxmemory"] == str((512 - 64) * 1024**2 // 2)
    assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "everysec", "")


def test_writes_go_to_the_append_only_file(server: Server, tmp_path: Path) -> None:
    server.connect().set("job", "kept-on-disk")
    assert any(b"kept-on-disk" in file.read_bytes() for file in tmp_path.rglob("*.aof"))


def test_a_write_over_the_limit_is_refused_rather_than_evicting(server: Server) -> None:
    connection = server.connect()
    connection.set("job", "kept")
    connection.config_set("maxmemory", "1mb")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        connection.set("another", "x" * 2**21)
    assert connection.get("job") == b"kept"


def test_connections_without_the_password_are_refused(server: Server) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=server.port, retry=ONCE).get("job")


def test_the_startup_probe_accepts_the_shipped_configuration(server: Server) -> None:
    result = check(server)
    assert (result.code, result.output) == (0, "")
    assert result.leaks([password()]) == []


@pytest.mark.parametrize(("name", "value"), [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")])
def test_the_startup_probe_refuses_a_server_that_could_lose_jobs(server: Server, name: str, value: str) -> None:
    server.connect().config_set(name, value)
    result = check(server)
    assert result.code == 1
    assert f'{name} is "{value}"' in result.output


def test_the_password_is_neither_in_the_log_nor_in_the_process_list(server: Server, tmp_path: Path) -> None:
    command_line = Path(f"/proc/{server.process.pid}/cmdline")
    if command_line.exists():
        assert password() not in command_line.read_text()
    assert password() not in (server.clients / "command-lines").read_text()
    assert password() not in (tmp_path / "log").read_text()
    users = tmp_path / "users.acl"
    assert users.stat().st_mode & 0o077 == 0
    assert password() not in users.read_text()


def test_a_former_password_is_accepted_until_it_is_retired(tmp_path: Path) -> None:
    """Pods of web and worker that still have it connect again when the server has restarted."""
    former, current = password(), "n" * 32
    with started(tmp_path, former) as server:
        server.connect().set("job", "kept")
        assert not server.accepts(current)
    with started(tmp_path, current) as server:
        assert (server.accepts(former), server.accepts(current)) == (True, True)
        assert retire(server, "unknown").code == 1
        assert server.accepts(former)
        retired = retire(server, current)
        assert (retired.code, retired.leaks([current])) == (0, [])
        assert (server.accepts(former), server.accepts(current)) == (False, True)
    with started(tmp_path, current) as server:
        assert (server.accepts(former), server.accepts(current)) == (False, True)
        assert server.connect().get("job") == b"kept"


def retire(server: Server, secret: str) -> Run:
    """Run the script of the Job after a rotation."""
    variables = {"REDISCLI_AUTH": secret, "MEMBERS": f"127.0.0.1:{server.port}"}
    return run({"command": ["/bin/sh", RETIRE, "0"]}, variables, server.clients)


def test_a_failover_closes_a_queue_only_once_and_a_server_that_hangs_is_noticed(server: Server) -> None:
    """Without the module, ioredis closes the new connection too, when the time limit of the old one ends."""
    limit = 2000  # milliseconds; more than the second after which Langfuse connects a queue again
    environment = {
        "APP": str(probe_application.APP),
        "NODE_PATH": str(probe_application.node_modules()),
        "PATH": os.environ["PATH"],
        "PORT": str(server.port),
        "REDIS_AUTH": password(),
        "SERVER": str(server.process.pid),
        "TIMEOUT": str(limit),
    }
    module = CONFIG / KEEP_REDIS_CONNECTIONS
    command = [str(program("node", package="nodejs")), f"--require={module}", str(QUEUE_CONNECTION)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    report = json.loads(printed)
    assert (report["closed"], report["refused"]) == (1, 0)
    assert report["added"]
    assert report["noticed"] >= limit - 100


def test_the_keys_of_the_installation_are_deleted_and_those_of_others_stay(server: Server, tmp_path: Path) -> None:
    recording = recorded("dev", {"host": HOST, "backups": {"importFrom": COPIES}})
    empty = pods.container(recording.one("CronJob", "langfuse-empty-redis"))
    prefix = pods.variables(empty)["REDIS_KEY_PREFIX"]
    client = server.connect()
    client.mset({f"{prefix}:{number}": "x" for number in range(2500)})
    client.mset({f"{{{prefix}:queue}}:id": "x", "langfuse-dev-2:api-key": "x", "other": "x"})
    given = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(server.port),
        "HOME": str(tmp_path),
        "WORK_DIR": str(tmp_path),
    }
    node = {"NODE_PATH": str(probe_application.node_modules())}
    install_client(tmp_path / "no-clients", "true", Path("/bin/true"))
    done = run(empty, {**environment(empty, **given), **node}, tmp_path / "no-clients")
    assert done.code == 0, done.output
    assert json.loads(done.output.splitlines()[-1]) == {"deleted": 2501}
    assert sorted(client.keys()) == [b"langfuse-dev-2:api-key", b"other"]
    wrong = run(
        empty, {**environment(empty, **given), **node, "REDIS_AUTH": "another-password"}, tmp_path / "no-clients"
    )
    assert wrong.code == 1
    assert wrong.output.startswith("empty-redis: ")
    assert wrong.leaks(["another-password"]) == []
