"""Network: which connections NetworkPolicies and Services allow."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.dns_servers import DNS_SERVERS
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.network_policies import (
    KIND,
    OTHER_KINDS,
    Direction,
    NetworkPolicy,
    certainly_uses,
    is_the_node,
    may_use,
    network_of,
    ports_of,
    zones,
)
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.selectors import Labels

topic = Topic("network", title="Network", pack="security")

_DIRECTIONS: tuple[Direction, ...] = ("Ingress", "Egress")


@topic.stack(
    "default-deny",
    title="Namespaces deny traffic by default",
    why="Without a policy, every pod can reach every other pod and the internet, and so can an attacker in one of "
    "them.",
    fix="Add a NetworkPolicy with podSelector {} and policyTypes [Ingress, Egress] that allows nothing.",
    severity=Severity.HIGH,
    also_in=("CIS 5.3.2", "NSA: network separation", "CKV2_K8S_6", "C-0030", "C-0260", "Kyverno: add-networkpolicy"),
)
def default_deny(stack: Stack) -> Findings:
    if any(True for _ in stack.of(*OTHER_KINDS)):
        return
    for zone in zones(stack).values():
        for direction in _DIRECTIONS:
            if any(_denies(policy, direction) is not False for policy in zone.policies.all):
                continue
            yield finding(zone.pods[0][0].resource, f"no policy of its namespace denies {direction} by default")
        for policy in zone.policies.all:
            for direction in _DIRECTIONS:
                if policy.selects_all and policy.isolates(direction):
                    for rule in policy.rules(direction):
                        if _peers(rule, direction).empty and rule["ports"].empty:
                            yield finding(rule, f"allows all {direction}", of=policy.resource)


def _denies(policy: NetworkPolicy, direction: Direction) -> bool | None:
    verdicts = (policy.selects_all, policy.isolates(direction))
    return False if False in verdicts else None if None in verdicts else True


def _peers(rule: Field, direction: Direction) -> Field:
    return rule["from" if direction == "Ingress" else "to"]


@topic.stack(
    "pods-covered-by-policy",
    title="A network policy selects every pod",
    why="A pod that no policy selects is cut off where traffic is denied by default, and open where it is not. The "
    "usual cause is a label that was changed on one side only.",
    fix="Select the pod's labels in a NetworkPolicy that lists its clients and its destinations.",
    severity=Severity.HIGH,
    also_in=("CKV2_K8S_6", "C-0260", "KSV038", "kube-score: pod-networkpolicy", "kube-linter: non-isolated-pod"),
)
def pods_covered_by_policy(stack: Stack) -> Findings:
    if any(True for _ in stack.of(*OTHER_KINDS)):
        return
    for zone in zones(stack).values():
        if not zone.policies.all:  # default-deny says so
            continue
        for pod, labels in zone.pods:
            allowed_in = any(not _lets_in_probes_alone(rule) for _, rule in zone.rules_for(labels, "Ingress"))
            closed = any(_closes(policy, labels) for policy in zone.policies.candidates(labels))
            if not allowed_in and not closed and zone.served(labels):
                yield finding(pod, "a Service selects it, and no policy allows clients")
            elif not allowed_in and not any(True for _ in zone.rules_for(labels, "Egress")):
                yield finding(pod, "no policy allows its traffic")


def _closes(policy: NetworkPolicy, labels: Labels | None) -> bool:
    """Whether it is about these pods and lets nobody in on purpose, for example where only port-forwards are used."""
    about = policy.selects_all is False and policy.selects(labels) is True
    return about and policy.isolates("Ingress") is True and policy.resource.at("spec.ingress").empty


def _lets_in_probes_alone(rule: Field) -> bool:
    """Whether it is for the kubelet, which connects to every pod."""
    return rule["from"].size > 0 and all(map(is_the_node, rule["from"]))


_SERVERS = tuple(DNS_SERVERS.values())


class Dns(Settings):
    """The DNS servers. The defaults are those of all known kinds of clusters."""

    ports: Annotated[tuple[int, ...], Meta(description="Ports of the servers; OpenShift's pods listen on 5353.")] = (
        tuple(sorted({port for servers in _SERVERS for port in servers.ports}))
    )
    namespaces: Annotated[tuple[str, ...], Meta(description="Namespaces of servers that are pods.")] = tuple(
        sorted({name for servers in _SERVERS for name in servers.namespaces})
    )
    addresses: Annotated[
        tuple[str, ...],
        Meta(description="The addresses in the resolv.conf of pods, if they are servers on the node."),
    ] = ()

    def __post_init__(self) -> None:
        """Refuses a text that is not an address: msgspec reports it as an error of the settings."""
        for address in self.addresses:
            ip_address(address)


@topic.stack(
    "dns-egress-allowed",
    title="Pods that connect to others may use DNS",
    why="Where egress is denied and port 53 is not allowed, every connection fails with a misleading error.",
    fix="Allow egress to the cluster's DNS on UDP and TCP port 53 (5353 on OpenShift), and to servers on the node, "
    "such as NodeLocal DNSCache (169.254.20.10) and GKE's Cloud DNS (169.254.169.254). If your cluster has other "
    "servers, name them in this policy's settings.",
    severity=Severity.HIGH,
    also_in=("Kyverno: add-networkpolicy-dns",),
    settings=Dns,
)
def dns_egress_allowed(stack: Stack, settings: Dns) -> Findings:
    if any(True for _ in stack.of(*OTHER_KINDS)):
        return
    for zone in zones(stack).values():
        for pod, labels in zone.pods:
            found = [rule for _, rule in zone.rules_for(labels, "Egress")]
            rules = [rule for rule in found if any(may_use(rule, port) for port in settings.ports)]
            if found and not any(_may_reach(rule, settings.namespaces) for rule in rules):
                yield finding(pod, "may connect to others, but no policy allows DNS")
            for address in settings.addresses if found else ():
                if not any(_may_reach_address(rule, address) for rule in rules):
                    yield finding(pod, f"may connect to others, but no policy allows the DNS server {address}")


def _may_reach(rule: Field, namespaces: Sequence[str]) -> bool:
    """Whether it may allow a DNS server: pods of one of these namespaces, or an address."""
    to = rule["to"]
    return to.empty or not to.known or any(_may_serve(peer, namespaces) for peer in to)


def _may_serve(peer: Field, namespaces: Sequence[str]) -> bool:
    """Whether a peer may be a DNS server. Pods of the same namespace are none."""
    if peer["namespaceSelector"].absent:
        return peer["ipBlock"].present or not peer["ipBlock"].known
    of_name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    return not (of_name.present and of_name.differs(*namespaces))


def _may_reach_address(rule: Field, address: str) -> bool:
    to = rule["to"]
    cidrs = [peer["ipBlock"]["cidr"] for peer in to if not peer["ipBlock"].absent]
    networks = [network_of(cidr) for cidr in cidrs if cidr.known]
    unknown = not to.known or len(networks) < len(cidrs)
    return unknown or to.empty or any(ip_address(address) in network for network in networks if network)


class Metadata(Settings):
    """Metadata services of clouds, which return credentials of the machine."""

    addresses: Annotated[tuple[str, ...], Meta(description="Addresses of metadata services.")] = (
        "169.254.169.254",
        "fd00:ec2::254",
    )

    def __post_init__(self) -> None:
        """Refuses a text that is not an address: msgspec reports it as an error of the settings."""
        for address in self.addresses:
            ip_address(address)


@topic.resources(
    "no-egress-to-metadata",
    KIND,
    title="Pods can't reach the cloud's metadata service",
    why="The service returns the node's credentials to every client, so a forged request in an application can "
    "become access to the cloud account.",
    fix="Add 169.254.0.0/16 to the block's except.",
    severity=Severity.HIGH,
    also_in=("C-0052", "NSA: network separation"),
    settings=Metadata,
)
def no_egress_to_metadata(policy: Resource, settings: Metadata) -> Findings:
    for rule in _egress(policy):
        for peer in rule["to"]:
            block = peer["ipBlock"]
            network, holes = network_of(block["cidr"]), [network_of(hole) for hole in block["except"]]
            if network is None or not certainly_uses(rule, 80):  # metadata services speak plain HTTP
                continue
            certain = block["except"].known and all(hole.known for hole in block["except"])
            if certain and any(
                address in network and not any(hole and address in hole for hole in holes)
                for address in map(ip_address, settings.addresses)
            ):
                yield finding(block, "contains the metadata service")


@topic.resources(
    "egress-to-named-destinations",
    KIND,
    title="Egress rules name their destinations",
    why="A rule without destinations allows connections to everything, inside and outside the cluster.",
    fix="List pods, namespaces or address blocks in `to`.",
    severity=Severity.HIGH,
    also_in=("NSA: network separation",),
    settings=Dns,
)
def egress_to_named_destinations(policy: Resource, settings: Dns) -> Findings:
    for rule in _egress(policy):
        ports = list(ports_of(rule))
        only_names = bool(ports) and all(first == last and first in settings.ports for first, last in ports)
        if rule["to"].empty and not only_names and all(port["port"].known for port in rule["ports"]):
            yield finding(rule, "allows every destination")


class InternetPorts(Settings):
    """How many ports to the internet are allowed."""

    most: Annotated[int, Meta(ge=1, description="Maximum ports that one rule may open to the internet.")] = 16


@topic.resources(
    "internet-by-port",
    KIND,
    title="Egress to the internet is limited to listed ports",
    why="With all ports open, data can leave by any protocol, such as mail, shells or tunnels.",
    fix="List the ports, usually 443.",
    severity=Severity.HIGH,
    also_in=("NSA: network separation",),
    settings=InternetPorts,
)
def internet_by_port(policy: Resource, settings: InternetPorts) -> Findings:
    for rule in _egress(policy):
        for peer in rule["to"]:
            if not _is_internet(peer.at("ipBlock.cidr")):
                continue
            if rule["ports"].empty:
                yield finding(rule, "opens every port to the internet")
            elif sum(last - first + 1 for first, last in ports_of(rule)) > settings.most:
                yield finding(rule["ports"], f"opens more than {settings.most} ports to the internet")


def _is_internet(block: Field) -> bool:
    """Whether it is a public block with more addresses than one owner has."""
    network = network_of(block)
    return network is not None and network.prefixlen < 8 and not network.is_private  # noqa: PLR2004


def _egress(policy: Resource) -> list[Field]:
    return list(policy.at("spec.egress")) if NetworkPolicy(policy).isolates("Egress") else []


@topic.resources(
    "services-inside-the-cluster",
    "core/Service",
    title="Services are of type ClusterIP",
    why="NodePort and LoadBalancer open a port on the network of the nodes or on the internet, and bypass gateway, "
    "TLS and sign-in.",
    fix="Use ClusterIP, and route through the gateway.",
    severity=Severity.HIGH,
    also_in=("NSA: network separation", "KSV108", "kube-linter: exposed-services", "Gatekeeper: k8sblocknodeport"),
)
def services_inside_the_cluster(service: Resource) -> Findings:
    if (kind := service.at("spec.type")).equals("NodePort", "LoadBalancer"):
        yield finding(kind, "opens a port outside the cluster")


@topic.resources(
    "no-external-ips",
    "core/Service",
    title="No Service sets externalIPs",
    why="A Service with externalIPs receives the traffic to any address that it names, even one that belongs to "
    "someone else (CVE-2020-8554).",
    fix="Remove spec.externalIPs.",
    severity=Severity.HIGH,
    also_in=("Gatekeeper: k8sexternalips", "Kyverno: restrict-service-external-ips", "KSV108"),
)
def no_external_ips(service: Resource) -> Findings:
    if (addresses := service.at("spec.externalIPs")).size:
        yield finding(addresses, "receives the traffic to these addresses")
