"""What NetworkPolicies allow: pods, namespaces and policies become rules about addresses and ports.

The documentation of the API defines the behaviour (kubernetes.io/docs/concepts/services-networking/network-policies),
with two decisions where it leaves one to the network plugin:

- A block of addresses (`ipBlock`) never matches a pod, only addresses outside of the cluster. So a connection between
  pods is allowed here only if the policies select the pods, as with plugins that are strict about this.
- A pod that is not known yet may neither send nor receive anything.

Pods have IPv4 addresses only, so blocks of IPv6 addresses match only what is outside of the cluster. Pods in the
network of the node are not subject to policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Literal

from components.schema.selectors import selects
from sandbox.client import Json

Direction = Literal["Ingress", "Egress"]
DIRECTIONS: tuple[Direction, ...] = ("Ingress", "Egress")

LAST_PORT = 65535
LIVE_PHASES = ("Pending", "Running")
"""A pod in another phase has ended; its address may belong to another pod soon."""


@dataclass(frozen=True)
class Pod:
    """A pod with an address. `ports` are the numbers of its named ports by protocol and name."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: Mapping[tuple[str, str], int]
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Block:
    """Addresses outside of the cluster."""

    network: IPv4Network | IPv6Network
    excluded: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, order=True)
class Ports:
    """A range of ports of one protocol: `TCP`, `UDP` or `SCTP`."""

    protocol: str
    first: int = 0
    last: int = LAST_PORT


Peers = frozenset[str] | Block | None
"""Addresses of pods, a block of other addresses, or everything."""


@dataclass(frozen=True)
class Rule:
    """Connections that one policy allows in one direction. `ports` is None for all ports of all protocols."""

    policy: str
    direction: Direction
    sources: Peers
    destinations: Peers
    ports: tuple[Ports, ...] | None = None


@dataclass(frozen=True)
class Rules:
    """What is enforced: the known pods, those that are isolated in a direction, and what these may do."""

    pods: tuple[Pod, ...] = ()
    ingress_isolated: frozenset[str] = frozenset()
    egress_isolated: frozenset[str] = frozenset()
    allowed: tuple[Rule, ...] = ()

    def isolated(self, direction: Direction) -> frozenset[str]:
        """The addresses of pods that may only do what is allowed in a direction."""
        return self.ingress_isolated if direction == "Ingress" else self.egress_isolated


def rules(
    pods: Iterable[Json],
    namespaces: Iterable[Json],
    policies: Iterable[Json],
    announced: Mapping[str, str] = MappingProxyType({}),
) -> Rules:
    """The rules for the current objects of the API.

    Args:
        pods: All pods.
        namespaces: All namespaces. A pod is known only when its namespace is.
        policies: All NetworkPolicies.
        announced: The uids of pods by the addresses that they have been given, which the API server may not know yet.
    """
    labels = {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in namespaces}
    known = known_pods(pods, labels, announced)
    isolated: dict[Direction, set[str]] = {direction: set() for direction in DIRECTIONS}
    allowed: list[Rule] = []
    for policy in sorted(policies, key=_name):
        selected = [
            pod
            for pod in known
            if pod.namespace == policy["metadata"]["namespace"]
            and selects(policy["spec"].get("podSelector"), pod.labels)
        ]
        for direction in directions(policy["spec"]) if selected else ():
            isolated[direction].update(pod.address for pod in selected)
            allowed += _allowed(policy, direction, selected, known, labels)
    return Rules(known, frozenset(isolated["Ingress"]), frozenset(isolated["Egress"]), tuple(allowed))


def known_pods(
    pods: Iterable[Json],
    namespaces: Mapping[str, Mapping[str, str]],
    announced: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Pod, ...]:
    """The pods with an address of their own. If two have the same, it is not clear which has it, and neither is known.

    An announced address is that of the announced pod, whatever the API server says: after a restart of the node, it
    still has the previous addresses of all pods.

    Args:
        pods: Objects of the API.
        namespaces: The labels of every known namespace.
        announced: The uids of pods by address.
    """
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        if pod["spec"].get("hostNetwork") or status.get("phase") not in LIVE_PHASES:
            continue
        if metadata["namespace"] not in namespaces:
            continue
        for address in _addresses(pod, announced):
            one = Pod(
                metadata["name"],
                metadata["namespace"],
                metadata.get("labels") or {},
                address,
                _named_ports(pod["spec"]),
                metadata["uid"],
            )
            found.setdefault(address, []).append(one)
    return tuple(sorted((pods[0] for pods in found.values() if len(pods) == 1), key=lambda pod: pod.address))


