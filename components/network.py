"""Who may talk to whom inside the namespace: everything else is denied, both ways."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from components import clickhouse, clickhouse_cluster, cloudnative_pg, keeper, minio, postgres_server, sentinel, valkey
from components.environment import WEB_PORT
from components.installation import Installation, child_options
from components.outbound import target_rules
from components.schema.environment import Settings
from components.schema.stores import (
    ClickHouse,
    CloudNativePgPostgres,
    ExternalClickHouse,
    ExternalObjectStore,
    ExternalPostgres,
    ExternalRedis,
    ManagedPostgres,
    ManagedRedis,
    ObjectStore,
    Postgres,
    Redis,
    SentinelRedis,
)

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
Policy = k8s.networking.v1.NetworkPolicySpecArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads of the installation open to one of them, or to a store outside."""

    server: str | None
    """None for one outside."""
    ports: Sequence[int]
    clients: Sequence[str]


INTERNET_PORTS = (443, 465, 587)
"""HTTPS to model providers, sign-in and webhooks; mail submission with TLS (RFC 8314)."""

API_SERVER_PORTS = (443, 6443)
"""Of its Service, and behind it. An archive outside is at the first."""

POD_IDENTITY = "169.254.170.23/32"
"""Where EKS hands out keys for a pod's identity (docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html): to
the asking pod its own, unlike the metadata service of the node."""

LINK_LOCAL = "169.254.0.0/16"
"""Holds the clouds' metadata services, which hand out credentials."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the rules need to know."""

    installation: Installation
    settings: Settings

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.network.model_dump()


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


def flows(settings: Settings) -> Iterator[Flow]:
    """Who connects to which store. The ports are those of the mode that each is run in."""
    application = ["web", "worker"]
    yield from _postgres_flows(settings.postgres, [*application, "migrations", "backup-postgres"])
    yield from _redis_flows(settings.redis, application)
    yield from _clickhouse_flows(settings.clickhouse, application)
    users = [*application, "clickhouse", "object-store-provisioning", "backup-postgres"]
    yield from _object_store_flows(settings.object_store, users)


