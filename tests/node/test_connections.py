"""Who reaches whom: each pod of a stack, strangers, and the world outside, over every port.

What is expected follows from the flows of the program and from its settings, not from the policies that it makes of
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Final

import pytest
import yaml

from components.application.environment import WEB_PORT
from components.network.flows import flows
from components.network.mesh_policies import tunnel_ports
from components.network.policies import INTERNET_PORTS
from components.schema.environment import Settings
from components.schema.ingress import GatewayRoute
from components.schema.values import LINK_LOCAL
from components.settings.load import parse
from components.stores.contract import APPLICATION
from components.stores.modes import StoreModes
from sandbox.node import dropped
from sandbox.node.network import DNS
from sandbox.node.nftables import UNKNOWN
from tests.engine.view import NAME_LABEL, View
from tests.node import pod_networks
from tests.node.pod_networks import Target
from tests.node.shapes import Installation
from tests.node.stand_ins import stand_in, stand_ins

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

INTERNET: Final = "198.51.100.7"  # RFC 5737: documentation
METADATA: Final = "169.254.169.254"
ELSEWHERE: Final = "elsewhere"
STRANGER: Final = "stranger"
API: Final = "10.96.0.1"  # the first address of the range of Services

ALLOWED: Final = [
    ("web", "postgres", 5432),
    ("worker", "redis", 6379),
    ("worker", "clickhouse", 8123),
    ("web", "object-store", 9000),
    ("clickhouse", "keeper", 9181),
    ("backup-postgres", "postgres", 5432),
    ("migrations", "clickhouse", 9000),
    ("istio-system", "web", 3000),
    ("istio-system", "object-store", 9000),
    ("web", "internet", 443),
]
REFUSED: Final = [
    ("web", "clickhouse", 9009),
    ("web", "keeper", 9181),
    ("worker", "web", 3000),
    ("redis", "postgres", 5432),
    ("postgres", "redis", 6379),
    ("backup-postgres", "redis", 6379),
    ("stranger", "postgres", 5432),
    ("stranger", "web", 3000),
    ("elsewhere", "web", 3000),
    ("elsewhere", "redis", 6379),
    ("istio-system", "postgres", 5432),
    ("internet", "web", 3000),
    ("internet", "postgres", 5432),
    ("postgres", "internet", 443),
    ("web", "internet", 80),
    ("web", "metadata service", 80),
    ("web", "metadata service", 443),
    ("web", "elsewhere", 443),
    ("worker", "node", 10250),
    ("redis", "internet", 53),
]


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod, or something with an address. `workload` is empty outside of the stack."""

    name: str
    address: str
    workload: str = ""
    namespace: str = ""
    pid: int | None = field(default=None, compare=False)
    """A process in its network; None if it only accepts connections."""
    ports: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The workload, or the namespace of a stranger elsewhere, or the name."""
        return self.workload or self.namespace or self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Intent:
    """The connections that an installation is meant to have, by its flows and settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        stores = StoreModes.of(settings)
        self.flows = flows(settings, stores)
        self._public = {"web": WEB_PORT, stores.object_store.name: stores.object_store.public_port}
        self._tunnel = tunnel_ports(settings)

    def allows(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is meant to succeed, as far as both ends decide it."""
        own = self.settings.namespace
        return (source.namespace != own or self._may_leave(source, target, port, protocol)) and (
            target.namespace != own or self._may_enter(source, target, port, protocol)
        )

    def _may_leave(self, source: Peer, target: Peer, port: int, protocol: str) -> bool:
        network = self.settings.network
        if target.namespace == self.settings.namespace:
            return True
        dns = self.settings.cluster.dns
        if target.namespace in dns.namespaces and port in dns.ports:
            return True
        external = any(
            source.workload in flow.clients and port in {*flow.ports, *(one.port for one in flow.endpoints)}
            for flow in self.flows
            if flow.server is None
        )
        if target.namespace or protocol != "TCP":
            return external and protocol == "TCP"
        address = ip_address(target.address)
        in_ranges = any(address in ip_network(one) for one in network.internet)
        internet = in_ranges and source.workload in APPLICATION and port in INTERNET_PORTS
        return address not in LINK_LOCAL and (external or internet)

    def _may_enter(self, source: Peer, target: Peer, port: int, protocol: str) -> bool:
        if source.namespace == self.settings.namespace:
            ports = {
                port
                for flow in self.flows
                if flow.server == target.workload and source.workload in flow.clients
                for port in flow.ports
            }
        else:
            public = self._public.get(target.workload)
            ports = {public} if public and source.namespace == gateway_namespace(self.settings) else set()
        return protocol == "TCP" and bool(ports) and port in {*ports, *self._tunnel}


def settings_of(shape: Installation) -> Settings:
    """The settings of a deployed stack."""
    config = yaml.safe_load(shape.stack.file.read_text())["config"]
    return parse(shape.stack.name, {key.removeprefix("langfuse:"): value for key, value in config.items()})


def running(view: View) -> list[Peer]:
    """The pods of a namespace that run."""
    processes = pod_networks.processes()
    return [
        Peer(
            pod["metadata"]["name"],
            pod["status"]["podIP"],
            pod["metadata"]["labels"].get(NAME_LABEL, ""),
            view.namespace,
            processes[pod["metadata"]["uid"]],
            tuple(port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", ())),
        )
        for pod in view.objects("pods")
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


@dataclass(frozen=True)
class Attempt:
    """A connection to try. `peer` and `port` are what it leads to, through a Service or directly."""

    source: Peer
    target: Target
    peer: Peer
    port: int
    through: str = ""

    def __str__(self) -> str:
        return f"{self.source} -> {self.through or self.peer}:{self.target.port}/{self.target.protocol}"


@dataclass(frozen=True)
class Scene:
    """Everything that connects or is connected to."""

    intent: Intent
    peers: Sequence[Peer]
    services: Mapping[str, tuple[Target, Sequence[Peer], int]]
    """Address of each Service, the peers behind it, and their port."""
    recorded: Sequence[dropped.Dropped]
    """Until the shape was deployed."""
    """The connections that had been refused before this test made any."""

    def attempts(self) -> Iterator[Attempt]:
        """Every connection to try: each pair of peers on every port, and every Service."""
        ports = {port for peer in self.peers for port in peer.ports} | {22, 53, 80, *INTERNET_PORTS, 6443, 10250}
        tried = [Target("", port) for port in sorted(ports | {*tunnel_ports(self.intent.settings)})]
        for source in self.peers:
            if source.pid is None:  # it only accepts connections
                continue
            for peer in self.peers:
                if peer != source and (source.namespace or peer.namespace):
                    yield from (
                        Attempt(source, Target(peer.address, port, protocol), peer, port)
                        for _, port, protocol in (*tried, Target("", 53, "UDP"))
                    )
            for name, (target, behind, port) in self.services.items():
                if source not in behind:
                    yield Attempt(source, target, behind[0], port, through=name)


def gateway_namespace(settings: Settings) -> str:
    """The namespace whose pods may connect to web."""
    assert isinstance(settings.ingress, GatewayRoute)
    return settings.ingress.gateway_namespace


@pytest.fixture(scope="module")
def scene(shape: Installation) -> Iterator[Scene]:
    """Adds strangers and stand-ins for workloads that run at times, and a machine outside."""
    view, settings = shape.view, settings_of(shape)
    records = dropped.read(dropped.path(view.sandbox.folder.path))
    recorded = [one for one in records if one.time <= shape.deployed]
    intent = Intent(settings)
    clients = {client for flow in intent.flows for client in flow.clients}
    own = [
        stand_in(name, view.namespace, {NAME_LABEL: name}) for name in clients - {one.workload for one in running(view)}
    ]
    strangers = [stand_in(STRANGER, name, {NAME_LABEL: "web"}) for name in (gateway_namespace(settings), ELSEWHERE)]
    pods = [*own, stand_in(STRANGER, view.namespace, {NAME_LABEL: STRANGER}), *strangers]
    with stand_ins(pods, view), pod_networks.outside(view.sandbox, [INTERNET, METADATA]) as machine:
        yield Scene(intent, *everyone(shape, machine), recorded)


def everyone(shape: Installation, machine: int) -> tuple[list[Peer], dict[str, tuple[Target, list[Peer], int]]]:
    """All peers, and the Services of the stack and of the cluster."""
    view, settings = shape.view, settings_of(shape)
    own = running(view)
    others = [  # some have labels of the stack's workloads
        replace(peer, workload="")
        for name in (gateway_namespace(settings), ELSEWHERE, "kube-system")
        for peer in running(View(view.sandbox, name))
    ]
    dns = [peer for peer in others if peer.namespace == "kube-system"]
    api = View(view.sandbox, "default").get("endpoints", "kubernetes")["subsets"][0]
    node = Peer("node", api["addresses"][0]["ip"], ports=(api["ports"][0]["port"],))
    outside = [node, Peer("internet", INTERNET, pid=machine), Peer("metadata service", METADATA)]
    services = {
        f"Service {item['metadata']['name']}": (
            Target(item["spec"]["clusterIP"], port["port"]),
            [peer for peer in own if peer.workload == item["spec"]["selector"][NAME_LABEL]],
            int(port["targetPort"]),
        )
        for item in view.objects("services")
        if item["spec"]["clusterIP"] != "None"
        for port in item["spec"]["ports"]
    }
    services["Service kubernetes"] = Target(API, 443), [node], node.ports[0]
    services["Service kube-dns"] = Target(DNS, 53, "UDP"), dns, 53
    return [*own, *others, *outside], services


@pytest.fixture(scope="module")
def outcomes(scene: Scene) -> dict[Attempt, str]:
    """What happened on each connection. All are opened at once."""
    by_process = defaultdict(list)
    for attempt in scene.attempts():
        assert attempt.source.pid
        by_process[attempt.source.pid].append(attempt)
    answers = pod_networks.attempt({pid: [one.target for one in found] for pid, found in by_process.items()})
    return {
        attempt: answer
        for pid, found in by_process.items()
        for attempt, answer in zip(found, answers[pid], strict=True)
    }


def test_every_connection_is_refused_unless_the_program_means_it(scene: Scene, outcomes: Mapping[Attempt, str]) -> None:
    wrong = [
        f"{attempt}: {outcome}"
        for attempt, outcome in outcomes.items()
        if (outcome != "no answer")
        != scene.intent.allows(attempt.source, attempt.peer, attempt.port, attempt.target.protocol)
    ]
    assert wrong == []
    assert len(outcomes) > 1000


def test_servers_listen_where_connections_are_meant(scene: Scene, outcomes: Mapping[Attempt, str]) -> None:
    meant = {
        attempt: outcome
        for attempt, outcome in outcomes.items()
        if attempt.port in attempt.peer.ports and outcome != "no answer"
    }
    assert {f"{attempt}: {outcome}" for attempt, outcome in meant.items() if outcome != "open"} == set()
    assert len(meant) > 20


def test_the_matrix_has_the_connections_that_everybody_expects(outcomes: Mapping[Attempt, str]) -> None:
    """Written by hand, so that flows and settings that agree on something wrong are found."""
    reached: dict[tuple[str, str, int], set[bool]] = defaultdict(set)
    for attempt, outcome in outcomes.items():
        if attempt.target.protocol == "TCP" and not attempt.through:
            ends = attempt.source.label, attempt.peer.label
            reached[*ends, attempt.port].add(outcome != "no answer")
    assert [case for case in ALLOWED if reached[case] != {True}] == []
    assert [case for case in REFUSED if reached[case] != {False}] == []


def test_nothing_of_the_stack_was_refused_during_its_deployment(scene: Scene) -> None:
    """Later, other tests end pods. Connections to their addresses are refused until clients resolve the name again."""
    name = scene.intent.settings.namespace
    assert [
        one
        for one in scene.recorded
        if one.reason != UNKNOWN and (one.source.startswith(f"{name}/") or one.destination.startswith(f"{name}/"))
    ] == []
