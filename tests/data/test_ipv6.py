"""The rendered servers in the network of a pod that has an IPv6 address only, besides its loopback interface.

Each test runs the rendered configuration and command as they are: there are no other addresses to listen at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.stores.clickhouse.keeper import CLIENT_PORT, RAFT_PORT, raft_configuration
from components.stores.connections import Endpoint
from components.stores.object_store.minio import PORT as MINIO_PORT
from components.stores.object_store.minio import server_command
from components.stores.redis.sentinel import SENTINEL_PORT
from components.stores.redis.valkey import PORT as VALKEY_PORT
from components.stores.redis.valkey import SCRIPTS as VALKEY_SCRIPTS
from sandbox.folder import CHECKOUT
from tests.data.containers import install_client
from tests.data.object_store.minio import server_variables
from tests.data.postgres.server import server_folder
from tests.data.rendered import config_map, secrets
from tests.servers import program, running, tool
from tests.unit.sandbox.images.clickhouse.pod import ENVIRONMENT, keeper_file, server_file
from tests.waiting import eventually

ADDRESS = "fd12:3456::5"
NAME = "langfuse-redis-0.langfuse-redis-headless"
"""A name of this address."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network of its own")


@dataclass(frozen=True)
class Network:
    """A network namespace. A process in it has the addresses of the pod."""

    pid: int

    def command(self, *words: object) -> list[str]:
        """A command in the namespace."""
        spaces = (f"--{name}=/proc/{self.pid}/ns/{file}" for name, file in (("net", "net"), ("mount", "mnt")))
        return ["nsenter", *spaces, "--", *map(str, words)]

    def run(self, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace."""
        return subprocess.run(
            self.command(*words),
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def answer(self, url: str) -> str:
        """What a server answers; nothing if there is none."""
        script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
        return self.run(sys.executable, "-c", script, url).stdout.strip()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{ADDRESS} {NAME}\n")
    up = f"ip link set lo up && ip -6 address add {ADDRESS}/128 dev lo && mount --bind {hosts} /etc/hosts"
    words = ["unshare", "--net", "--mount", "sh", "-c", f"{up} && echo up && exec sleep 600"]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    try:
        if holder.stdout.readline() != "up\n":
            pytest.skip("needs a network namespace with IPv6")
        yield Network(holder.pid)
    finally:
        holder.kill()
        holder.wait()


def replaced(text: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    folder = tmp_path / "clients"
    install_client(folder, "valkey-server", program("valkey-server", "redis-server", package="redis-server"))
    install_client(folder, "valkey-cli", program("valkey-cli", "redis-cli", package="redis-tools"))
    return folder


def valkey(network: Network, clients: Path, *words: str | int) -> str:
    password = secrets()["langfuse-redis", "password"]
    return network.run(clients / "valkey-cli", *map(str, words), REDISCLI_AUTH=password).stdout.strip()


def test_valkey_listens_at_an_ipv6_address(network: Network, clients: Path, tmp_path: Path) -> None:
    places = {"dir /data": f"dir {tmp_path}"}
    (tmp_path / "valkey.conf").write_text(replaced(config_map("langfuse-redis-config")["valkey.conf"], places))
    variables = {
        "REDISCLI_AUTH": secrets()["langfuse-redis", "password"],
        "USERS_FILE": str(tmp_path / "users.acl"),
        "PATH": f"{clients}:/usr/bin:/bin",
    }
    command = ["/bin/sh", VALKEY_SCRIPTS / "start-valkey.sh", tmp_path / "valkey.conf"]

    def ready() -> bool:
        return valkey(network, clients, "-h", ADDRESS, "PING") == "PONG"

    with running(network.command(*command), variables, ready, log=tmp_path / "log"):
        assert valkey(network, clients, "-h", "127.0.0.1", "PING") == "PONG"  # as probes do


def test_sentinels_and_replicas_find_each_other_by_names_with_ipv6_addresses(
    network: Network, clients: Path, tmp_path: Path
) -> None:
    ports = (VALKEY_PORT, VALKEY_PORT + 1)
    variables = {
        "PATH": f"{clients}:/usr/bin:/bin",
        "REDISCLI_AUTH": secrets()["langfuse-redis", "password"],
        "FIRST_PRIMARY": f"{NAME}:{ports[0]}",
        "MEMBERS": f"{NAME}:{ports[0]} {NAME}:{ports[1]}",
        "MASTER_NAME": "langfuse",
        "OWN_SENTINEL": f"{NAME}:{SENTINEL_PORT}",
        "SENTINELS": f"{NAME}:{SENTINEL_PORT}",
        "QUORUM": "1",
        "DOWN_AFTER_MILLISECONDS": "5000",
    }
    processes = []
    try:
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            places = {"dir /data": f"dir {folder}", "port 6379": f"port {port}", "appendonly yes": "appendonly no"}
            (folder / "valkey.conf").write_text(replaced(config_map("langfuse-redis-config")["valkey.conf"], places))
            words = [
                "/bin/sh",
                VALKEY_SCRIPTS / "start-valkey-member.sh",
                folder / "valkey.conf",
                folder / "running.conf",
            ]
            own = {"MEMBER": f"{NAME}:{port}", "USERS_FILE": str(folder / "users.acl")}
            processes.append(subprocess.Popen(network.command(*words, "1"), env={**variables, **own}))
        words = ["/bin/sh", VALKEY_SCRIPTS / "start-sentinel.sh", str(SENTINEL_PORT), "1"]
        state = {
            "SENTINEL_STATE": str(tmp_path / "sentinel.conf"),
            "USERS_FILE": str(tmp_path / "users.acl"),
            "MEMBER": "",
        }
        processes.append(subprocess.Popen(network.command(*words), env={**variables, **state}))

        def known() -> bool:
            replicas = valkey(network, clients, "-h", ADDRESS, "-p", SENTINEL_PORT, "SENTINEL", "REPLICAS", "langfuse")
            return f"{NAME}\nport\n{ports[1]}" in replicas and "master-link-status\nok" in replicas

        eventually(known, "the Sentinel knows no replica", within=60)
        master = valkey(
            network, clients, "-h", ADDRESS, "-p", SENTINEL_PORT, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "langfuse"
        )
        assert master.split() == [NAME, str(ports[0])]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def test_postgres_listens_at_an_ipv6_address(network: Network, tmp_path: Path) -> None:
    made = server_folder(tmp_path)
    made.initialized()
    config = config_map("langfuse-postgres-config")
    files = {"pg_hba.conf": config["pg_hba.conf"].replace("peer", "trust")}
    places = {"/etc/postgresql/": f"{tmp_path}/"}
    files["postgresql.conf"] = replaced(config["postgresql.conf"], places)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    socket = ["-c", f"unix_socket_directories={made.sockets}"]
    server = [
        made.binaries / "postgres",
        "-D",
        made.data,
        "-c",
        f"config_file={tmp_path}/postgresql.conf",
        *socket,
    ]
    user = ["setpriv", "--reuid", made.user or "postgres", "--clear-groups"]
    ask = [
        made.binaries / "psql",
        "-h",
        ADDRESS,
        "-U",
        "langfuse",
        "-d",
        "langfuse",
        "-Atc",
        "SELECT inet_client_addr()",
    ]
    password = {"PGPASSWORD": secrets()["langfuse-postgres", "password"], "PGCONNECT_TIMEOUT": "5"}

    def ready() -> bool:
        return network.run(*ask, **password).stdout.strip() == ADDRESS

    with running(network.command(*user, *server), os.environ, ready, log=tmp_path / "log"):
        pass


def test_minio_listens_at_an_ipv6_address_and_its_url_has_brackets(network: Network, tmp_path: Path) -> None:
    (_, *words) = server_command(None, 1)  # type: ignore[arg-type]  # one server has no other addresses
    words = [str(tmp_path / "data") if word == "/data" else word for word in words]
    url = Endpoint(host=ADDRESS, port=MINIO_PORT).http_url
    assert url == f"http://[{ADDRESS}]:9000"

    def ready() -> bool:
        return (
            network.run(tool("mc"), "--config-dir", tmp_path / "mc", "ready", "store", MC_HOST_store=url).returncode
            == 0
        )

    with running(network.command(tool("minio"), *words), server_variables(tmp_path), ready, log=tmp_path / "log"):
        pass


def test_clickhouse_and_keeper_listen_at_an_ipv6_address(network: Network, tmp_path: Path) -> None:
    """The packed programs, which listen where the files say."""
    keeper = keeper_file(tmp_path / "keeper", raft_configuration([ADDRESS]))
    server = server_file(
        tmp_path / "server",
        hosts=[ADDRESS],
        keepers=[Endpoint(host=ADDRESS, port=CLIENT_PORT)],
        replaced={">9363<": ">9364<"},
    )
    environment = {**os.environ, **ENVIRONMENT, "POD_NAME": ADDRESS, "KEEPER_ID": "1", "PYTHONPATH": str(CHECKOUT)}
    module = "sandbox.images.clickhouse.programs"

    def command(name: str, file: Path) -> list[str]:
        return network.command(sys.executable, "-m", f"{module}.{name}", f"--config-file={file}")

    def is_ready() -> bool:
        return bool(network.answer(f"http://[{ADDRESS}]:9182/ready"))

    def pings() -> bool:
        return network.answer(f"http://[{ADDRESS}]:8123/ping") == "Ok."

    with (
        running(command("keeper", keeper), environment, is_ready, log=tmp_path / "keeper.log"),
        running(command("server", server), environment, pings, log=tmp_path / "server.log"),
    ):
        assert network.answer("http://127.0.0.1:8123/ping") == "Ok."
        listening = network.run("ss", "-Hltn").stdout
        for port in (9000, 9009, CLIENT_PORT, RAFT_PORT):
            assert f":{port} " in listening
