"""Four MinIO servers with the rendered command: they meet, are provisioned, and go on when one is lost."""

import contextlib
import functools
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.labels import Workload
from components.minio import READINESS_PATH, server_command
from tests.data.jobs import client
from tests.data.provisioning import Store, answers, healthy, provision
from tests.data.rendered import container, environment
from tests.data.servers import free_port, running, tool

NODES = 4
BUCKET = "langfuse-dev-events"
CONTENT = b"before" * 100_000


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Four servers on loopback."""

    folder: Path
    """Holds the volume of each."""
    stores: list[Store]
    commands: list[list[str | Path]]
    variables: dict[str, str]
    servers: list[contextlib.ExitStack]

    def start(self, number: int, **changed: str) -> None:
        """Start a server with some of its variables changed; it need not have met the others when this returns."""
        ready = functools.partial(answers, self.stores[number], READINESS_PATH)
        server = running(self.commands[number], self.variables | changed, ready, log=self.folder / f"log-{number}")
        self.servers[number].enter_context(server)

    def stop(self, number: int) -> None:
        self.servers[number].close()

    def meets(self, number: int, *, seconds: float = 60) -> bool:
        """Wait until a server can read what all keep, and say whether it can."""
        deadline = time.monotonic() + seconds
        while not (met := healthy(self.stores[number])) and time.monotonic() < deadline:
            time.sleep(0.5)
        return met


def own_address() -> str:
    """Where this machine reaches itself: in a container MinIO waits for an address that is not of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def write(store: Store, key: str) -> None:
    again(store.client("events").put_object, Bucket=BUCKET, Key=key, Body=CONTENT)


def read(store: Store, key: str) -> bytes:
    content: bytes = again(store.client("events").get_object, Bucket=BUCKET, Key=key)["Body"].read()
    return content


def again(request: Callable[..., Any], **parameters: object) -> Any:  # noqa: ANN401  # as boto3 has it
    """Ask as a client does that tries again.

    Until a lost server is noticed, requests that need it fail; one that met the others late has not read who may ask.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            return request(**parameters)
        except ClientError as error:
            passing = {"SlowDownRead", "SlowDownWrite", "InvalidAccessKeyId"}
            if error.response["Error"]["Code"] not in passing or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The servers, each with the rendered variables; host names become ports of loopback and volumes folders."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    client(folder / "clients", "mc", tool("mc"))
    workload = Workload(instance="langfuse-dev", name="object-store", component="object-store", version="1")
    program, verb, addresses, *_ = server_command("langfuse-dev", workload, NODES)
    match = re.fullmatch(r"http://[a-z-]+-\{0\.\.\.(\d)\}\.[a-z.-]+:9000(/data)", addresses)
    assert match is not None
    assert (program, verb, int(match[1])) == ("minio", "server", NODES - 1)
    ports = [free_port() for _ in range(NODES)]
    here = own_address()
    drives = [f"http://{here}:{port}{folder}/{number}{match[2]}" for number, port in enumerate(ports)]
    variables = environment(container("StatefulSet", "langfuse-object-store", "minio"), HOME=str(folder))
    # Folders of one disk stand for volumes.
    variables |= {"MINIO_CI_CD": "1"}
    stores = [Store(url=f"http://{here}:{port}", clients=folder / "clients") for port in ports]
    commands: list[list[str | Path]] = [[tool("minio"), verb, *drives, "--address", f"{here}:{port}"] for port in ports]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contextlib.ExitStack()) for _ in ports]
        cluster = Cluster(folder=folder, stores=stores, commands=commands, variables=variables, servers=servers)
        for number in range(NODES):
            cluster.start(number)
        assert all(cluster.meets(number) for number in range(NODES))
        yield cluster


def test_four_servers_serve_as_one_and_go_on_without_one(cluster: Cluster, tmp_path: Path) -> None:
    first, second, third, _ = cluster.stores
    result = provision(first, tmp_path)
    assert result.code == 0, result.output
    write(first, "before")
    assert read(second, "before") == CONTENT
    files = [file for file in cluster.folder.rglob("*/data/**/*") if file.is_file()]
    assert files
    assert not [file for file in files if CONTENT[:60] in file.read_bytes()]

    cluster.stop(3)
    assert read(third, "before") == CONTENT
    write(second, "after")
    assert read(first, "after") == CONTENT
    repeated = provision(second, tmp_path)
    assert repeated.code == 0, repeated.output
    assert all(healthy(store) for store in (first, second, third))

    cluster.stop(2)
    assert read(first, "after") == CONTENT


def test_an_update_goes_through_one_by_one(cluster: Cluster, tmp_path: Path) -> None:
    assert provision(cluster.stores[0], tmp_path).code == 0
    write(cluster.stores[0], "kept")

    met = []
    for number in reversed(range(NODES)):
        cluster.stop(number)
        cluster.start(number, MINIO_API_STALE_UPLOADS_EXPIRY="96h")
        met.append(cluster.meets(number, seconds=5))

    assert met == [False, True, True, True]
    assert [read(store, "kept") for store in cluster.stores] == [CONTENT] * NODES
