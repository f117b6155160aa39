"""A rollout of web behind each kind of ingress: a client that keeps its connection open loses no request.

The pods are Node servers that shut down as Langfuse's web does, with the variables and the module of the rendered pod.
"""

import contextlib
import http.client
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.data.rendered import config_map, container, environment
from tests.edge.envoy import (
    Json,
    cluster,
    envoy,
    followed_cluster,
    http_listener,
    tcp_listener,
    write_endpoints,
)
from tests.edge.site import HOST, SERVICES, Stack
from tests.servers import answers, free_port, program, running

WORK_MILLISECONDS = 20
DRAIN_SECONDS = 4
PROPAGATION_SECONDS = 1
"""How long proxies keep using an endpoint that was removed."""

CLUSTER = f"{SERVICES['web']}:3000"

Proxy = Callable[[Path, int], tuple[list[Json], list[Json]]]
"""Returns Envoy's listeners and clusters. Arguments: a folder with the endpoints, and the port of the listener."""


@dataclass
class Client:
    """Sends requests all the time, over one connection as long as it stays open."""

    port: int
    pods: list[str] = field(default_factory=list)
    """The servers that answered, in order."""
    lost: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._stopped.is_set():
            try:
                connection.request("POST", "/api/public/ingestion", b"{}", {"Host": HOST})
                answer = connection.getresponse()
                text = answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
                continue
            if answer.status == http.client.OK:
                self.pods.append(text)
            else:
                self.lost.append(f"{answer.status} {text}")

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def pod(folder: Path, *, with_module: bool) -> Iterator[Pod]:
    """Run a server with the variables of the rendered pod."""
    port = free_port()
    web = container("Deployment", "langfuse-web", "web")
    rendered = environment(web)
    variables = {
        "PORT": str(port),
        "HOSTNAME": "127.0.0.1",
        "KEEP_ALIVE_TIMEOUT": rendered["KEEP_ALIVE_TIMEOUT"],
        "NODE_OPTIONS": node_options(folder, rendered, web["volumeMounts"]) if with_module else "",
        "WORK_MILLISECONDS": str(WORK_MILLISECONDS),
        "DRAIN_MILLISECONDS": str(DRAIN_SECONDS * 1000),
    }
    command: list[str | Path] = [program("node", package="nodejs"), Path(__file__).parent / "pod.cjs"]
    with running(command, variables, lambda: answers(port), log=folder / f"{port}.log") as server:
        yield Pod(port=port, process=server)


def node_options(folder: Path, variables: Mapping[str, str], mounts: list[dict[str, str]]) -> str:
    """The rendered options of Node, with the files of the mounted ConfigMap in a local folder."""
    (mount,) = [mount["mountPath"] for mount in mounts if mount["name"] == "modules"]
    for name, text in config_map("langfuse-web-modules").items():
        (folder / name).write_text(text)
    return variables["NODE_OPTIONS"].replace(mount, str(folder))


def endpoint_gateway(folder: Path, port: int) -> tuple[list[Json], list[Json]]:
    """Istio's gateway: it gets the endpoints from istiod and chooses one for each request."""
    return [http_listener(port, {HOST: pages()})], [followed_cluster(CLUSTER, folder)]


def connection_forwarder(folder: Path, port: int) -> tuple[list[Json], list[Json]]:
    """kube-proxy or ztunnel: it chooses a pod for each connection."""
    return [tcp_listener(port, CLUSTER)], [followed_cluster(CLUSTER, folder)]


def node_load_balancer(folder: Path, port: int) -> tuple[list[Json], list[Json]]:
    """A proxy with persistent connections to a Service or node ports, which does not know the endpoints."""
    inner = free_port()
    (page,) = pages()
    outer = {**page, "route": {**page["route"], "cluster": "service"}}
    listeners = [http_listener(port, {HOST: [outer]}), tcp_listener(inner, CLUSTER)]
    return listeners, [cluster("service", [inner]), followed_cluster(CLUSTER, folder)]


def pages() -> list[Json]:
    """The rendered route to web."""
    return [route for route in Stack().routes[HOST] if route["name"] == "web"]


def replace_the_pod(folder: Path, proxy: Proxy, *, with_module: bool) -> Client:
    """Replace a pod while a client sends requests all the time."""
    with pod(folder, with_module=with_module) as old, pod(folder, with_module=with_module) as new:
        write_endpoints(CLUSTER, folder, [old.port])
        client = Client(port=free_port())
        listeners, clusters = proxy(folder, client.port)
        with envoy(folder, listeners, clusters), client.asking():
            time.sleep(0.5)
            old.process.terminate()
            time.sleep(PROPAGATION_SECONDS)
            write_endpoints(CLUSTER, folder, [new.port])
            old.process.wait(30)
            time.sleep(0.5)
        assert client.pods[0] == str(old.process.pid)
        assert client.pods[-1] == str(new.process.pid)
    return client


PROXIES: list[Proxy] = [endpoint_gateway, connection_forwarder, node_load_balancer]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_rollout_of_web_loses_no_request(proxy: Proxy, tmp_path: Path) -> None:
    assert replace_the_pod(tmp_path, proxy, with_module=True).lost == []


@pytest.mark.long
@pytest.mark.parametrize("proxy", [connection_forwarder, node_load_balancer])
def test_without_the_module_the_last_request_of_a_connection_is_lost(proxy: Proxy, tmp_path: Path) -> None:
    assert len(replace_the_pod(tmp_path, proxy, with_module=False).lost) == 1


@pytest.mark.long
def test_a_gateway_that_follows_endpoints_does_not_need_the_module(tmp_path: Path) -> None:
    assert replace_the_pod(tmp_path, endpoint_gateway, with_module=False).lost == []


def test_running_pods_keep_connections_open(tmp_path: Path) -> None:
    with pod(tmp_path, with_module=True) as running_pod:
        connection = http.client.HTTPConnection("127.0.0.1", running_pod.port)
        for _ in range(2):
            connection.request("GET", "/api/public/ready")
            answer = connection.getresponse()
            answer.read()
            assert answer.headers["Connection"] == "keep-alive"
