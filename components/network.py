"""Who may talk to whom inside the namespace: everything else is denied, both ways."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import clickhouse, keeper, object_store, postgres, redis
from components.environment import WEB_PORT
from components.installation import Installation, child_options
from components.settings import Network as NetworkSettings

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
Policy = k8s.networking.v1.NetworkPolicySpecArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads of the installation open to one of them."""

    server: str
    ports: Sequence[int]
    clients: Sequence[str]


FLOWS: Sequence[Flow] = (
    Flow(server="postgres", ports=[postgres.PORT], clients=["web", "worker", "migrations", "backup-postgres"]),
    Flow(server="redis", ports=[redis.PORT], clients=["web", "worker"]),
    Flow(server="clickhouse", ports=[clickhouse.HTTP_PORT], clients=["web", "worker"]),
    Flow(
        server="clickhouse",
        ports=[clickhouse.NATIVE_PORT],
        clients=["migrations", "backup-clickhouse", "clickhouse"],
    ),
    Flow(server="clickhouse", ports=[clickhouse.INTERSERVER_PORT], clients=["clickhouse"]),
    Flow(server="keeper", ports=[keeper.CLIENT_PORT], clients=["clickhouse"]),
    Flow(server="keeper", ports=[keeper.RAFT_PORT], clients=["keeper"]),
    Flow(
        server="object-store",
        ports=[object_store.PORT],
        clients=["web", "worker", "clickhouse", "object-store-provisioning", "backup-postgres"],
    ),
)

INTERNET_PORTS = (443, 465, 587)
"""HTTPS to model providers, sign-in and webhooks; mail submission with TLS (RFC 8314)."""

LINK_LOCAL = "169.254.0.0/16"
"""Holds the clouds' metadata services, which hand out credentials."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the rules need to know."""

    installation: Installation
    settings: NetworkSettings

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class Network(pulumi.ComponentResource):
    """NetworkPolicies: deny by default, then allow what is known.

    Each store says who may connect; leaving a pod is allowed towards the namespace itself, for names, and for web
    and worker to the internet. The rules are kept as long as the data that they guard.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Network", name, args.visible(), opts)
        labels = args.installation.workload("network", component="network", version="1").labels
        for role, spec in policies(args.settings).items():
            k8s.networking.v1.NetworkPolicy(
                f"langfuse-{role}",
                metadata={"name": f"langfuse-{role}", "namespace": args.installation.namespace, "labels": labels},
                spec=spec,
                opts=args.installation.stateful(child_options(self, opts)),
            )
        self.register_outputs({})


def policies(settings: NetworkSettings) -> dict[str, Policy]:
    """The NetworkPolicies by name."""
    own_namespace: Peer = {"pod_selector": {}}
    internet: Peer = {"ip_block": {"cidr": "0.0.0.0/0", "except_": [LINK_LOCAL]}}
    clients = [_namespace(name) for name in settings.web_clients]
    result: dict[str, Policy] = {
        "default-deny": {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        "to-names": {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [{"to": [_namespace("kube-system")], "ports": [*_ports([53]), *_ports([53], "UDP")]}],
        },
        "to-own-namespace": {"pod_selector": {}, "policy_types": ["Egress"], "egress": [{"to": [own_namespace]}]},
        "to-internet": {
            "pod_selector": _pods(["web", "worker"]),
            "policy_types": ["Egress"],
            "egress": [{"to": [internet], "ports": _ports(INTERNET_PORTS)}],
        },
        "into-web": {
            "pod_selector": _pods(["web"]),
            "policy_types": ["Ingress"],
            "ingress": [{"from_": clients, "ports": _ports([WEB_PORT])}],
        },
    }
    for server in sorted({flow.server for flow in FLOWS}):
        rules: list[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict] = [
            {"from_": [{"pod_selector": _pods(flow.clients)}], "ports": _ports(flow.ports)}
            for flow in FLOWS
            if flow.server == server
        ]
        if server == "object-store":
            rules.append({"from_": clients, "ports": _ports([object_store.PORT])})
        result[f"into-{server}"] = {
            "pod_selector": _pods([server]),
            "policy_types": ["Ingress"],
            "ingress": rules,
        }
    return result


def _pods(names: Sequence[str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    return {"match_expressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(names)}]}


def _namespace(name: str) -> Peer:
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}


def _ports(numbers: Sequence[int], protocol: str = "TCP") -> list[Port]:
    return [{"port": number, "protocol": protocol} for number in numbers]
