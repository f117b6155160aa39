"""Four MinIO servers with the rendered command: they form a cluster and keep serving when one is lost."""

import contextlib
import functools
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from components.stores.object_store.minio import READINESS_PATH
from tests.data import rendered
from tests.data.containers import COMMAND_LINES, Run, install_client, run
from tests.data.object_store.minio import Store, answers, healthy, provision
from tests.servers import free_port, program, running, tool
from tests.unit.configuration import HOST
from tests.unit.pods import container
from tests.unit.program import recorded
from tests.unit.recorder import Registration

pytestmark = pytest.mark.long

NODES = 4
BUCKET = "langfuse-dev-events"
CONTENT = b"before" * 100_000
FOREVER = str(10**6)

KUBELET = {"KUBERNETES_SERVICE_HOST": "192.0.2.1"}
"""Set by the kubelet in every container. MinIO detects Kubernetes by it (cmd/update.go)."""


def servers() -> Registration:
    """The StatefulSet of the servers."""
    recording = recorded("dev", {"host": HOST, "objectStore": {"nodes": NODES}})
    return recording.one("StatefulSet", "langfuse-object-store-cluster")


def server() -> rendered.Container:
    """The container of each server."""
    return container(servers())


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Four servers on the loopback interface."""

    folder: Path
    """The folder with the volumes."""
    stores: list[Store]
    processes: list[contextlib.ExitStack]

    @property
    def addresses(self) -> list[str]:
        return [store.url.removeprefix("http://") for store in self.stores]

    def variables(self, number: int) -> dict[str, str]:
        """The rendered variables with local addresses. Volumes are folders on one disk."""
        own = {"_MINIO_SERVER_LOCAL": self.addresses[number], "SERVERS": " ".join(self.addresses)}
        found = rendered.environment(server(), HOME=str(self.folder), **own)
        return {**found, **KUBELET, "MINIO_CI_CD": "1"}

    def start(self, number: int, **changed: str) -> None:
        """Start a server, with some variables changed. It may not have joined the others yet."""
        name, verb, drives, option, address, *rest = server()["command"]
        match = re.fullmatch(r"http://[a-z-]+-\{0\.\.\.(\d)\}\.[a-z.-]+:9000(/data)", drives)
        assert match is not None
        assert (name, verb, int(match[1]), option, address) == ("minio", "server", NODES - 1, "--address", ":9000")
        everything = [f"{store.url}{self.folder}/{place}{match[2]}" for place, store in enumerate(self.stores)]
        command = [tool("minio"), verb, *everything, option, self.addresses[number], *rest]
        ready = functools.partial(answers, self.stores[number], READINESS_PATH)
        log = self.folder / f"log-{number}"
        self.processes[number].enter_context(running(command, self.variables(number) | changed, ready, log=log))

    def stop(self, number: int) -> None:
        self.processes[number].close()

    def probe(self, number: int, *, join: str = FOREVER, reconnect: str = "0") -> Run:
        """Run the startup probe of a server with other time limits."""
        *script, port, _, _ = server()["startupProbe"]["exec"]["command"]
        assert port == "9000"
        _, _, own = self.addresses[number].partition(":")
        return run({"command": [*script, own, join, reconnect]}, self.variables(number), self.stores[number].clients)

    def joins(self, number: int) -> bool:
        """Wait until a server has joined the others."""
        return self.probe(number).code == 0

    def sees_all(self, number: int) -> bool:
        """Whether a server sees the drives of all others."""
        return answers(self.stores[number], "/minio/health/cluster?maintenance=true")


def write(store: Store, key: str) -> None:
    with_retries(store.client("events").put_object, Bucket=BUCKET, Key=key, Body=CONTENT)


def read(store: Store, key: str) -> bytes:
    content: bytes = with_retries(store.client("events").get_object, Bucket=BUCKET, Key=key)["Body"].read()
    return content


def with_retries(request: Callable[..., Any], **parameters: object) -> Any:  # noqa: ANN401  # as boto3 has it
    """Send a request as a client with retries does.

    Requests fail until the loss of a server is detected, and on a server that has not loaded the users yet.
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
    """The servers with the rendered command. Host names are replaced by ports, and volumes by folders."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    install_client(folder / "clients", "mc", tool("mc"))
    install_client(folder / "clients", "sleep", program("sleep", package="coreutils"))
    stores = [Store(url=f"http://127.0.0.1:{free_port()}", clients=folder / "clients") for _ in range(NODES)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(contextlib.ExitStack()) for _ in stores]
        cluster = Cluster(folder=folder, stores=stores, processes=processes)
        for number in range(NODES):
            cluster.start(number)
        assert all(cluster.joins(number) for number in range(NODES))
        yield cluster


@contextlib.contextmanager
def reading(cluster: Cluster, ready: set[int], keys: list[str]) -> Iterator[list[str]]:
    """A client that reads all the time from ready servers. Yields its errors."""
    failed: list[str] = []
    ended = threading.Event()

    def read_on() -> None:
        clients = [store.client("events") for store in cluster.stores]
        for count in itertools.count():
            if ended.wait(0.05):
                break
            try:
                if count % NODES in ready:
                    clients[count % NODES].get_object(Bucket=BUCKET, Key=keys[count // NODES % len(keys)])[
                        "Body"
                    ].read()
            except ClientError as error:
                failed.append(error.response["Error"]["Code"])
            except BotoCoreError as error:
                failed.append(type(error).__name__)

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    try:
        yield failed
    finally:
        ended.set()
        reader.join()


def test_four_servers_form_a_cluster_that_survives_the_loss_of_one(cluster: Cluster, tmp_path: Path) -> None:
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


def test_a_rolling_update_waits_until_the_others_see_the_restarted_server(cluster: Cluster, tmp_path: Path) -> None:
    assert provision(cluster.stores[0], tmp_path).code == 0
    keys = ["before"]
    ready = set(range(NODES))
    write(cluster.stores[0], "before")
    with reading(cluster, ready, keys) as failed:
        for number in reversed(range(NODES)):
            ready.remove(number)
            cluster.stop(number)
            write(cluster.stores[number - 1], f"without-{number}")  # on three of the four drives
            keys.append(f"without-{number}")
            cluster.start(number)
            # The others retry at intervals of about the time that a server was away: here, seconds.
            assert cluster.probe(number, reconnect="15").code == 0
            assert all(cluster.sees_all(other) for other in range(NODES) if other != number)
            ready.add(number)
    assert "NoSuchKey" not in failed
    assert [read(store, key) for store in cluster.stores for key in keys] == [CONTENT] * NODES * len(keys)


def test_changed_variables_are_rolled_out_one_server_at_a_time(cluster: Cluster, tmp_path: Path) -> None:
    """The first server waits for the second until its probe gives up; otherwise the update would hang."""
    assert provision(cluster.stores[0], tmp_path).code == 0
    write(cluster.stores[0], "kept")

    met: list[bool] = []
    for number in reversed(range(NODES)):
        cluster.stop(number)
        cluster.start(number, MINIO_API_STALE_UPLOADS_EXPIRY="96h")
        assert cluster.probe(number, join="3" if not met else FOREVER).code == 0
        met.append(healthy(cluster.stores[number]))

    assert met == [False, True, True, True]
    assert [read(store, "kept") for store in cluster.stores] == [CONTENT] * NODES


@pytest.mark.parametrize(("away", "waits"), [(1, True), (2, False)])
def test_the_probe_waits_for_reconnection_only_if_the_others_kept_serving(
    cluster: Cluster, away: int, waits: bool
) -> None:
    """With one server away the others keep serving. A single server does not, and has nothing to reconnect to."""
    *_, restarted = there = range(NODES - away)
    for number in (restarted, *range(len(there), NODES)):
        cluster.stop(number)
    notes = cluster.stores[restarted].clients / COMMAND_LINES
    notes.write_text("")
    with ThreadPoolExecutor() as pool:
        probe = pool.submit(cluster.probe, restarted, reconnect="2")
        while "sleep 1" not in notes.read_text():
            time.sleep(0.1)
        cluster.start(restarted)
    assert (probe.result().code, "sleep 2" in probe.result().command_lines) == (0, waits)
    assert healthy(cluster.stores[restarted])


def test_a_server_starts_while_dns_has_the_address_of_the_former_pod(cluster: Cluster, tmp_path: Path) -> None:
    """None of the addresses is local. Without `_MINIO_SERVER_LOCAL`, MinIO would not find its own and exit."""
    cluster.stop(0)
    _, _, port = cluster.addresses[0].partition(":")
    addresses = [f"198.51.100.{number}:{port}" for number in range(1, NODES + 1)]
    variables = {**cluster.variables(0), "_MINIO_SERVER_LOCAL": addresses[0]}
    drives = [f"http://{address}{tmp_path}/data" for address in addresses]
    command: list[str | Path] = [tool("minio"), "server", *drives, "--address", f":{port}"]
    live = functools.partial(answers, cluster.stores[0], "/minio/health/live")
    with running(command, variables, live, log=tmp_path / "log"):
        assert live()
