"""The mesh allows the same connections between the same workloads as the NetworkPolicies."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components.network.mesh_policies import TUNNEL_PORT
from tests.unit.configuration import only_problem
from tests.unit.program import recorded
from tests.unit.recorder import Recording

PROFILES = ("dev", "preview", "staging", "prod")
STORES = ("clickhouse", "keeper", "object-store", "postgres", "redis")


@pytest.fixture(scope="module", params=PROFILES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return recorded(request.param)


def namespace_labels(found: Recording) -> Mapping[str, str]:
    labels: Mapping[str, str] = next(it for it in found.of("Namespace") if it.custom).inputs["metadata"]["labels"]
    return labels


def network_rules(found: Recording, server: str) -> Iterator[tuple[str, int]]:
    """The clients and ports that NetworkPolicies allow: workloads by name, namespaces with a slash at the end."""
    for rule in found.one("NetworkPolicy", f"langfuse-allow-{server}-ingress").inputs["spec"]["ingress"]:
        for peer in rule["from"]:
            names = [f"{space}/" for space in peer.get("namespaceSelector", {}).get("matchLabels", {}).values()]
            for expression in peer.get("podSelector", {}).get("matchExpressions", []):
                names += expression["values"]
            yield from ((name, port["port"]) for name in names for port in rule["ports"])


def mesh_rules(found: Recording, server: str, namespace: str) -> Iterator[tuple[str, int]]:
    """The clients and ports that AuthorizationPolicies allow, in the same form."""
    prefix = f"cluster.local/ns/{namespace}/sa/langfuse-"
    for rule in found.one("AuthorizationPolicy", f"langfuse-allow-{server}").inputs["spec"]["rules"]:
        ports = [int(port) for entry in rule["to"] for port in entry["operation"]["ports"]]
        for entry in rule["from"]:
            names = [f"{space}/" for space in entry["source"].get("namespaces", [])]
            for principal in entry["source"].get("principals", []):
                assert principal.startswith(prefix)
                names.append(principal.removeprefix(prefix))
            yield from ((name, port) for name in names for port in ports)


@pytest.mark.parametrize("server", ["web", *STORES])
def test_the_mesh_allows_the_same_clients_as_the_network(recording: Recording, server: str) -> None:
    namespace = recording.one("Langfuse").inputs["namespace"]
    admitted = {(name, port) for name, port in network_rules(recording, server) if port != TUNNEL_PORT}
    assert admitted
    assert set(mesh_rules(recording, server, namespace)) == admitted


def test_every_identity_is_an_existing_service_account(recording: Recording) -> None:
    accounts = {item.inputs["metadata"]["name"] for item in recording.of("ServiceAccount")}
    namespace = recording.one("Langfuse").inputs["namespace"]
    named = {f"langfuse-{name}" for server in STORES for name, _ in mesh_rules(recording, server, namespace)}
    assert {name for name in named if not name.endswith("/")} <= accounts


def test_mutual_tls_is_strict_and_only_listed_connections_are_allowed(recording: Recording) -> None:
    assert recording.one("PeerAuthentication").inputs["spec"] == {"mtls": {"mode": "STRICT"}}
    assert recording.one("AuthorizationPolicy", "langfuse-allow-nothing").inputs["spec"] == {}
    for item in recording.of("AuthorizationPolicy"):
        assert item.inputs["spec"].get("action", "ALLOW") == "ALLOW"


def test_every_client_and_no_other_may_use_the_tunnel_port(recording: Recording) -> None:
    for server in ("web", *STORES):
        rules = set(network_rules(recording, server))
        assert {name for name, port in rules if port == TUNNEL_PORT} == {name for name, _ in rules}


def test_sidecars_leave_it_to_the_network_rules_what_pods_may_reach() -> None:
    """In a mesh with `REGISTRY_ONLY`, nothing outside of the cluster could be reached otherwise."""

    def found(**mesh: str) -> list[object]:
        return [item.inputs["spec"] for item in recorded("prod", {"mesh": mesh}).of("Sidecar")]

    assert found(mode="sidecar") == [{"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}]
    assert found(mode="sidecar", outboundTraffic="mesh") == found(mode="ambient") == found(mode="none") == []


def test_the_namespace_joins_the_mesh_only_with_an_istio_ingress() -> None:
    assert namespace_labels(recorded())["istio.io/dataplane-mode"] == "ambient"
    without = recorded(config={"ingress": {"kind": "none"}})
    assert not [label for label in namespace_labels(without) if "istio" in label]
    assert not without.of("PeerAuthentication")


def test_sidecars_may_reach_the_control_plane() -> None:
    found = recorded(config={"mesh": {"mode": "sidecar", "namespace": "mesh-system"}})
    assert namespace_labels(found)["istio-injection"] == "enabled"
    (rule,) = found.one("NetworkPolicy", "langfuse-allow-mesh-egress").inputs["spec"]["egress"]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mesh-system"}}}]


def test_kubelet_probes_are_allowed_in_ambient_mode() -> None:
    probes = {"": "169.254.7.127/32", "-ipv6": "fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128"}
    for version, cidr in probes.items():
        policy = recorded().one("NetworkPolicy", f"langfuse-allow-probes-ingress{version}")
        assert policy.inputs["spec"]["podSelector"] == {}
        assert policy.inputs["spec"]["ingress"] == [{"from": [{"ipBlock": {"cidr": cidr}}]}]


def test_sidecars_reach_a_control_plane_outside_of_the_cluster() -> None:
    plane = {"ranges": ["199.36.153.8/30"], "ports": [443]}
    found = recorded(config={"mesh": {"mode": "sidecar", "revision": "asm-managed", "controlPlane": plane}})
    spec = found.one("NetworkPolicy", "langfuse-allow-mesh-egress").inputs["spec"]
    assert spec["podSelector"] == {}
    assert {"to": [{"ipBlock": {"cidr": "199.36.153.8/30"}}], "ports": [{"port": 443, "protocol": "TCP"}]} in spec[
        "egress"
    ]
    problem = "mesh.controlPlane.ranges: have no effect in mode ambient"
    assert problem in only_problem({"mesh": {"mode": "ambient", "controlPlane": plane}})


def test_without_a_mesh_the_tunnel_port_is_closed() -> None:
    found = recorded(config={"mesh": {"mode": "none"}})
    ports = {port for server in ("web", *STORES) for _, port in network_rules(found, server)}
    assert TUNNEL_PORT not in ports
    assert found.of("VirtualService")


def test_an_empty_list_of_clients_allows_nobody_from_outside() -> None:
    found = recorded(config={"ingress": {"kind": "none"}, "mesh": {"mode": "ambient"}})
    assert {name for name, _ in network_rules(found, "web")} == {"replay-events", "backup-before-upgrade"}
    assert {name for name, _ in mesh_rules(found, "web", "langfuse-dev")} == {"replay-events", "backup-before-upgrade"}
    assert not [name for name, _ in network_rules(found, "object-store") if name.endswith("/")]
    assert not [name for name, _ in mesh_rules(found, "object-store", "langfuse-dev") if name.endswith("/")]
    for policy in found.of("NetworkPolicy"):
        assert all(rule["from"] for rule in policy.inputs["spec"].get("ingress", [])), policy.name


def test_identities_use_the_configured_trust_domain() -> None:
    found = recorded(config={"mesh": {"trustDomain": "mesh.example"}})
    (rule,) = found.one("AuthorizationPolicy", "langfuse-allow-postgres").inputs["spec"]["rules"]
    assert "mesh.example/ns/langfuse-dev/sa/langfuse-web" in rule["from"][0]["source"]["principals"]


def test_pods_of_cloudnative_pg_are_not_part_of_the_mesh() -> None:
    config = {"postgres": {"mode": "cloudnativepg"}}
    labels = recorded(config=config).one("Cluster").inputs["spec"]["inheritedMetadata"]["labels"]
    assert labels == {"istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "false"}


def test_sidecars_of_a_revision_replace_those_of_the_default() -> None:
    labels = namespace_labels(recorded(config={"mesh": {"mode": "sidecar", "revision": "1-27"}}))
    assert labels["istio.io/rev"] == "1-27"
    assert "istio-injection" not in labels


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"ingress": {"gateway": "gateways/public"}}, {"gateways/"}),
        ({"ingress": {"gateway": "apps/public", "proxy": {"namespace": "gateways"}}}, {"gateways/"}),
        ({"network": {"webClients": ["apps"]}}, {"apps/", "istio-system/"}),
        ({"network": {"webClients": ["istio-system"]}}, {"istio-system/"}),
    ],
)
def test_the_gateway_may_enter_wherever_it_is(config: dict[str, Any], names: set[str]) -> None:
    found = recorded(config=config)
    for server, port in (("web", 3000), ("object-store", 9000)):
        for rules in (network_rules(found, server), mesh_rules(found, server, "langfuse-dev")):
            assert {name for name, number in rules if number == port and name.endswith("/")} == names


OUTSIDE: list[dict[str, Any]] = [
    {"network": {"webClients": ["apps"]}, "mesh": {"outsideClients": ["apps"]}},
    {"ingress": {"kind": "ingress", "controller": "nginx", "proxy": {"mesh": False}}, "mesh": {"mode": "ambient"}},
    {"ingress": {"proxy": {"ranges": ["10.0.0.0/8"]}}},
]


@pytest.mark.parametrize("config", OUTSIDE)
def test_clients_outside_the_mesh_reach_the_public_ports_and_no_other(config: dict[str, Any]) -> None:
    found = recorded(config=config)
    plain = {
        (item.inputs["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], port)
        for item in found.of("PeerAuthentication")
        for port, rule in item.inputs["spec"].get("portLevelMtls", {}).items()
        if rule["mode"] == "PERMISSIVE"
    }
    assert plain == {("web", "3000"), ("object-store", "9000")}
    for server, port in plain:
        rules = found.one("AuthorizationPolicy", f"langfuse-allow-{server}").inputs["spec"]["rules"]
        assert [rule["to"] for rule in rules if "from" not in rule] == [[{"operation": {"ports": [port]}}]]


def test_the_store_has_one_peer_authentication_for_all_exceptions() -> None:
    """Of several for the same pods, Istio applies only the oldest."""
    found = recorded(config={**OUTSIDE[0], "postgres": {"mode": "cloudnativepg"}})
    selected = [
        item.inputs["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for item in found.of("PeerAuthentication")
        if "selector" in item.inputs["spec"]
    ]
    assert sorted(selected) == ["object-store", "web"]


def test_clients_are_in_the_mesh_unless_it_is_stated() -> None:
    found = recorded(config={"network": {"webClients": ["apps"]}})
    assert [item.name for item in found.of("PeerAuthentication")] == ["langfuse-mutual-tls"]
