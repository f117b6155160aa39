"""What rules of NetworkPolicies mean for one connection, and objects of the API that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from sandbox.node.network import POD_RANGE
from sandbox.node.policy_rules import Block, Direction, Peers, Rules

Json = dict[str, Any]


def allows(rules: Rules, source: str, destination: str, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection between two addresses is allowed, neither of which is the node's."""
    return refusing(rules, source, destination, port, protocol) is None


def refusing(rules: Rules, source: str, destination: str, port: int, protocol: str = "TCP") -> Direction | None:
    """The direction in which a connection between two addresses is refused; None if it is allowed."""
    if source == destination:
        return None
    known = {pod.address for pod in rules.pods}
    ends: tuple[tuple[Direction, str], ...] = (("Egress", source), ("Ingress", destination))
    for direction, address in ends:
        if address not in known:
            if ip_address(address) in ip_network(POD_RANGE):
                return direction
        elif address in rules.isolated(direction) and not any(
            _contains(rule.sources, source)
            and _contains(rule.destinations, destination)
            and (
                rule.ports is None
                or any(one.protocol == protocol and one.first <= port <= one.last for one in rule.ports)
            )
            for rule in rules.allowed
            if rule.direction == direction
        ):
            return direction
    return None


def _contains(peers: Peers, address: str) -> bool:
    if peers is None:
        return True
    if not isinstance(peers, Block):
        return address in peers
    found = ip_address(address)
    inside = found in peers.network and found not in ip_network(POD_RANGE)
    return inside and not any(found in one for one in peers.excluded)


def namespace(name: str, **labels: str) -> Json:
    """A namespace with the label of its name, which every namespace has, and others."""
    return {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}}


def pod(
    name: str,
    address: str,
    labels: Mapping[str, str] | None = None,
    *,
    within: str = "app",
    ports: Mapping[str, int] | None = None,
    phase: str = "Running",
) -> Json:
    """A pod with the labels `app: NAME` or others, and with named TCP ports."""
    named = [{"name": key, "containerPort": number, "protocol": "TCP"} for key, number in (ports or {}).items()]
    return {
        "metadata": {
            "name": name,
            "namespace": within,
            "uid": f"{name}-{address}",
            "labels": {"app": name} if labels is None else dict(labels),
        },
        "spec": {"containers": [{"name": "main", "ports": named}]},
        "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]},
    }


def policy(name: str, selector: Json, within: str = "app", **spec: object) -> Json:
    """A policy; the keys of `spec` are those of the API, with `from_` for `from`."""
    return {"metadata": {"name": name, "namespace": within}, "spec": {"podSelector": selector, **spec}}


def app(*names: str) -> Json:
    """A selector of pods by their label `app`."""
    if len(names) == 1:
        return {"matchLabels": {"app": names[0]}}
    return {"matchExpressions": [{"key": "app", "operator": "In", "values": list(names)}]}
