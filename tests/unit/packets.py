"""Evaluates the NetworkPolicies and Istio policies of a recorded stack, as their documentation defines them.

kubernetes.io/docs/concepts/services-networking/network-policies; istio.io/latest/docs/reference/config/security.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.recorder import Recording

Spec = Mapping[str, Any]

CNPG_LABEL = "cnpg.io/cluster"


@dataclass(frozen=True)
class Pod:
    """A pod. Without a namespace, it is in the namespace of the stack."""

    name: str
    labels: Mapping[str, str]
    namespace: str = ""
    account: str = ""
    meshed: bool = True
    containers: tuple[Spec, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Address:
    """A peer that is not a pod."""

    ip: str


Peer = Pod | Address


class Network:
    """The pods of a stack and the connections that its policies allow."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.namespace: str = recording.one("Langfuse").inputs["namespace"]
        self.policies = [item.inputs["spec"] for item in recording.of("NetworkPolicy")]
        self.pods = {pod.name: pod for pod in self._pods()}

    def servers(self, host: str) -> list[Pod] | None:
        """The pods behind the host name of a Service or of a pod; None if the stack has no such name."""
        labels = host.removesuffix(".cluster.local").removesuffix(".svc").split(".")
        if len(labels) > 1 and labels[-1] == self.namespace:
            del labels[-1]
        for cluster in self.recording.of("Cluster"):  # Services that the operator creates
            if labels[-1] in {f"{cluster.name}-{role}" for role in ("rw", "ro", "r")}:
                return [pod for pod in self.pods.values() if CNPG_LABEL in pod.labels]
        services = {item.inputs["metadata"]["name"]: item.inputs["spec"] for item in self.recording.of("Service")}
        if labels[-1] not in services:
            return None
        selector = services[labels[-1]]["selector"]
        return [pod for pod in self.pods.values() if selector.items() <= pod.labels.items()]

    def refusal(self, client: Peer, server: Peer, port: int, protocol: str = "TCP") -> str | None:
        """The policies that refuse a connection; None if it is allowed."""
        if (
            isinstance(client, Pod)
            and not client.namespace
            and not self._allows("Egress", client, server, port, protocol)
        ):
            return "the client's egress"
        if isinstance(server, Pod) and not server.namespace:
            if not self._allows("Ingress", server, client, port, protocol):
                return "the server's ingress"
            if server.meshed and not self._mesh_allows(client, server, port):
                return "the mesh"
        return None

    def _allows(self, direction: str, pod: Pod, other: Peer, port: int, protocol: str) -> bool:
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        selecting = [spec for spec in self.policies if direction in spec["policyTypes"]]
        selecting = [spec for spec in selecting if _selects(spec["podSelector"], pod.labels)]
        rules = [rule for spec in selecting for rule in spec.get(key, []) if _has_port(rule, port, protocol)]
        return not selecting or any(
            not rule.get(peers) or any(self._matches(peer, other) for peer in rule[peers]) for rule in rules
        )

    def _matches(self, peer: Spec, other: Peer) -> bool:
        if isinstance(other, Address):
            block: Spec = peer.get("ipBlock") or {"cidr": "255.255.255.255/32"}
            return _contains(other.ip, block["cidr"]) and not any(
                _contains(other.ip, hole) for hole in block.get("except", [])
            )
        if "ipBlock" in peer:  # ipBlock is for addresses outside the cluster; for pods it is not reliable
            return False
        if "namespaceSelector" in peer:
            labels = {"kubernetes.io/metadata.name": other.namespace or self.namespace}
            if not _selects(peer["namespaceSelector"], labels):
                return False
        elif other.namespace:
            return False
        return _selects(peer.get("podSelector", {}), other.labels)

    def _mesh_allows(self, client: Peer, server: Pod, port: int) -> bool:
        if not self.recording.of("PeerAuthentication"):
            return True
        meshed = isinstance(client, Pod) and client.meshed
        strict = True
        for item in self.recording.of("PeerAuthentication"):
            spec = item.inputs["spec"]
            if "selector" in spec and _selects(spec["selector"], server.labels):
                strict = spec.get("portLevelMtls", {}).get(str(port), spec["mtls"])["mode"] == "STRICT"
        if strict and not meshed:
            return False
        return any(
            self._rule_allows(rule, client, port, meshed=meshed)
            for item in self.recording.of("AuthorizationPolicy")
            if _selects(item.inputs["spec"].get("selector", {}), server.labels)
            for rule in item.inputs["spec"].get("rules", [])
        )

    def _rule_allows(self, rule: Spec, client: Peer, port: int, *, meshed: bool) -> bool:
        if not any(str(port) in to["operation"]["ports"] for to in rule["to"]):
            return False
        if "from" not in rule:
            return True
        if not meshed or isinstance(client, Address):
            return False
        namespace = client.namespace or self.namespace
        principal = f"cluster.local/ns/{namespace}/sa/{client.account}"
        return any(
            principal in one["source"].get("principals", []) or namespace in one["source"].get("namespaces", [])
            for one in rule["from"]
        )

    def _pods(self) -> Iterator[Pod]:
        for kind in ("Deployment", "StatefulSet", "Job", "CronJob"):
            for item in self.recording.of(kind):
                spec = item.inputs["spec"]
                template = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]
                yield Pod(
                    item.name,
                    template["metadata"]["labels"],
                    account=template["spec"]["serviceAccountName"],
                    containers=(*template["spec"].get("initContainers", []), *template["spec"]["containers"]),
                )
        for item in self.recording.of("Cluster"):
            own = {CNPG_LABEL: item.inputs["metadata"]["name"], "app.kubernetes.io/name": "postgresql"}
            inherited = item.inputs["spec"]["inheritedMetadata"]["labels"]
            outside = inherited.get("istio.io/dataplane-mode") == "none"
            for role in ("instance", "join"):  # servers, and the Jobs that create a replica
                labels = {**inherited, **own, "cnpg.io/podRole": role}
                yield Pod(f"{item.name}-{role}", labels, account=item.name, meshed=not outside)


def _contains(ip: str, block: str) -> bool:
    address, network = ipaddress.ip_address(ip), ipaddress.ip_network(block)
    return network.version == address.version and address in network


def _has_port(rule: Spec, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(it.get("port") in {None, port} and it.get("protocol", "TCP") == protocol for it in ports)


def _selects(selector: Spec, labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
