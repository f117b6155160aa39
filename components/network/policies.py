"""NetworkPolicies: which connections pods of the namespace may open and accept. Everything else is denied."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.application.environment import WEB_PORT
from components.application.outbound import target_rules
from components.backups import off_site
from components.kubernetes.installation import Installation, child_options
from components.network.flows import CLOUDNATIVE_PG, Flow, flows
from components.network.mesh_policies import mesh_policies, tunnel_ports
from components.schema.application import Dns
from components.schema.environment import Settings
from components.schema.stores import CloudNativePgPostgres, ExternalObjectStore
from components.schema.values import LINK_LOCAL
from components.stores.object_store import minio
from components.stores.postgres import cloudnative_pg
from components.stores.postgres import server as postgres_server

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
Policy = k8s.networking.v1.NetworkPolicySpecArgsDict
EgressRule = k8s.networking.v1.NetworkPolicyEgressRuleArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict


DEFAULT_DENY = "default-deny"

INTERNET_PORTS = (443, 465, 587)
"""HTTPS to model providers, sign-in and webhooks; mail submission with TLS (RFC 8314)."""

API_SERVER_PORTS = (443, 6443)
"""Of its Service, and of the server itself."""

POD_IDENTITY = "169.254.170.23/32"
"""Where EKS hands out keys for a pod's identity (docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html): to
the asking pod its own, unlike the metadata service of the node."""

OPERATED: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": {cloudnative_pg.CLUSTER_LABEL: "langfuse-postgres"}}
"""Selects the pods that CloudNativePG creates, for servers and for Jobs. They have none of the program's labels."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the rules need to know."""

    installation: Installation
    settings: Settings

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.network.model_dump()