def _postgres_flows(settings: Postgres, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedPostgres():
            yield Flow(server="postgres", ports=[postgres_server.PORT], clients=clients)
        case ExternalPostgres():
            yield Flow(
                server=None, ports=sorted({settings.port, settings.direct_port or settings.port}), clients=clients
            )


def _redis_flows(settings: Redis, clients: Sequence[str]) -> Iterator[Flow]:
    match settings:
        case ManagedRedis():
            yield Flow(server="redis", ports=[valkey.PORT], clients=clients)
        case SentinelRedis():
            yield Flow(server="redis", ports=[valkey.PORT, sentinel.SENTINEL_PORT], clients=[*clients, "redis"])
        case ExternalRedis():
            ports = {int(node.rpartition(":")[2]) for node in settings.nodes} or {settings.port}
            if settings.topology == "sentinel":
                ports.add(settings.port)
            yield Flow(server=None, ports=sorted(ports), clients=clients)


def _clickhouse_flows(settings: ClickHouse, clients: Sequence[str]) -> Iterator[Flow]:
    jobs = ["migrations", "backup-clickhouse"]
    if isinstance(settings, ExternalClickHouse):
        yield Flow(server=None, ports=[settings.http_port], clients=clients)
        yield Flow(server=None, ports=[settings.native_port], clients=jobs)
        return
    yield Flow(server="clickhouse", ports=[clickhouse.HTTP_PORT], clients=clients)
    yield Flow(server="clickhouse", ports=[clickhouse_cluster.NATIVE_PORT], clients=[*jobs, "clickhouse"])
    yield Flow(server="clickhouse", ports=[clickhouse.INTERSERVER_PORT], clients=["clickhouse"])
    yield Flow(server="keeper", ports=[keeper.CLIENT_PORT], clients=["clickhouse"])
    yield Flow(server="keeper", ports=[keeper.RAFT_PORT], clients=["keeper"])


def _object_store_flows(settings: ObjectStore, clients: Sequence[str]) -> Iterator[Flow]:
    if isinstance(settings, ExternalObjectStore):
        url = urlsplit(settings.endpoint or "https://")
        port = url.port or {"http": 80}.get(url.scheme, 443)
        # With an identity, keys are asked for over HTTPS.
        ports = {port, 443} if settings.identity == "workload" else {port}
        yield Flow(server=None, ports=sorted(ports), clients=clients)
        return
    yield Flow(server="object-store", ports=[minio.PORT], clients=[*clients, "object-store"])


def policies(settings: Settings) -> dict[str, Policy]:
    """The NetworkPolicies by name."""
    found = list(flows(settings))
    own_namespace: Peer = {"pod_selector": {}}
    internet: Peer = {"ip_block": {"cidr": "0.0.0.0/0", "except_": [LINK_LOCAL]}}
    clients = [_namespace(name) for name in settings.network.web_clients]
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
    if targets := target_rules(settings.allowed_targets):
        result["to-targets"] = {
            "pod_selector": _pods(["web", "worker"]),
            "policy_types": ["Egress"],
            "egress": targets,
        }
    if isinstance(settings.postgres, CloudNativePgPostgres):
        result |= cloudnative_pg_policies("langfuse-postgres", ["web", "worker", "migrations", "backup-postgres"])
    store = settings.object_store
    if isinstance(store, ExternalObjectStore) and store.identity == "workload":
        result["to-pod-identity"] = {
            "pod_selector": _pods(["web", "worker", "clickhouse", "backup-postgres"]),
            "policy_types": ["Egress"],
            "egress": [{"to": [{"ip_block": {"cidr": POD_IDENTITY}}], "ports": _ports([80])}],
        }
    outside: list[Peer] = [internet, {"namespace_selector": {}}]  # an address block means no pods to some networks
    for number, flow in enumerate(flow for flow in found if flow.server is None):
        result[f"to-store-{number + 1}"] = {
            "pod_selector": _pods(flow.clients),
            "policy_types": ["Egress"],
            "egress": [{"to": outside, "ports": _ports(flow.ports)}],
        }
    for server in sorted({flow.server for flow in found if flow.server}):
        rules: list[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict] = [
            {"from_": [{"pod_selector": _pods(flow.clients)}], "ports": _ports(flow.ports)}
            for flow in found
            if flow.server == server
        ]
        if server == "object-store":
            rules.append({"from_": clients, "ports": _ports([minio.PORT])})
        result[f"into-{server}"] = {
            "pod_selector": _pods([server]),
            "policy_types": ["Ingress"],
            "ingress": rules,
        }
    return result


def cloudnative_pg_policies(name: str, clients: Sequence[str]) -> dict[str, Policy]:
    """For pods that the operator makes: they talk to each other, to the API server and to the archive."""
    servers: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": {cloudnative_pg.CLUSTER_LABEL: name}}
    anywhere: Peer = {"ip_block": {"cidr": "0.0.0.0/0", "except_": [LINK_LOCAL]}}
    ports = [postgres_server.PORT, cloudnative_pg.STATUS_PORT]
    return {
        "into-postgres": {
            "pod_selector": servers,
            "policy_types": ["Ingress"],
            "ingress": [
                {"from_": [{"pod_selector": _pods(clients)}], "ports": _ports([postgres_server.PORT])},
                {
                    "from_": [{"pod_selector": servers}, _namespace(cloudnative_pg.OPERATOR_NAMESPACE)],
                    "ports": _ports(ports),
                },
            ],
        },
        "from-postgres": {
            "pod_selector": servers,
            "policy_types": ["Egress"],
            "egress": [{"to": [anywhere], "ports": _ports(API_SERVER_PORTS)}],
        },
    }


def _pods(names: Sequence[str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    return {"match_expressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": list(names)}]}


def _namespace(name: str) -> Peer:
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}


def _ports(numbers: Sequence[int], protocol: str = "TCP") -> list[Port]:
    return [{"port": number, "protocol": protocol} for number in numbers]