def _addresses(pod: Json, announced: Mapping[str, str]) -> set[str]:
    """The IPv4 addresses of a pod."""
    uid, status = pod["metadata"]["uid"], pod.get("status", {})
    reported = {status.get("podIP"), *(one.get("ip") for one in status.get("podIPs") or ())}
    own = {address for address, owner in announced.items() if owner == uid}
    return own | {one for one in reported if one and ":" not in one and announced.get(one, uid) == uid}


def directions(spec: Json) -> tuple[Direction, ...]:
    """The directions in which a policy isolates pods. By default egress only if it has egress rules."""
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return tuple(direction for direction in DIRECTIONS if direction in types)


def _allowed(
    policy: Json,
    direction: Direction,
    selected: Iterable[Pod],
    known: Iterable[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[Rule]:
    """The rules of one policy in one direction."""
    own = frozenset(pod.address for pod in selected)
    key, peers_key = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    for rule in policy["spec"].get(key) or ():
        for peers in _peers(rule.get(peers_key), policy["metadata"]["namespace"], known, namespaces):
            sources, destinations = (peers, own) if direction == "Ingress" else (own, peers)
            for reached, ports in _ports(rule.get("ports"), destinations, known):
                yield Rule(_name(policy), direction, sources, reached, ports)


def _peers(
    peers: list[Json] | None, namespace: str, known: Iterable[Pod], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[Peers]:
    """The addresses that a list of peers selects. A missing or empty list selects everything."""
    if not peers:
        yield None
        return
    pods: set[str] = set()
    for peer in peers:
        if block := peer.get("ipBlock"):
            network, *excluded = (ip_network(one, strict=False) for one in (block["cidr"], *block.get("except", ())))
            yield Block(network, tuple(excluded))
            continue
        pods.update(
            pod.address
            for pod in known
            if (
                selects(peer["namespaceSelector"], namespaces[pod.namespace])
                if peer.get("namespaceSelector") is not None
                else pod.namespace == namespace
            )
            and selects(peer.get("podSelector"), pod.labels)
        )
    if pods:
        yield frozenset(pods)


def _ports(
    ports: list[Json] | None, destinations: Peers, known: Iterable[Pod]
) -> Iterator[tuple[Peers, tuple[Ports, ...] | None]]:
    """The ports of a rule, with the destinations that have them. A name is a port of the pod that it belongs to."""
    if not ports:
        yield destinations, None
        return
    numbered: set[Ports] = set()
    named: dict[Ports, set[str]] = {}
    for port in ports:
        protocol, number = port.get("protocol") or "TCP", port.get("port")
        if number is None:
            numbered.add(Ports(protocol))
        elif isinstance(number, int):
            numbered.add(Ports(protocol, number, port.get("endPort") or number))
        elif not isinstance(destinations, Block):  # what is not a pod has no named ports
            for pod in known:
                found = pod.ports.get((protocol, number))
                if found and (destinations is None or pod.address in destinations):
                    named.setdefault(Ports(protocol, found, found), set()).add(pod.address)
    if numbered:
        yield destinations, tuple(sorted(numbered))
    for single, addresses in sorted(named.items()):
        yield frozenset(addresses), (single,)


def _named_ports(spec: Json) -> dict[tuple[str, str], int]:
    """The named ports of the containers and sidecars of a pod, by protocol and name; the first with a name counts."""
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    ports: dict[tuple[str, str], int] = {}
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if "name" in port:
                ports.setdefault((port.get("protocol") or "TCP", port["name"]), port["containerPort"])
    return ports


def _name(policy: Json) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
