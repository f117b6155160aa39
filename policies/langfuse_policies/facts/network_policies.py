"""NetworkPolicies: the pods that they select, and the traffic that they deny and allow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.selectors import Labels, Selected, equal, labels_of, matches
from langfuse_policies.facts.workloads import Pod, pods_of

Direction = Literal["Ingress", "Egress"]

KIND = "networking.k8s.io/NetworkPolicy"

#: Policies of other kinds, which are not read: where they exist, no policy is certainly missing.
OTHER_KINDS = (
    "cilium.io/CiliumNetworkPolicy",
    "cilium.io/CiliumClusterwideNetworkPolicy",
    "projectcalico.org/NetworkPolicy",
    "projectcalico.org/GlobalNetworkPolicy",
    "crd.projectcalico.org/NetworkPolicy",
    "crd.projectcalico.org/GlobalNetworkPolicy",
    "policy.networking.k8s.io/AdminNetworkPolicy",
    "policy.networking.k8s.io/BaselineAdminNetworkPolicy",
)


@dataclass(frozen=True)
class NetworkPolicy:
    """One NetworkPolicy. Its properties are None while they are unknown."""

    resource: Resource

    def isolates(self, direction: Direction) -> bool | None:
        """Whether it denies traffic by default in this direction."""
        types = self.resource.at("spec.policyTypes")
        if types.empty:  # ingress always, egress when it has rules
            egress = self.resource.at("spec.egress")
            return True if direction == "Ingress" else egress.present if egress.known else None
        if not types.known or any(not one.known for one in types):
            return None
        return direction in types.texts

    def selects(self, labels: Labels | None) -> bool | None:
        """Whether it selects pods with these labels."""
        return matches(self.resource.at("spec.podSelector"), labels)

    @property
    def selects_all(self) -> bool | None:
        """Whether it selects every pod of its namespace."""
        return is_empty(self.resource.at("spec.podSelector"))

    def rules(self, direction: Direction) -> Field:
        """Its rules in this direction."""
        return self.resource["spec"]["ingress" if direction == "Ingress" else "egress"]


@dataclass
class Zone:
    """A namespace: its pods with their labels, its policies, its Services."""

    pods: list[tuple[Pod, Labels | None]] = field(default_factory=list)
    policies: Selected[NetworkPolicy] = field(default_factory=Selected)
    services: Selected[Resource] = field(default_factory=Selected)

    def rules_for(self, labels: Labels | None, direction: Direction) -> Iterator[tuple[NetworkPolicy, Field]]:
        """The rules that certainly or possibly allow traffic to or from such pods."""
        for policy in self.policies.candidates(labels):
            if policy.isolates(direction) is not False and policy.selects(labels) is not False:
                rules = policy.rules(direction)
                for rule in rules if rules.known else [rules]:
                    yield policy, rule

    def served(self, labels: Labels | None) -> bool:
        """Whether a Service certainly selects such pods."""
        selectors = (service.at("spec.selector") for service in self.services.candidates(labels))
        return any(not selector.empty and equal(selector, labels) is True for selector in selectors)


def zones(stack: Stack) -> dict[str, Zone]:
    """The namespaces that have pods; none while the namespace of a policy is unknown."""
    policies = list(stack.of(KIND))
    if not all(policy.metadata["namespace"].known for policy in policies):
        return {}
    found: dict[str, Zone] = {}
    for pod in pods_of(stack):
        if pod.resource.metadata["namespace"].known and not pod.resource.partial:
            found.setdefault(pod.resource.namespace, Zone()).pods.append((pod, labels_of(pod.labels)))
    for policy in policies:
        if zone := found.get(policy.namespace):
            zone.policies.add(policy.at("spec.podSelector"), NetworkPolicy(policy))
    for service in stack.of("core/Service"):
        if zone := found.get(service.namespace):
            zone.services.add(service.at("spec.selector"), service)
    return found


def is_empty(selector: Field) -> bool | None:
    """Whether a label selector matches everything."""
    parts = (selector["matchLabels"], selector["matchExpressions"])
    if any(part.present and not part.empty for part in parts):
        return False
    return True if all(part.known for part in parts) else None


def network_of(block: Field) -> IPv4Network | IPv6Network | None:
    """A block of addresses such as `10.0.0.0/8`, or None."""
    try:
        return ip_network(block.text or "", strict=False)
    except ValueError:
        return None


#: The source of the kubelet's probes in Istio's ambient mode on nodes with IPv6; for IPv4 it is link-local
#: (istio.io/latest/docs/ambient/usage/networkpolicy).
_PROBES = ip_address("fd16:9254:7127:1337:ffff:ffff:ffff:ffff")


def is_the_node(peer: Field) -> bool:
    """Whether a peer is the address of the pod's own node, which no other machine can have."""
    network = network_of(peer["ipBlock"]["cidr"])
    return network is not None and network.num_addresses == 1 and (network.is_link_local or _PROBES in network)


def ports_of(rule: Field) -> Iterator[tuple[float, float]]:
    """The numbered ports of a rule, as first and last."""
    for port in rule["ports"]:
        if (first := port["port"].number) is not None:
            last = port["endPort"].number
            yield first, first if last is None else last


def may_use(rule: Field, number: int) -> bool:
    """Whether a rule may allow a port; named and unknown ports may be any."""
    ports = rule["ports"]
    if not ports.known or ports.empty or any(port["port"].number is None for port in ports):
        return True
    return any(first <= number <= last for first, last in ports_of(rule))


def certainly_uses(rule: Field, number: int) -> bool:
    """Whether a rule certainly allows a port."""
    return rule["ports"].empty or any(first <= number <= last for first, last in ports_of(rule))
