"""Four MinIO servers with the rendered command: they meet, are provisioned, and go on when one is lost."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from components.labels import Workload
from components.minio import server_command
from tests.data.jobs import client
from tests.data.provisioning import Store, healthy, provision
from tests.data.rendered import container, environment
from tests.data.servers import free_port, running, tool

NODES = 4


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Four servers on loopback."""

    folder: Path
    """Holds the volume of each."""
    stores: list[Store]
    servers: list[contextlib.ExitStack]


def own_address() -> str:
    """Where this machine reaches itself: in a container MinIO waits for an address that is not of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def written_again(store: Store, bucket: str) -> None:
    """Write as a client does that tries again: until the lost server is noticed, requests to it fail."""
    deadline = time.monotonic() + 20
    while True:
        try:
            store.client("events").put_object(Bucket=bucket, Key="after", Body=b"after")
        except ClientError as error:
            if error.response["Error"]["Code"] != "SlowDownWrite" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The servers, each with the rendered variables; host names become ports of loopback and volumes folders."""
    folder = tmp_path_factory.mktemp("cluster")
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
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contextlib.ExitStack()) for _ in ports]
        for number, port in enumerate(ports):
            command: list[str | Path] = [tool("minio"), verb, *drives, "--address", f"{here}:{port}"]
            # None is ready before the others are there: only the last one is waited for.
            ready = (lambda: all(healthy(store) for store in stores)) if number == NODES - 1 else (lambda: True)
            servers[number].enter_context(running(command, variables, ready, log=folder / f"log-{number}"))
        yield Cluster(folder=folder, stores=stores, servers=servers)


def test_four_servers_serve_as_one_and_go_on_without_one(cluster: Cluster, tmp_path: Path) -> None:
    first, second, third, _ = cluster.stores
    result = provision(first, tmp_path)
    assert result.code == 0, result.output
    bucket = "langfuse-dev-events"
    first.client("events").put_object(Bucket=bucket, Key="before", Body=b"before" * 100_000)
    assert second.client("events").get_object(Bucket=bucket, Key="before")["Body"].read() == b"before" * 100_000
    files = [file for file in cluster.folder.rglob("*/data/**/*") if file.is_file()]
    assert files
    assert not [file for file in files if b"before" * 10 in file.read_bytes()]

    cluster.servers[3].close()
    assert third.client("events").get_object(Bucket=bucket, Key="before")["Body"].read() == b"before" * 100_000
    written_again(second, bucket)
    assert first.client("events").get_object(Bucket=bucket, Key="after")["Body"].read() == b"after"
    again = provision(second, tmp_path)
    assert again.code == 0, again.output
    assert all(healthy(store) for store in (first, second, third))

    cluster.servers[2].close()
    assert first.client("events").get_object(Bucket=bucket, Key="after")["Body"].read() == b"after"
