"""NetworkPolicies: the connections that pods of the namespace may open and accept. Everything else is denied."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from components.application.outbound import allowed_targets
from components.application.own_metrics import scrapes
from components.kubernetes.installation import Installation
from components.kubernetes.objects import Scope, child_options, custom_resource
from components.network import egress
from components.network.egress import port_list
from components.network.flows import flows, public_ports
from components.network.ingress.certificates import SOLVER_LABELS, SOLVER_PORT
from components.network.ingress.component import ingress_kind
from components.network.mesh_policies import mesh_policies, tunnel_ports
from components.schema.cluster import ApiServer, Dns
from components.schema.environment import Settings
from components.stores.contract import APPLICATION, Flow, OperatorPods
from components.stores.modes import StoreModes

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
Policy = k8s.networking.v1.NetworkPolicySpecArgsDict
EgressRule = k8s.networking.v1.NetworkPolicyEgressRuleArgsDict
IngressRule = k8s.networking.v1.NetworkPolicyIngressRuleArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict


DEFAULT_DENY = "default-deny"

IPV6 = "-ipv6"
"""The end of the name of a policy with ranges of IPv6 alone."""

DNS_PORT = 53

INTERNET_PORTS = (443, 465, 587)
"""HTTPS to model providers, sign-in and webhooks; mail submission with TLS (RFC 8314)."""

POD_IDENTITY = ("169.254.170.23/32", "fd00:ec2::23/128")
"""Where EKS issues keys for a pod's identity (docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html). A pod
gets its own keys there, unlike from the metadata service of the node."""


class Network(pulumi.ComponentResource):
    """NetworkPolicies: one denies everything by default, and each of the others allows something.

    Each store accepts connections from its clients. Every pod may connect to pods of the namespace and to DNS servers;
    web and worker also to the internet. No policy is protected or retained: a policy that the program no longer has is
    deleted.
    """

    default_deny: pulumi.Resource
    """Pods depend on it, so it is created before the first of them and deleted after the last."""

    def __init__(
        self,
        name: str,
        installation: Installation,
        settings: Settings,
        stores: StoreModes,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("langfuse:index:Network", name, settings.network.model_dump(), opts)
        workload = installation.workload("network", component="network")
        child = child_options(self, opts)
        created: dict[str, pulumi.Resource] = {}
        found = policies(settings, stores)
        for role in sorted(found, key=lambda role: not role.endswith(IPV6)):  # first: see `by_ip_version`
            twin = created.get(f"{role}{IPV6}")
            created[role] = k8s.networking.v1.NetworkPolicy(
                f"langfuse-{role}",
                metadata=workload.metadata(f"langfuse-{role}"),
                spec=found[role],
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[twin] if twin else [])),
            )
        if settings.cluster.api_server.cilium:
            for pods in stores.operator_pods:
                scope, spec = Scope(workload, child), cilium_policy(pods)
                custom_resource(
                    scope, "cilium.io/v2", "CiliumNetworkPolicy", spec, name=f"langfuse-allow-{pods.name}-api-server"
                )
        self.default_deny = created[DEFAULT_DENY]
        self.register_outputs({})


def policies(settings: Settings, stores: StoreModes) -> dict[str, Policy]:
    """The NetworkPolicies by name."""
    tunnel, found = tunnel_ports(settings), flows(settings, stores)
    every: dict[str, Policy] = {
        **mesh_policies(settings),
        DEFAULT_DENY: {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        **_common_egress(settings, tunnel),
        **_operator_pods(settings, stores, found),
        **_identity_egress(settings, stores),
        **_outside(found, tunnel),
        **_configured_egress(settings, stores, tunnel),
        **_servers(settings, stores, found, tunnel),
        **_certificate_challenges(settings, tunnel),
    }
    return {role: spec for name, one in every.items() for role, spec in by_ip_version(name, one).items()}


def by_ip_version(name: str, policy: Policy) -> dict[str, Policy]:
    """A policy without the ranges of IPv6, and one with these alone, if there are both.

    Azure's Network Policy Manager drops a whole policy that has a range of IPv6, without an error
    (Azure/azure-container-networking#1738, #4867), and would leave the pods cut off. The second policy is created
    first, so that an update closes nothing in between.
    """
    first, second = (_only(policy, version) for version in (4, 6))
    if second is None:
        return {name: policy}
    return {name: second} if first is None else {name: first, f"{name}{IPV6}": second}


def _only(policy: Policy, version: int) -> Policy | None:
    """The policy with its rules for one version of IP, that for 4 with everything else; None if no rule is left."""
    result, before, after = dict(policy), 0, 0
    for direction, peers in (("egress", "to"), ("ingress", "from_")):
        rules = cast("list[dict[str, Any]]", policy.get(direction, []))
        kept = []
        for rule in rules:
            if peers not in rule:
                kept += [rule] if version == 4 else []  # noqa: PLR2004  # of IP
                continue
            own = [peer for peer in rule[peers] if _version(peer) == version]
            kept += [{**rule, peers: own}] if own else []
        before, after = before + len(rules), after + len(kept)
        if direction in policy:
            result[direction] = kept
    if after == 0 and (before or version != 4):  # noqa: PLR2004  # of IP
        return None
    return cast("Policy", result)


def _version(peer: Mapping[str, Any]) -> int:
    """The version of IP of a peer that is a range; 4 for all others."""
    return ipaddress.ip_network(peer["ip_block"]["cidr"]).version if "ip_block" in peer else 4


def cilium_policy(pods: OperatorPods) -> dict[str, object]:
    """Egress to the API server for a plugin that matches no node by its address (cilium/cilium#20550)."""
    return {
        "endpointSelector": {"matchLabels": {**pods.selector}},
        "egress": [{"toEntities": ["kube-apiserver"]}],
    }


def _common_egress(settings: Settings, tunnel: Sequence[int]) -> dict[str, Policy]:
    """DNS and pods of the namespace for every pod; the internet and configured targets for the application."""
    own_namespace: Peer = {"pod_selector": {}}
    application = _pods(settings.members(APPLICATION))
    targets = egress.to_targets(allowed_targets(settings), tunnel)
    return {
        "allow-dns-egress": _egress({}, _to_dns(settings.cluster.dns)),
        "allow-namespace-egress": _egress({}, [{"to": [own_namespace]}]),
        "allow-internet-egress": _egress(application, _to(settings.network.internet, INTERNET_PORTS)),
        **({"allow-targets-egress": _egress(application, targets)} if targets else {}),
    }


def _identity_egress(settings: Settings, stores: StoreModes) -> dict[str, Policy]:
    if not stores.object_store.uses_identity:
        return {}
    return {
        "allow-pod-identity-egress": _egress(_pods(settings.members(stores.object_store.clients)), [_to_pod_identity()])
    }


def _outside(found: Sequence[Flow], tunnel: Sequence[int]) -> dict[str, Policy]:
    """Egress to addresses outside that the configuration names."""
    return {
        f"allow-{flow.purpose}-egress": _egress(_pods(flow.clients), egress.to_outside(flow, tunnel))
        for flow in found
        if flow.server is None
    }


def _configured_egress(settings: Settings, stores: StoreModes, tunnel: Sequence[int]) -> dict[str, Policy]:
    """The entries of `network.egress`. Pods that an operator creates have labels of their own."""
    result: dict[str, Policy] = {}
    for rule in settings.network.egress:
        rules = egress.configured(rule, tunnel)
        result[f"egress-{rule.name}"] = _egress(_pods(settings.members(rule.workloads)), rules)
        for pods in stores.operator_pods:
            if pods.name in rule.workloads:
                result[f"egress-{rule.name}-{pods.name}"] = _egress(_labels(pods.selector), rules)
    return result


def _servers(settings: Settings, stores: StoreModes, found: Sequence[Flow], tunnel: Sequence[int]) -> dict[str, Policy]:
    """Ingress of each server that this stack runs: from its clients, and through the public route."""
    rules: dict[str, list[IngressRule]] = {}
    for flow in found:
        if flow.server:
            ports = port_list([*flow.ports, *tunnel] if flow.protocol == "TCP" else flow.ports, flow.protocol)
            rule: IngressRule = {"from_": _clients(flow, stores), "ports": ports}
            rules.setdefault(flow.server, []).append(rule)
    for server, port in public_ports(settings, stores).items():
        rules.setdefault(server, []).extend(_from(_web_clients(settings), [port, *tunnel]))
    for scrape in scrapes(settings, stores):
        if scrape.labels is None:
            rules.setdefault(scrape.server, []).extend(_from(_prometheus(settings), [scrape.port, *tunnel]))
    return {f"allow-{server}-ingress": _ingress(_pods([server]), own) for server, own in rules.items()}


def _certificate_challenges(settings: Settings, tunnel: Sequence[int]) -> dict[str, Policy]:
    """Ingress of the pods in which cert-manager answers challenges: through the public route."""
    if not ingress_kind(settings).answers_challenges:
        return {}
    rules = _from(_proxy(settings), [SOLVER_PORT, *tunnel])
    return {"allow-certificate-challenges-ingress": _ingress(_labels(SOLVER_LABELS), rules)}


def _operator_pods(settings: Settings, stores: StoreModes, found: Sequence[Flow]) -> dict[str, Policy]:
    """Ingress and egress of pods that an operator creates: servers, and Jobs that create or restore one.

    They connect to each other, to the API server and to the archive; clients and the operator connect to them
    (cloudnative-pg.io/documentation/current/networking). Every pod may connect to pods of the namespace and to DNS
    servers.
    """
    rules = _to_api_server(settings.cluster.api_server)
    for flow in found:
        if flow.server is None and flow.from_operator_pods:
            rules += egress.to_outside(flow, [])
    if stores.object_store.uses_identity:
        rules.append(_to_pod_identity())
    result: dict[str, Policy] = {}
    for pods in stores.operator_pods:
        selector = _labels(pods.selector)
        ingress: list[IngressRule] = [
            {"from_": [{"pod_selector": _pods(settings.members(pods.clients))}], "ports": port_list([pods.port])},
            {
                "from_": [{"pod_selector": selector}, egress.in_namespace(pods.namespace)],
                "ports": port_list([pods.port, pods.status_port]),
            },
        ]
        for scrape in scrapes(settings, stores):
            if scrape.server == pods.name:
                ingress += _from(_prometheus(settings), [scrape.port])
        result[f"allow-{pods.name}-ingress"] = _ingress(selector, ingress)
        result[f"allow-{pods.name}-egress"] = _egress(selector, rules)
    return result


def _ingress(pods: k8s.meta.v1.LabelSelectorArgsDict, rules: Sequence[IngressRule]) -> Policy:
    return {"pod_selector": pods, "policy_types": ["Ingress"], "ingress": list(rules)}


def _egress(pods: k8s.meta.v1.LabelSelectorArgsDict, rules: Sequence[EgressRule]) -> Policy:
    return {"pod_selector": pods, "policy_types": ["Egress"], "egress": list(rules)}


def _web_clients(settings: Settings) -> list[Peer]:
    """The namespaces of SDK clients, and what forwards requests from outside."""
    clients = [egress.in_namespace(name) for name in settings.client_namespaces]
    return [*clients, *(peer for peer in _proxy(settings) if peer not in clients)]


def _prometheus(settings: Settings) -> list[Peer]:
    """The pods that read metrics."""
    if settings.monitoring is None:
        return []
    prometheus = settings.monitoring.prometheus
    return [egress.in_namespace(prometheus.namespace, prometheus.labels)]


def _proxy(settings: Settings) -> list[Peer]:
    """What forwards requests from outside."""
    entrance = ingress_kind(settings).entrance()
    if entrance is None:
        return []
    pods = [egress.in_namespace(entrance.namespace, entrance.labels or None)] if entrance.namespace else []
    return [*pods, *egress.in_ranges(entrance.ranges)]


def _to_api_server(server: ApiServer) -> list[EgressRule]:
    """Egress to the API server: by addresses, and to pods for a plugin that sees it as one."""
    servers = [*egress.in_ranges(server.ranges), *map(egress.in_namespace, server.namespaces)]
    return [{"to": servers, "ports": port_list(server.ports)}] if servers else []


def _to_dns(dns: Dns) -> list[EgressRule]:
    """Egress to the DNS servers, and to no other address at their ports.

    Those at an address of their own are reached at the port that no resolv.conf can change. At other ports, such an
    address may serve something else, for example credentials at that of Cloud DNS for GKE.
    """
    pods = [egress.in_namespace(name) for name in dns.namespaces]
    by_peers = ((pods, dns.ports), (egress.in_ranges(dns.ranges), [DNS_PORT]))
    return [{"to": peers, "ports": [*port_list(ports), *port_list(ports, "UDP")]} for peers, ports in by_peers if peers]


def _to_pod_identity() -> EgressRule:
    return {"to": egress.in_ranges(POD_IDENTITY), "ports": port_list([80])}


def _clients(flow: Flow, stores: StoreModes) -> list[Peer]:
    """The pods that open the connections."""
    peers: list[Peer] = [{"pod_selector": _pods(flow.clients)}] if flow.clients else []
    peers += [egress.in_namespace(name, labels) for name, labels in flow.operators.items()]
    if flow.from_operator_pods:
        peers += [{"pod_selector": _labels(pods.selector)} for pods in stores.operator_pods]
    return peers


def _from(peers: Sequence[Peer], ports: Sequence[int]) -> list[IngressRule]:
    """A rule for peers, if there are any. A rule without peers would allow everyone."""
    return [{"from_": list(peers), "ports": port_list(ports)}] if peers else []


def _to(ranges: Sequence[str], ports: Sequence[int]) -> list[EgressRule]:
    """A rule for ranges, if there are any. A rule without ranges would allow every address."""
    return [{"to": egress.in_ranges(ranges), "ports": port_list(ports)}] if ranges else []


def _labels(labels: Mapping[str, str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    return {"match_labels": dict(labels)}


def _pods(names: Sequence[str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    return {"match_expressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(names)}]}
