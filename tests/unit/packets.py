"""The pods of a recorded stack, and the connections that its NetworkPolicies and Istio policies allow.

The evaluator of the real node (`sandbox.node.policy_rules`) says what NetworkPolicies mean. This module adds what they
don't know: names of Services, pods of other namespaces, and the mesh (istio.io/latest/docs/reference/config/security).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from components.network.mesh_policies import TUNNEL_PORT
from components.schema.selectors import selects
from sandbox.node.policy_rules import Rules, rules
from tests.unit.recorder import Recording
from tests.unit.sandbox import connections

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
    volumes: tuple[Spec, ...] = field(default=(), repr=False)

    @property
    def ports(self) -> set[int]:
        """The ports where its containers listen."""
        return {port["containerPort"] for container in self.containers for port in container.get("ports", [])}


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
        self.policies = {item.name: item.inputs["spec"] for item in recording.of("NetworkPolicy")}
        self._namespaces = {item.name: item.inputs["metadata"]["namespace"] for item in recording.of("NetworkPolicy")}
        self.pods = {pod.name: pod for pod in self._pods()}
        self._known: list[Pod] = [*self.pods.values()]
        self._rules: Rules | None = None

    def servers(self, host: str, port: int) -> list[tuple[Pod, int]] | None:
        """The pods behind the host name of a Service or of a pod, with their port; None if the stack has no such name.

        Args:
            host: The name in the cluster's DNS, from within the namespace.
            port: The port of the Service.
        """
        labels = host.removesuffix(".cluster.local").removesuffix(".svc").split(".")
        if len(labels) > 1 and labels[-1] == self.namespace:
            del labels[-1]
        for cluster in self.recording.of("Cluster"):  # Services that the operator creates
            if labels[-1] in {f"{cluster.name}-{role}" for role in ("rw", "ro", "r")}:
                return [(pod, port) for pod in self.pods.values() if CNPG_LABEL in pod.labels]
        if labels[-1] not in self.services:
            return None
        spec = self.services[labels[-1]]
        targets = {one["port"]: one.get("targetPort", one["port"]) for one in spec["ports"]}
        found = [pod for pod in self.pods.values() if spec["selector"].items() <= pod.labels.items()]
        return [(pod, port if spec.get("clusterIP") == "None" else targets.get(port, port)) for pod in found]

    @cached_property
    def services(self) -> Mapping[str, Spec]:
        """The specifications of the Services by name."""
        return {item.inputs["metadata"]["name"]: item.inputs["spec"] for item in self.recording.of("Service")}

    def refusal(self, client: Peer, server: Peer, port: int, protocol: str = "TCP") -> str | None:
        """What refuses a connection; None if it is allowed."""
        meshed = isinstance(client, Pod) and isinstance(server, Pod) and client.meshed and server.meshed
        meshed = meshed and protocol == "TCP"  # a mesh does not know UDP
        own = isinstance(server, Pod) and not server.namespace
        for number in {port, TUNNEL_PORT} if meshed and own and self.is_ambient else {port}:
            if reason := self._refusal(client, server, number, protocol):
                return reason
        if isinstance(server, Pod) and not server.namespace and server.meshed and protocol == "TCP":
            return None if self._mesh_allows(client, server, port) else "the mesh"
        return None

    def _refusal(self, client: Peer, server: Peer, port: int, protocol: str) -> str | None:
        source, destination = self._address(client), self._address(server, as_server=True)
        direction = connections.refusing(self._compiled(), source, destination, port, protocol)
        return {"Egress": "the client's egress", "Ingress": "the server's ingress", None: None}[direction]

    def _address(self, peer: Peer, *, as_server: bool = False) -> str:
        """The address of a peer. A pod has two: that of the server is another pod of the same workload."""
        if isinstance(peer, Address):
            return peer.ip
        if peer not in self._known:
            self._known.append(peer)
            self._rules = None
        return f"10.244.0.{2 * self._known.index(peer) + 2 + as_server}"

    def _compiled(self) -> Rules:
        """The rules of the NetworkPolicies for the known pods."""
        if self._rules is None:
            namespaces = {self.namespace, *(pod.namespace for pod in self._known if pod.namespace)}
            self._rules = rules(
                [
                    connections.pod(address, address, pod.labels, within=pod.namespace or self.namespace)
                    for pod in self._known
                    for address in (self._address(pod), self._address(pod, as_server=True))
                ],
                [connections.namespace(name) for name in namespaces],
                [
                    {"metadata": {"name": name, "namespace": self._namespaces[name]}, "spec": spec}
                    for name, spec in self.policies.items()
                ],
            )
        return self._rules

    @cached_property
    def is_ambient(self) -> bool:
        """Whether connections within the mesh arrive at the port of the tunnel."""
        labels = [item.inputs["metadata"]["labels"] for item in self.recording.of("Namespace") if item.custom]
        return any(one.get("istio.io/dataplane-mode") == "ambient" for one in labels)

    def _mesh_allows(self, client: Peer, server: Pod, port: int) -> bool:
        if not self.recording.of("PeerAuthentication"):
            return True
        meshed = isinstance(client, Pod) and client.meshed
        strict = True
        for item in self.recording.of("PeerAuthentication"):
            spec = item.inputs["spec"]
            if "selector" in spec and selects(spec["selector"], server.labels):
                strict = spec.get("portLevelMtls", {}).get(str(port), spec["mtls"])["mode"] == "STRICT"
        if strict and not meshed:
            return False
        return any(
            self._rule_allows(rule, client, port, meshed=meshed)
            for item in self.recording.of("AuthorizationPolicy")
            if selects(item.inputs["spec"].get("selector", {}), server.labels)
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
                    volumes=(*template["spec"].get("volumes", []),),
                )
        for item in self.recording.of("Cluster"):
            own = {CNPG_LABEL: item.inputs["metadata"]["name"], "app.kubernetes.io/name": "postgresql"}
            inherited = item.inputs["spec"]["inheritedMetadata"]["labels"]
            outside = inherited.get("istio.io/dataplane-mode") == "none"
            for role in ("instance", "join"):  # servers, and the Jobs that create a replica
                labels = {**inherited, **own, "cnpg.io/podRole": role}
                yield Pod(f"{item.name}-{role}", labels, account=item.name, meshed=not outside)
