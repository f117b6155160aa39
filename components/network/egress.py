"""Egress rules of NetworkPolicies for addresses outside of the installation. Pure functions.

A policy knows no names. A rule for a host name therefore allows its port at every address. A rule for the name of a
Service allows its namespace, at every port: policies apply after the address of a Service has been replaced by that of
a pod, which may listen at another port than the Service.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

import pulumi_kubernetes as k8s

from components.schema.application import Egress
from components.schema.targets import TargetPods, Targets
from components.schema.values import NEVER_CALLED, contains
from components.stores.connections import Endpoint
from components.stores.contract import Flow

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
EgressRule = k8s.networking.v1.NetworkPolicyEgressRuleArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict

ANYWHERE = ("0.0.0.0/0", "::/0")
"""All addresses, of both versions of IP."""

WEB_PORTS = (80, 443)
"""Ports of allowed targets outside of the cluster, unless others are configured."""

_SERVICE = re.compile(r"(?:[^.]+\.)+(?P<namespace>[^.]+)\.svc(?:\.[^.]+)*\.?")
"""Clusters may have another domain than `cluster.local`."""


def to_outside(flow: Flow, tunnel: Sequence[int]) -> list[EgressRule]:
    """Rules for the endpoints of a flow, and for its ports at unknown addresses.

    Args:
        flow: A flow to addresses outside of the installation.
        tunnel: Ports of the tunnel that carries connections between pods of an ambient mesh.
    """
    services = {namespace for one in flow.endpoints if (namespace := namespace_of(one.host))}
    rules: list[EgressRule] = [{"to": [in_namespace(name)]} for name in sorted(services)]
    ports: dict[tuple[tuple[str, ...], bool], set[tuple[int, str]]] = {}
    for one in flow.endpoints:
        key = ranges_of(one.host), namespace_of(one.host) is not None
        ports.setdefault(key, set()).add((one.port, one.protocol))
    for number in flow.ports:
        ports.setdefault((ANYWHERE, False), set()).add((number, "TCP"))
    for (ranges, of_service), numbers in ports.items():
        # A Service of the type ExternalName leads to an address. Any other name may lead to pods of this cluster.
        pods: list[Peer] = [] if of_service else [{"namespace_selector": {}}]
        rules.append({"to": [*in_ranges(ranges), *pods], "ports": _ports(numbers)})
    if tunnel and any(not of_service for _, of_service in ports):
        rules.append({"to": [{"namespace_selector": {}}], "ports": port_list(tunnel)})
    return rules


def to_targets(targets: Iterable[Targets], tunnel: Sequence[int]) -> list[EgressRule]:
    """Rules for targets that users may make Langfuse call, for example an LLM gateway."""
    rules: list[EgressRule] = []
    for one in targets:
        rules += [_to_pods(pods, tunnel) for pods in one.pods]
        listed = {pods.namespace for pods in one.pods}
        services = {namespace for host in one.hosts if (namespace := namespace_of(host))} - listed
        rules += [{"to": [in_namespace(name)]} for name in sorted(services)]
        names = [host for host in one.hosts if namespace_of(host) is None]
        if names:
            ports = one.ports or WEB_PORTS
            flow = Flow(
                purpose="", clients=(), endpoints=[Endpoint(host=name, port=p) for name in names for p in ports]
            )
            rules += to_outside(flow, tunnel)
        ranges = [*(cidr for address in one.ips for cidr in ranges_of(address)), *one.ranges]
        if ranges:
            rules.append({"to": in_ranges(ranges), **({"ports": port_list(one.ports)} if one.ports else {})})
    return rules


def configured(rule: Egress, tunnel: Sequence[int]) -> list[EgressRule]:
    """The rules of one entry of `network.egress`."""
    ports = port_list(rule.ports, rule.protocol)
    rules: list[EgressRule] = [{"to": in_ranges(rule.ranges), "ports": ports}] if rule.ranges else []
    if rule.namespace:
        rules.append({"to": [in_namespace(rule.namespace, rule.labels)], "ports": [*ports, *port_list(tunnel)]})
    return rules


def namespace_of(host: str) -> str | None:
    """The namespace of a Service, by its name in the cluster's DNS; None for other names and for addresses."""
    match = _SERVICE.fullmatch(host)
    return match["namespace"] if match else None


def ranges_of(host: str) -> tuple[str, ...]:
    """The addresses that a host may have: its own for an IP address, all for a name."""
    try:
        return (str(ipaddress.ip_network(host)),)
    except ValueError:
        return ANYWHERE


def is_the_pod_itself(host: str) -> bool:
    """Whether a host is the pod that connects to it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def in_ranges(ranges: Iterable[str]) -> list[Peer]:
    """The peers in ranges of addresses, except those where clouds serve credentials."""
    return [address_range(cidr) for cidr in ranges]


def address_range(cidr: str) -> Peer:
    """A range of addresses, except those where clouds serve credentials.

    The API refuses an exception outside of the range.
    """
    network = ipaddress.ip_network(cidr)
    holes = [str(other) for other in NEVER_CALLED if other != network and contains(network, other)]
    return {"ip_block": {"cidr": cidr, "except_": holes}} if holes else {"ip_block": {"cidr": cidr}}


def in_namespace(name: str, labels: Mapping[str, str] | None = None) -> Peer:
    """The pods of a namespace, or those with labels."""
    peer: Peer = {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}
    if labels:
        peer["pod_selector"] = {"match_labels": dict(labels)}
    return peer


def port_list(numbers: Iterable[int], protocol: str = "TCP") -> list[Port]:
    """Ports of a rule."""
    return [{"port": number, "protocol": protocol} for number in numbers]


def _ports(numbers: Iterable[tuple[int, str]]) -> list[Port]:
    return [{"port": number, "protocol": protocol} for number, protocol in sorted(numbers)]


def _to_pods(pods: TargetPods, tunnel: Sequence[int]) -> EgressRule:
    return {"to": [in_namespace(pods.namespace, pods.labels)], "ports": port_list([pods.port, *tunnel])}