class Network(pulumi.ComponentResource):
    """NetworkPolicies: one denies everything by default, each of the others allows something.

    Each store accepts connections of its clients. Every pod may connect to pods of the namespace and to DNS servers,
    web and worker also to the internet. No policy is protected or retained: one that the program no longer has is
    deleted.
    """

    default_deny: pulumi.Resource
    """Pods depend on it: it is created before the first of them and deleted after the last."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Network", name, args.visible(), opts)
        labels = args.installation.workload("network", component="network", version="1").labels
        child = child_options(self, opts)
        former = former_names(args.settings)
        made = {
            role: k8s.networking.v1.NetworkPolicy(
                f"langfuse-{role}",
                metadata={"name": f"langfuse-{role}", "namespace": args.installation.namespace, "labels": labels},
                spec=spec,
                opts=_renamed(child, former[role]) if role in former else child,
            )
            for role, spec in policies(args.settings).items()
        }
        self.default_deny = made[DEFAULT_DENY]
        self.register_outputs({})


def _renamed(opts: pulumi.ResourceOptions, former: str) -> pulumi.ResourceOptions:
    own = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"langfuse-{former}")], ignore_changes=["metadata.name"])
    return pulumi.ResourceOptions.merge(opts, own)


def policies(settings: Settings) -> dict[str, Policy]:
    """The NetworkPolicies by name."""
    found = list(flows(settings))
    own_namespace: Peer = {"pod_selector": {}}
    clients = [_namespace(name) for name in settings.network.web_clients]
    tunnel = tunnel_ports(settings)
    result: dict[str, Policy] = {
        **mesh_policies(settings),
        DEFAULT_DENY: {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        "to-names": {"pod_selector": {}, "policy_types": ["Egress"], "egress": _to_names(settings.network.dns)},
        "to-own-namespace": {"pod_selector": {}, "policy_types": ["Egress"], "egress": [{"to": [own_namespace]}]},
        "to-internet": {
            "pod_selector": _pods(["web", "worker"]),
            "policy_types": ["Egress"],
            "egress": _to(settings.network.internet, INTERNET_PORTS),
        },
        "into-web": {
            "pod_selector": _pods(["web"]),
            "policy_types": ["Ingress"],
            "ingress": _from(clients, [WEB_PORT, *tunnel]),
        },
    }
    if targets := target_rules(settings.allowed_targets, tunnel):
        result["to-targets"] = {
            "pod_selector": _pods(["web", "worker"]),
            "policy_types": ["Egress"],
            "egress": targets,
        }
    if isinstance(settings.postgres, CloudNativePgPostgres):
        result |= _cloudnative_pg(settings, ["web", "worker", "first-start", "migrations", "backup-postgres"])
    if _by_identity(settings):
        result["to-pod-identity"] = {
            "pod_selector": _pods(["web", "worker", "clickhouse", "backup-postgres", off_site.WORKLOAD]),
            "policy_types": ["Egress"],
            "egress": [_to_pod_identity()],
        }
    for flow in found:
        if flow.server is None:
            result[f"to-{flow.purpose}"] = {
                "pod_selector": _pods([client for client in flow.clients if client != CLOUDNATIVE_PG]),
                "policy_types": ["Egress"],
                "egress": _to_outside(flow.ports, tunnel),
            }
    for server in sorted({flow.server for flow in found if flow.server}):
        rules: list[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict] = [
            {"from_": _clients(flow), "ports": _ports([*flow.ports, *tunnel])}
            for flow in found
            if flow.server == server
        ]
        if server == "object-store":
            rules.extend(_from(clients, [minio.PORT, *tunnel]))
        result[f"into-{server}"] = {
            "pod_selector": _pods([server]),
            "policy_types": ["Ingress"],
            "ingress": rules,
        }
    return result


def former_names(settings: Settings) -> Mapping[str, str]:
    """Earlier names of the policies for external stores, by their present names.

    They had numbers, which changed when a store was added or removed. Pulumi finds the policies by an alias. In
    Kubernetes they keep their names: a new name would replace the object, and where the state says that it is retained,
    the old one would stay in the cluster.
    """
    outside = [flow for flow in flows(settings) if flow.server is None]
    return {f"to-{flow.purpose}": f"to-store-{number}" for number, flow in enumerate(outside, start=1)}


def _cloudnative_pg(settings: Settings, clients: Sequence[str]) -> dict[str, Policy]:
    """For the pods of the operator: servers, and Jobs that create or restore one.

    They connect to each other, to the API server and to the archive; clients and the operator connect to them
    (cloudnative-pg.io/documentation/current/networking). Connections inside the namespace and to DNS servers are
    allowed to every pod.
    """
    ports = [postgres_server.PORT, cloudnative_pg.STATUS_PORT]
    egress = _to(["0.0.0.0/0"], API_SERVER_PORTS)
    for flow in flows(settings):
        if flow.server is None and CLOUDNATIVE_PG in flow.clients:
            egress += _to_outside(flow.ports, [])
    if _by_identity(settings):
        egress.append(_to_pod_identity())
    return {
        "into-postgres": {
            "pod_selector": OPERATED,
            "policy_types": ["Ingress"],
            "ingress": [
                {"from_": [{"pod_selector": _pods(clients)}], "ports": _ports([postgres_server.PORT])},
                {
                    "from_": [{"pod_selector": OPERATED}, _namespace(cloudnative_pg.OPERATOR_NAMESPACE)],
                    "ports": _ports(ports),
                },
            ],
        },
        "from-postgres": {"pod_selector": OPERATED, "policy_types": ["Egress"], "egress": egress},
    }


def _by_identity(settings: Settings) -> bool:
    """Whether pods use the object store by their workload identity."""
    store = settings.object_store
    return isinstance(store, ExternalObjectStore) and store.identity == "workload"


def _to_names(dns: Dns) -> list[EgressRule]:
    """Egress to the DNS servers, and to nothing else at their port."""
    servers = [*map(_namespace, dns.namespaces), *map(_range, dns.ranges)]
    ports = [*_ports([dns.port]), *_ports([dns.port], "UDP")]
    return [{"to": servers, "ports": ports}] if servers else []


def _to_pod_identity() -> EgressRule:
    return {"to": [{"ip_block": {"cidr": POD_IDENTITY}}], "ports": _ports([80])}


def _to_outside(ports: Sequence[int], tunnel: Sequence[int]) -> list[EgressRule]:
    """Egress to a store at an unknown address: outside the cluster, or in another namespace."""
    anywhere: Peer = {"namespace_selector": {}}
    # For some network plugins an address block does not include pods.
    rules: list[EgressRule] = [{"to": [_range("0.0.0.0/0"), anywhere], "ports": _ports(ports)}]
    if tunnel:
        rules.append({"to": [anywhere], "ports": _ports(tunnel)})
    return rules


def _clients(flow: Flow) -> list[Peer]:
    """The pods that open a flow's connections."""
    named: list[Peer] = [{"pod_selector": _pods([client for client in flow.clients if client != CLOUDNATIVE_PG])}]
    return [*named, {"pod_selector": OPERATED}] if CLOUDNATIVE_PG in flow.clients else named


def _from(peers: Sequence[Peer], ports: Sequence[int]) -> list[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict]:
    """A rule for some peers, and none for none: one without peers would let everybody in."""
    return [{"from_": list(peers), "ports": _ports(ports)}] if peers else []


def _to(ranges: Sequence[str], ports: Sequence[int]) -> list[EgressRule]:
    """A rule for some ranges, and none for none: one without any would allow every address."""
    return [{"to": [_range(cidr) for cidr in ranges], "ports": _ports(ports)}] if ranges else []


def _range(cidr: str) -> Peer:
    """A range of addresses without the metadata services in it. The API refuses an exception that is not inside."""
    network = ipaddress.ip_network(cidr)
    if isinstance(network, ipaddress.IPv4Network) and network.supernet_of(LINK_LOCAL):
        return {"ip_block": {"cidr": cidr, "except_": [str(LINK_LOCAL)]}}
    return {"ip_block": {"cidr": cidr}}


def _pods(names: Sequence[str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    return {"match_expressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(names)}]}


def _namespace(name: str) -> Peer:
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}


def _ports(numbers: Sequence[int], protocol: str = "TCP") -> list[Port]:
    return [{"port": number, "protocol": protocol} for number in numbers]
