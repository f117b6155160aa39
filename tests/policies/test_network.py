"""Network, mesh and gateways: what the settings change, and how policies and routes are read."""

from collections.abc import Mapping

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.routes import takes
from langfuse_policies.facts.selectors import Selected
from langfuse_policies.rules.kubernetes.gateways import Wildcards
from langfuse_policies.rules.kubernetes.mesh import Exceptions, Root
from langfuse_policies.rules.kubernetes.mesh_membership import Cni, Membership, NativeSidecars
from langfuse_policies.rules.kubernetes.network import Dns, InternetPorts, Metadata
from langfuse_policies.rules.kubernetes.store_network import Clients, Operators
from langfuse_policies.testing import UNKNOWN, judged, paths, resource


def _network_policy(spec: Mapping[str, object]) -> Resource:
    return resource("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"namespace": "n"}, "spec": spec})


def _workload(name: str, image: str, port: int, kind: str = "apps/v1:Deployment") -> Resource:
    container = {"name": name, "image": image, "ports": [{"containerPort": port}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return resource(
        f"kubernetes:{kind}", {"metadata": {"name": name, "namespace": "n"}, "spec": {"template": template}}
    )


def _namespace(**labels: str) -> Resource:
    return resource("kubernetes:core/v1:Namespace", {"metadata": {"name": "n", "labels": labels}})


SIDECARS = {"istio-injection": "enabled"}
POSTGRES = _workload("postgres", "postgres:17.10", 5432)
WEB = _workload("web", "langfuse/langfuse:4.16.0", 3000)
POOLER = _workload("pooler", "example.com/pgbouncer:1.2.3", 6432)


def _into_postgres(*peers: Mapping[str, object]) -> Resource:
    return _network_policy({"podSelector": {"matchLabels": {"app": "postgres"}}, "ingress": [{"from": list(peers)}]})


def test_namespaces_of_operators_are_a_setting() -> None:
    stack = [POSTGRES, _into_postgres({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}})]
    assert judged(POLICIES["stores-name-their-clients"], stack)
    assert not judged(POLICIES["stores-name-their-clients"], stack, Operators(namespaces=("ops",)))


def test_clients_of_stores_are_a_setting() -> None:
    stack = [POSTGRES, WEB, POOLER, _into_postgres({"podSelector": {"matchLabels": {"app": "pooler"}}})]
    assert not judged(POLICIES["langfuse-stores-for-langfuse"], stack)
    assert judged(POLICIES["langfuse-stores-for-langfuse"], stack, Clients(images=()))


def test_addresses_of_metadata_services_are_a_setting() -> None:
    policy = _network_policy({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "100.64.0.0/10"}}]}]})
    alibaba = Metadata(addresses=("100.100.100.200",))
    assert not judged(POLICIES["no-egress-to-metadata"], policy)
    assert paths(judged(POLICIES["no-egress-to-metadata"], policy, alibaba)) == ["spec.egress[0].to[0].ipBlock"]


def test_the_number_of_ports_to_the_internet_is_a_setting() -> None:
    egress = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}, {"port": 465}]}]
    policy = _network_policy({"podSelector": {}, "egress": egress})
    assert not judged(POLICIES["internet-by-port"], policy)
    assert judged(POLICIES["internet-by-port"], policy, InternetPorts(most=1))


