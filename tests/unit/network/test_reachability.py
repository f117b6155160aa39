"""Every pod may connect to every address in its variables, in every mode of each store and of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, get_args

import pytest

from components.network.policies import IPV6
from components.schema.application import WorkloadName
from tests.unit.packets import CNPG_LABEL, Address, Network, Pod
from tests.unit.program import recorded

EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
PASSWORD = {"source": "existing", "secret": "postgres", "key": "password"}
OPERATED = {
    "postgres": {"mode": "cloudnativepg"},
    "credentials": {**EXISTING["credentials"], "values": {"postgresPassword": PASSWORD}},
}
BUCKETS = {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")}
STORE: dict[str, Any] = {"mode": "external", "region": "eu-central-1", "buckets": BUCKETS}
BY_IDENTITY = {**STORE, "identity": "workload", "identityAnnotations": {"eks.amazonaws.com/role-arn": "arn:role"}}
IN_CLUSTER = {**STORE, "endpoint": "http://minio.storage.svc:9010", "forcePathStyle": True}
ELSEWHERE = {"endpoint": "https://copies.example.org:8443", "bucket": "copies", "secret": "off-site"}
OUTSIDE = {
    **EXISTING,
    "postgres": {"mode": "external", "host": "db.example.org", "port": 6432, "directPort": 5433, "pooler": True},
    "clickhouse": {"mode": "external", "host": "ch.example.org", "httpPort": 8444, "nativePort": 9441},
    "redis": {"mode": "external", "topology": "sentinel", "masterName": "main", "nodes": ["r.example.org:26380"]},
    "objectStore": IN_CLUSTER,
    "backups": {"offSite": ELSEWHERE},
}
REDIS = {"mode": "external", "host": "redis.example.org", "port": 6380}
CLUSTER = {"mode": "external", "topology": "cluster", "nodes": ["a.example.org:7000", "b.example.org:7001"]}
LITERALS = {
    **EXISTING,
    "postgres": {"mode": "external", "host": "fd12:3456::5", "port": 6432},
    "clickhouse": {"mode": "external", "host": "fd12:3456::c"},
    "redis": {"mode": "external", "host": "fd12:3456::d"},
    "objectStore": {**STORE, "endpoint": "http://[fd12:3456::e]:9000", "forcePathStyle": True},
    "extraEnv": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[fd12:3456::f]:4318"},
}
NEIGHBOURS = {
    **EXISTING,
    "postgres": {"mode": "external", "host": "pg-rw.data.svc.k8s.example.org"},
    "clickhouse": {"mode": "external", "host": "ch.data.svc", "httpPort": 80, "nativePort": 9000, "tls": False},
    "redis": {"mode": "external", "host": "valkey.data.svc"},
    "objectStore": {**STORE, "endpoint": "http://minio.storage.svc", "forcePathStyle": True},
}
WAYS_OUT = {
    **EXISTING,
    "signIn": {
        "signUp": False,
        "providers": {
            "keycloak": {"clientId": "langfuse", "issuer": "https://sso.example.org:8443/realms/x"},
            "gitlab": {"clientId": "langfuse", "url": "http://gitlab.example.org:8080"},
            "githubEnterprise": {"clientId": "langfuse", "baseUrl": "https://github.identity.svc:9443"},
            "authentik": {
                "clientId": "langfuse",
                "issuer": "https://auth.example.org:9444/application/o/langfuse",
                "authorizationUrl": "https://login.example.org:9999/authorize",
            },
        },
    },
    "mail": {"sender": "langfuse@example.org"},
    "allowedTargets": {
        "llm": {
            "hosts": ["litellm.gateway.svc.cluster.local", "llm.example.org"],
            "ips": ["10.0.12.7", "fd12:3456::7"],
            "ranges": ["10.0.13.0/24"],
            "ports": [4000],
        },
        "webhook": {"hosts": ["hooks.example.org"]},
        "blobStorage": {
            "hosts": ["minio.exports.svc"],
            "pods": [{"namespace": "exports", "labels": {"app": "minio"}, "port": 9000}],
        },
    },
    "extraEnv": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.monitoring.svc:4318",
        "HTTPS_PROXY": "http://proxy.example.org:3128",
        "ALL_PROXY": {"value": "socks5h://socks.example.org", "insist": True},
        "AUTH_HTTPS_PROXY": "proxy.example.org:3129",
        "NO_PROXY": "langfuse-clickhouse,10.0.0.0/8",
        "CLICKHOUSE_READ_ONLY_URL": "http://replica.example.org:8124",
        "DD_AGENT_HOST": "datadog.monitoring.svc",
        "LANGFUSE_HTTP_EVAL_WHITELISTED_HOST": "judge.evaluators.svc",
    },
    "network": {
        "internet": ["203.0.113.0/24"],
        "egress": [
            {"name": "audit", "workloads": ["worker", "postgres"], "ranges": ["10.9.0.0/16"], "ports": [6514]},
            {"name": "statsd", "namespace": "monitoring", "ports": [9125], "protocol": "UDP"},
        ],
    },
}
NO_MESH = {"mesh": {"mode": "none"}}
SIGN_IN_PROXY = {
    "ingress": {
        "kind": "gateway-api",
        "gateway": "gateways/public",
        "authentication": {
            "issuer": "https://sso.example.org:8443/realms/x",
            "clientId": "langfuse",
            "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
        },
    }
}

POOLS: Mapping[str, Any] = {
    "worker": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "queueLength": {}},
        "pools": {"evaluations": {"queues": ["eval-execution", "code-eval-execution"], "replicas": 2}},
    }
}
MONITORING: Mapping[str, Any] = {"traces": {"endpoint": "http://collector.monitoring.svc:4318"}}

STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "prod without mesh": ("prod", NO_MESH),
    "prod with sidecars": ("prod", {"mesh": {"mode": "sidecar"}}),
    "CloudNativePG, MinIO": ("dev", OPERATED),
    "CloudNativePG, MinIO, prod": ("prod", {**OPERATED, "backups": {"offSite": ELSEWHERE}}),
    "CloudNativePG, MinIO, no mesh": ("dev", {**OPERATED, **NO_MESH}),
    "CloudNativePG, S3": ("dev", {**OPERATED, "objectStore": STORE}),
    "CloudNativePG, a store of another namespace": ("dev", {**OPERATED, "objectStore": IN_CLUSTER}),
    "CloudNativePG, by identity": ("prod", {**OPERATED, "objectStore": BY_IDENTITY}),
    "everything outside": ("prod", OUTSIDE),
    "ways out by configuration": ("prod", WAYS_OUT),
    "ways out by configuration, no mesh": ("dev", {**WAYS_OUT, **NO_MESH, "version": "3.225.9"}),
    "a sign-in in front": ("prod", SIGN_IN_PROXY),
    "workers in pools": ("prod", {**POOLS, "objectStore": BY_IDENTITY}),
    "workers by queue length, Redis alone": ("dev", POOLS),
    "the public API on pods of its own": (
        "prod",
        {"web": {"ingestion": {"replicas": 2}}, "clients": {"gateway": {"kind": "sdk", "namespace": "apps"}}},
    ),
    "Redis with stray nodes": ("dev", {**EXISTING, "redis": {**REDIS, "nodes": ["old.example.org:6390"]}}),
    "Redis cluster": ("dev", {**EXISTING, "redis": CLUSTER}),
    "IPv6 addresses": ("dev", LITERALS),
    "stores in other namespaces": ("prod", NEIGHBOURS),
    "monitored": ("prod", {"monitoring": MONITORING}),
    "monitored from inside the mesh": ("dev", {**OPERATED, "monitoring": {**MONITORING, "prometheus": {"mesh": True}}}),
    "stores outside, monitored": ("dev", {**OUTSIDE, "monitoring": MONITORING}),
}


@pytest.fixture(scope="module", params=STACKS, ids=str)
def network(request: pytest.FixtureRequest) -> Network:
    profile, config = STACKS[request.param]
    return Network(recorded(profile, config))


def test_cloudnative_pg_can_reach_the_operator_its_members_and_the_api_server(network: Network) -> None:
    members = [pod for pod in network.pods.values() if CNPG_LABEL in pod.labels]
    operator = Pod("operator", {}, namespace="cnpg-system", meshed=False)
    for pod in members:
        for port in (5432, 8000):
            assert network.refusal(operator, pod, port) is None
            assert all(network.refusal(pod, other, port) is None for other in members)
        for port in (443, 6443):  # the API server
            assert network.refusal(pod, Address("10.96.0.1"), port) is None
        assert network.refusal(pod, Address("169.254.169.254"), 80)
        stranger = Pod("stranger", {"app.kubernetes.io/name": "else"})
        assert network.refusal(stranger, pod, 5432) == "the server's ingress"
        by_identity = network.recording.one("Langfuse").inputs["objectStore"].get("identity") == "workload"
        assert (network.refusal(pod, Address("169.254.170.23"), 80) is None) == by_identity


@pytest.mark.parametrize("stack", ["workers in pools", "workers by queue length, Redis alone", "prod"])
@pytest.mark.parametrize("outside", [[], ["keda"]], ids=["in the mesh", "outside"])
def test_keda_can_look_at_the_queues_and_nobody_else_of_its_cluster(stack: str, outside: list[str]) -> None:
    profile, config = STACKS[stack]
    by_length = "worker" in config
    network = Network(recorded(profile, {**config, "mesh": {"outsideClients": outside}} if by_length else config))
    meshed = not outside
    operator = Pod("operator", {"app": "keda-operator"}, namespace="keda", meshed=meshed)
    others = (
        Pod("stranger", {"app": "keda-operator"}, namespace="stranger", meshed=meshed),
        Pod("webhooks", {"app": "keda-admission-webhooks"}, namespace="keda", meshed=meshed),
    )
    redis = [pod for pod in network.pods.values() if pod.labels.get("app.kubernetes.io/name") == "redis"]
    assert redis
    for pod in redis:
        for port in (6379, 26379) if profile == "prod" else (6379,):
            assert (network.refusal(operator, pod, port) is None) == by_length
            assert all(network.refusal(other, pod, port) is not None for other in others)
        assert network.refusal(operator, pod, 22) is not None
    assert network.refusal(operator, network.pods["langfuse-web"], 3000) is not None


COREDNS = Pod("coredns", {"k8s-app": "kube-dns"}, namespace="kube-system")


def test_dns_is_allowed_only_to_the_dns_servers(network: Network) -> None:
    dns = COREDNS
    for pod in network.pods.values():
        for protocol in ("TCP", "UDP"):
            assert network.refusal(pod, dns, 53, protocol) is None
            for cache in ("169.254.20.10", "169.254.25.10"):  # that of Kubernetes' documentation and Kubespray's
                assert network.refusal(pod, Address(cache), 53, protocol) is None
            for other in (Address("8.8.8.8"), Address("169.254.169.254"), Address("10.96.0.10")):
                assert network.refusal(pod, other, 53, protocol)


DNS: Mapping[str, tuple[list[Pod | Address], int]] = {
    "kind": ([COREDNS, Address("169.254.20.10"), Address("10.96.0.10"), Address("fd00:10:96::a")], 53),
    "k3s": ([COREDNS, Address("169.254.20.10"), Address("10.43.0.10")], 53),
    "eks": ([COREDNS, Address("169.254.20.10"), Address("10.100.0.10"), Address("172.20.0.10")], 53),
    "gke": ([COREDNS, Address("169.254.20.10"), Address("169.254.169.254"), Address("34.118.224.10")], 53),
    "gke-autopilot": ([COREDNS, Address("169.254.20.10"), Address("169.254.169.254")], 53),
    "aks": ([COREDNS, Address("169.254.20.10"), Address("169.254.10.10"), Address("169.254.10.11")], 53),
    "openshift": (
        [Pod("dns", {"dns.operator.openshift.io/daemonset-dns": "default"}, namespace="openshift-dns")],
        5353,
    ),
}
"""The servers that answer the pods of each kind of cluster, as its documentation describes them, and their port."""


@pytest.mark.parametrize("cluster", DNS)
def test_every_pod_resolves_names_in_every_kind_of_cluster(cluster: str) -> None:
    servers, port = DNS[cluster]
    network = Network(recorded("prod", {**OPERATED, "cluster": {"preset": cluster}}))
    assert {"langfuse-migrations", "langfuse-web", "langfuse-postgres-instance"} <= set(network.pods)
    for pod in network.pods.values():
        for server, protocol in product(servers, ("TCP", "UDP")):
            assert network.refusal(pod, server, port, protocol) is None, (pod.name, server)
        # The address of GKE's DNS server also serves credentials (http, and workload identity at 988).
        for number in (80, 443, 988, 8080):
            assert network.refusal(pod, Address("169.254.169.254"), number)
        assert network.refusal(pod, Address("8.8.8.8"), 53, "UDP")


@pytest.mark.parametrize(
    ("dns", "servers"),
    [
        ({}, [(COREDNS, 1053)]),  # a vcluster
        ({}, [(COREDNS, 8053), (Address("169.254.20.10"), 53)]),  # Gardener, with NodeLocal DNSCache
        ({"ranges": ["fd00:a:b::10/128"]}, [(COREDNS, 53), (Address("fd00:a:b::10"), 53)]),  # EKS with IPv6
        (
            {"namespaces": ["dns"], "ports": [5300], "ranges": ["169.254.169.254/32"]},
            [(Pod("unbound", {}, namespace="dns"), 5300), (Address("169.254.169.254"), 53)],
        ),
    ],
)
def test_names_resolve_in_clusters_without_a_preset(
    dns: Mapping[str, object], servers: list[tuple[Pod | Address, int]]
) -> None:
    network = Network(recorded("prod", {**OPERATED, "cluster": {"dns": dns}}))
    for pod, (server, port), protocol in product(network.pods.values(), servers, ("TCP", "UDP")):
        assert network.refusal(pod, server, port, protocol) is None, (pod.name, server)
    for port in (80, 443, 988, 5300):  # the address may also serve credentials, whichever ports the pods have
        assert network.refusal(network.pods["langfuse-web"], Address("169.254.169.254"), port)


def members(network: Network) -> list[Pod]:
    found = [pod for pod in network.pods.values() if CNPG_LABEL in pod.labels]
    assert len(found) == 2
    return found


@pytest.mark.parametrize(
    ("config", "server", "port"),
    [
        ({}, Address("10.96.0.1"), 443),
        ({}, Address("192.0.2.7"), 16443),  # MicroK8s
        ({}, Pod("kube-apiserver", {}, namespace="kube-system"), 6443),
        ({"preset": "eks"}, Address("10.0.3.7"), 443),
        ({"preset": "openshift"}, Pod("kube-apiserver", {}, namespace="openshift-kube-apiserver"), 6443),
        ({"apiServer": {"ranges": ["192.0.2.0/24"], "ports": [7443]}}, Address("192.0.2.9"), 7443),
        ({"apiServer": {"namespaces": ["tenant"], "ranges": []}}, Pod("vcluster", {}, namespace="tenant"), 8443),
    ],
)
def test_the_pods_of_cloudnative_pg_reach_the_api_server_of_each_cluster(
    config: Mapping[str, object], server: Pod | Address, port: int
) -> None:
    network = Network(recorded("prod", {**OPERATED, "cluster": config}))
    for pod in members(network):
        assert network.refusal(pod, server, port) is None
        assert network.refusal(pod, server, 8081) is not None
    assert network.refusal(network.pods["langfuse-web"], server, 16444) is not None


def test_the_api_server_can_be_narrowed_to_its_addresses() -> None:
    given = {"ranges": ["192.0.2.0/24"], "namespaces": [], "ports": [6443]}
    network = Network(recorded("prod", {**OPERATED, "cluster": {"apiServer": given}}))
    for pod in members(network):
        assert network.refusal(pod, Address("192.0.2.9"), 6443) is None
        for other, port in ((Address("198.51.100.7"), 6443), (Address("192.0.2.9"), 443)):
            assert network.refusal(pod, other, port) is not None


def test_the_operator_connects_from_its_configured_namespace_alone() -> None:
    for config, namespace in (
        ({}, "cnpg-system"),
        ({"preset": "openshift"}, "openshift-operators"),
        ({"operators": {"cloudnativePg": "databases"}}, "databases"),
    ):
        network = Network(recorded("prod", {**OPERATED, "cluster": config}))
        for pod, other in product(members(network), ("cnpg-system", "openshift-operators", "databases")):
            refusal = network.refusal(Pod("operator", {}, namespace=other, meshed=False), pod, 8000)
            assert (refusal is None) == (other == namespace)


def test_cilium_selects_the_api_server_as_an_entity() -> None:
    assert recorded("prod", OPERATED).of("CiliumNetworkPolicy") == []
    cilium = {"cluster": {"apiServer": {"cilium": True}}}
    policy = recorded("prod", {**OPERATED, **cilium}).one("CiliumNetworkPolicy", "langfuse-allow-postgres-api-server")
    assert policy.inputs["apiVersion"] == "cilium.io/v2"
    assert policy.inputs["spec"] == {
        "endpointSelector": {"matchLabels": {CNPG_LABEL: "langfuse-postgres"}},
        "egress": [{"toEntities": ["kube-apiserver"]}],
    }
    assert recorded("prod", cilium).of("CiliumNetworkPolicy") == []  # no other pod connects to the API server


def test_other_pods_cannot_reach_the_stores(network: Network) -> None:
    strangers: list[Pod | Address] = [
        Pod("x", {"app": "x"}, namespace="elsewhere"),
        Pod("x", {"app": "x"}),
        Address("10.0.0.9"),
    ]
    for item in network.recording.of("StatefulSet"):
        pod = network.pods[item.name]
        for port in [port["containerPort"] for container in pod.containers for port in container.get("ports", [])]:
            assert all(network.refusal(stranger, pod, port) for stranger in strangers), (item.name, port)


def test_egress_policies_are_named_after_their_store() -> None:
    names = {
        stack: {
            item.name.removeprefix("langfuse-").removesuffix(IPV6)
            for item in recorded(*STACKS[stack]).of("NetworkPolicy")
        }
        for stack in ("everything outside", "CloudNativePG, S3")
    }
    stores = ("postgres", "redis", "clickhouse", "clickhouse-native", "object-store", "off-site")
    outside = {f"allow-{store}-egress" for store in stores}
    assert outside <= names["everything outside"]
    assert not [name for name in names["everything outside"] if any(letter.isdigit() for letter in name)]
    own = {"allow-postgres-egress"}  # for the pods of CloudNativePG
    assert outside & names["CloudNativePG, S3"] - own == {"allow-object-store-egress"}
    assert not outside & {item.name.removeprefix("langfuse-") for item in recorded("prod").of("NetworkPolicy")}


SIGN_IN: dict[str, Any] = {
    "issuer": "https://sso.example.org",
    "clientId": "langfuse",
    "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
}


def test_every_workload_can_get_a_rule_of_its_own() -> None:
    """`network.egress` is for the connections that no key names, for example of the sign-in to its provider."""
    ingress = {"kind": "gateway-api", "gateway": "gateways/public", "authentication": SIGN_IN}
    rule = {"name": "provider", "workloads": [*get_args(WorkloadName)], "ranges": ["10.9.0.0/16"], "ports": [8443]}
    config = {"ingress": ingress, "backups": {"offSite": ELSEWHERE}, "network": {"egress": [rule]}}
    network = Network(recorded("prod", config))
    assert "langfuse-oauth2-proxy" in network.pods
    for pod in network.pods.values():
        assert network.refusal(pod, Address("10.9.1.1"), 8443) is None, pod.name


def test_no_policy_has_ranges_of_both_versions_of_ip() -> None:
    """Azure's Network Policy Manager drops a policy with a range of IPv6, and would leave the pods cut off."""
    split = set()
    for stack in STACKS.values():
        for item in recorded(*stack).of("NetworkPolicy"):
            rules = [*item.inputs["spec"].get("egress", []), *item.inputs["spec"].get("ingress", [])]
            peers = [peer for rule in rules for peer in [*rule.get("to", []), *rule.get("from", [])]]
            is_ipv6 = {":" in peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
            assert is_ipv6 != {True, False}, item.name
            if item.name.endswith(IPV6):
                split.add(item.name)
                assert all("ipBlock" in peer for peer in peers)
                assert all(rule.get("to") or rule.get("from") for rule in rules), "it would allow everything"
                assert item.name in recorded(*stack).one("NetworkPolicy", item.name.removesuffix(IPV6)).dependencies
    assert len(split) > 5