def _dns_policy(*peers: Mapping[str, object], port: int = 53) -> Resource:
    ports = [{"protocol": "UDP", "port": port}]
    return _network_policy(
        {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": list(peers), "ports": ports}]}
    )


def _in(namespace: str) -> dict[str, object]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def test_the_dns_servers_of_a_cluster_are_a_setting() -> None:
    policy = POLICIES["dns-egress-allowed"]
    openshift = Dns(ports=(5353,), namespaces=("openshift-dns",))
    assert not judged(policy, [WEB, _dns_policy(_in("kube-system"))])
    assert judged(policy, [WEB, _dns_policy(_in("kube-system"))], openshift)
    assert judged(policy, [WEB, _dns_policy(_in("openshift-dns"))], openshift)
    assert not judged(policy, [WEB, _dns_policy(_in("openshift-dns"), port=5353)], openshift)
    cloud_dns = Dns(addresses=("169.254.169.254",))
    (found,) = judged(policy, [WEB, _dns_policy(_in("kube-system"))], cloud_dns)
    assert "169.254.169.254" in found.problem
    block = {"ipBlock": {"cidr": "169.254.169.254/32"}}
    assert not judged(policy, [WEB, _dns_policy(_in("kube-system"), block)], cloud_dns)
    assert not judged(policy, [WEB, _dns_policy(_in("kube-system"), {"ipBlock": {"cidr": UNKNOWN}})], cloud_dns)


@pytest.mark.parametrize("policy", ["default-deny", "pods-covered-by-policy", "dns-egress-allowed"])
def test_policies_of_another_network_are_not_judged(policy: str) -> None:
    cilium = resource("kubernetes:cilium.io/v2:CiliumNetworkPolicy", {"metadata": {"namespace": "n"}})
    forgets = _network_policy({"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{}]})
    egress = _network_policy({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}]})
    service = resource(
        "kubernetes:core/v1:Service", {"metadata": {"namespace": "n"}, "spec": {"selector": {"app": "web"}}}
    )
    assert judged(POLICIES[policy], [WEB, service, forgets, egress])
    assert not judged(POLICIES[policy], [WEB, service, forgets, egress, cilium])


def test_a_policy_whose_pods_are_unknown_may_be_the_one_that_is_missing() -> None:
    assert judged(POLICIES["default-deny"], [WEB])
    assert not judged(
        POLICIES["default-deny"], [WEB, _network_policy({"podSelector": UNKNOWN, "policyTypes": UNKNOWN})]
    )


def test_the_root_namespace_of_the_mesh_is_a_setting() -> None:
    strict = {"metadata": {"namespace": "mesh-root"}, "spec": {"mtls": {"mode": "STRICT"}}}
    nothing = {"metadata": {"namespace": "mesh-root"}, "spec": {}}
    stack = [
        _namespace(**SIDECARS),
        resource("kubernetes:security.istio.io/v1:PeerAuthentication", strict),
        resource("kubernetes:security.istio.io/v1:AuthorizationPolicy", nothing),
    ]
    for policy in ("mtls-in-the-mesh", "mesh-allows-nothing-by-default"):
        assert judged(POLICIES[policy], stack)
        assert not judged(POLICIES[policy], stack, Root(root_namespace="mesh-root"))


def test_ports_of_dns_are_a_setting() -> None:
    def way(port: int) -> Resource:
        pods: list[Mapping[str, object]] = [{"to": [{"podSelector": {}}]}]
        names = [{"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [{"port": port, "protocol": "UDP"}]}]
        return _network_policy({"podSelector": {}, "policyTypes": ["Egress"], "egress": [*pods, *names]})

    for port in (53, 5353):
        assert not judged(POLICIES["dns-egress-allowed"], [WEB, way(port)])
    assert judged(POLICIES["dns-egress-allowed"], [WEB, way(5300)])
    assert judged(POLICIES["dns-egress-allowed"], [WEB, way(5353)], Dns(ports=(53,)))
    assert not judged(POLICIES["no-egress-to-metadata"], way(53))


def test_a_port_without_mutual_tls_is_exempt_by_name_for_selected_pods_alone() -> None:
    def authentication(spec: Mapping[str, object], mode: str = "STRICT") -> Resource:
        content = {"mtls": {"mode": mode}, "portLevelMtls": {"9000": {"mode": "PERMISSIVE"}}, **spec}
        metadata = {"name": "archive", "namespace": "n"}
        return resource("kubernetes:security.istio.io/v1:PeerAuthentication", {"metadata": metadata, "spec": content})

    policy, exempt = POLICIES["mtls-without-exceptions"], Exceptions(exempt=("archive",))
    selected = {"selector": {"matchLabels": {"app": "store"}}}
    assert judged(policy, authentication(selected))
    assert not judged(policy, authentication(selected), exempt)
    assert judged(policy, authentication(selected), Exceptions(exempt=("other",)))
    assert judged(policy, authentication({}), exempt)
    assert judged(policy, authentication(selected, "PERMISSIVE"), exempt)


def test_tokens_may_be_required_in_the_root_namespace() -> None:
    rules = [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]
    stack = [
        resource("kubernetes:security.istio.io/v1:RequestAuthentication", {"metadata": {"namespace": "n"}, "spec": {}}),
        resource(
            "kubernetes:security.istio.io/v1:AuthorizationPolicy",
            {"metadata": {"namespace": "mesh-root"}, "spec": {"rules": rules}},
        ),
    ]
    assert judged(POLICIES["tokens-are-required"], stack)
    assert not judged(POLICIES["tokens-are-required"], stack, Root(root_namespace="mesh-root"))


def test_the_mesh_may_be_required() -> None:
    stack = [_namespace(), WEB]
    assert not judged(POLICIES["pods-in-the-mesh"], stack)
    assert judged(POLICIES["pods-in-the-mesh"], stack, Membership(required=True))
    assert not judged(POLICIES["pods-in-the-mesh"], [_namespace(**SIDECARS), WEB], Membership(required=True))


def test_workloads_may_be_exempt_from_the_mesh() -> None:
    template = {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": {"containers": []}}
    job = {"metadata": {"name": "migrate", "namespace": "n"}, "spec": {"template": template}}
    stack = [_namespace(**SIDECARS), resource("kubernetes:batch/v1:Job", job)]
    assert judged(POLICIES["pods-in-the-mesh"], stack)
    assert not judged(POLICIES["pods-in-the-mesh"], stack, Membership(exempt=("n/migr*",)))


def test_jobs_say_so_themselves_where_sidecars_are_not_native() -> None:
    stack = [_namespace(**SIDECARS), _workload("migrate", "langfuse/langfuse:4.16.0", 3000, "batch/v1:Job")]
    assert not judged(POLICIES["jobs-end-in-the-mesh"], stack)
    assert judged(POLICIES["jobs-end-in-the-mesh"], stack, NativeSidecars(native_sidecars=False))


def test_sidecars_are_no_matter_where_istio_cni_is() -> None:
    namespace = _namespace(**SIDECARS, **{"pod-security.kubernetes.io/enforce": "restricted"})
    assert judged(POLICIES["mesh-without-privileges"], namespace)
    assert not judged(POLICIES["mesh-without-privileges"], namespace, Cni(cni=True))


def test_wildcards_that_are_meant_are_a_setting() -> None:
    gateway = resource(
        "kubernetes:networking.istio.io/v1:Gateway", {"spec": {"servers": [{"hosts": ["n/*.example.com"]}]}}
    )
    assert judged(POLICIES["hosts-by-name"], gateway)
    assert not judged(POLICIES["hosts-by-name"], gateway, Wildcards(wildcards=("*.example.com",)))


@pytest.mark.parametrize(
    ("route", "verdict"),
    [
        ({}, "all"),
        ({"match": [{"uri": {"prefix": "/api/"}}]}, "all"),
        ({"match": [{"uri": {"exact": "/api"}}]}, "none"),
        ({"match": [{"uri": {"regex": "/a[a-z]+/.*"}}]}, "all"),
        ({"match": [{"uri": {"regex": "("}}]}, "none"),
        ({"match": [{"uri": {"prefix": "/API"}, "ignoreUriCase": True}]}, "all"),
        ({"match": [{"uri": {"prefix": "/"}, "method": {"exact": "GET"}}]}, "some"),
        ({"match": [{"uri": {"exact": "/x"}}, {"headers": {"a": {"exact": "b"}}}]}, "some"),
        ({"match": [{"gateways": ["mesh"]}]}, "none"),
        ({"match": UNKNOWN}, "some"),
    ],
)
def test_routes_take_paths_as_istio_matches_them(route: Mapping[str, object], verdict: str) -> None:
    subject = resource("kubernetes:networking.istio.io/v1:VirtualService", {"spec": {"http": [route]}})
    assert takes(subject.at("spec.http")[0], "/api/admin") == verdict


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web", "tier": "front"}}, True),
        ({"matchLabels": {"app": "worker"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["worker", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": UNKNOWN}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"app": "web"}, True),
        (UNKNOWN, True),
    ],
)
def test_what_may_select_a_pod_is_found_by_its_labels(selector: object, *, selected: bool) -> None:
    found: Selected[str] = Selected()
    found.add(_network_policy({"podSelector": {"matchLabels": {"app": "else"}}}).at("spec.podSelector"), "other")
    found.add(_network_policy({"podSelector": selector}).at("spec.podSelector"), "this")
    assert found.candidates({"app": "web", "tier": "front"}) == (["this"] if selected else [])
    assert found.candidates(None) == found.all == ["other", "this"]
