"""Rules of NetworkPolicies: what each feature of a policy means, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from components.schema.selectors import selects
from sandbox.node.network import POD_RANGE
from sandbox.node.nftables import table
from sandbox.node.policy_rules import Rules, directions, known_pods, rules
from tests.unit.sandbox.connections import Json, allows, app, namespace, pod, policy

WEB, WORKER, STORE, OTHER = (f"10.244.0.{number}" for number in range(2, 6))
PODS = [
    pod("web", WEB, ports={"http": 3000}),
    pod("worker", WORKER, ports={"http": 3030}),
    pod("store", STORE, ports={"sql": 5432}),
    pod("other", OTHER, within="elsewhere", ports={"http": 8080}),
]
NAMESPACES = [namespace("app"), namespace("elsewhere", team="blue")]


def enforced(*policies: Json, pods: list[Json] | None = None) -> Rules:
    return rules(PODS if pods is None else pods, NAMESPACES, policies)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "none", "operator": "In", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "none", "operator": "Exists"}]}, False),
    ],
)
def test_a_selector_matches_labels(selector: Json | None, *, matches: bool) -> None:
    assert selects(selector, {"app": "web", "tier": "front"}) is matches


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("Ingress",)),
        ({"ingress": []}, ("Ingress",)),
        ({"egress": []}, ("Ingress",)),
        ({"egress": [{}]}, ("Ingress", "Egress")),
        ({"policyTypes": ["Egress"]}, ("Egress",)),
        ({"policyTypes": ["Egress", "Ingress"]}, ("Ingress", "Egress")),
    ],
)
def test_a_policy_isolates_in_its_directions(spec: Json, expected: tuple[str, ...]) -> None:
    assert directions(spec) == expected


def test_pods_without_policies_are_open() -> None:
    open_to_all = enforced()
    assert allows(open_to_all, WEB, STORE, 5432)
    assert allows(open_to_all, "203.0.113.9", WEB, 3000)
    assert allows(open_to_all, WEB, "203.0.113.9", 443)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"within": "unknown"},
    ],
)
def test_a_pod_that_is_not_known_can_do_nothing(change: Any) -> None:  # noqa: ANN401  # arguments of `pod`
    found = enforced(pods=[*PODS, pod("late", "10.244.0.9", **change)])
    assert not allows(found, "10.244.0.9", STORE, 5432)
    assert not allows(found, WEB, "10.244.0.9", 80)
    assert not allows(found, "10.244.0.9", "203.0.113.9", 443)


def test_a_pod_in_the_network_of_the_node_has_no_rules() -> None:
    agent = pod("agent", "10.250.7.2")
    agent["spec"]["hostNetwork"] = True
    assert [one.name for one in known_pods([agent, PODS[0]], {"app": {}})] == ["web"]


def test_an_address_of_two_pods_is_not_known() -> None:
    found = enforced(pods=[*PODS, pod("late", WEB)])
    assert not allows(found, WEB, STORE, 5432)
    ended = enforced(pods=[*PODS, pod("late", WEB, phase="Succeeded")])
    assert allows(ended, WEB, STORE, 5432)


def test_an_announced_address_counts_before_the_api_server_knows_it() -> None:
    late = pod("late", "")
    late["status"] = {"phase": "Pending"}
    objects = [*PODS, late]
    deny = policy("deny", app("late"), policyTypes=["Egress"])
    assert not allows(rules(objects, NAMESPACES, []), "10.244.0.9", STORE, 5432)
    announced = {"10.244.0.9": late["metadata"]["uid"]}
    assert allows(rules(objects, NAMESPACES, [], announced), "10.244.0.9", STORE, 5432)
    assert not allows(rules(objects, NAMESPACES, [deny], announced), "10.244.0.9", STORE, 5432)


def test_an_announced_address_is_not_that_of_an_earlier_pod() -> None:
    """After a restart of the node, the API server has the previous addresses."""
    late = pod("late", OTHER)
    deny = policy("deny", app("web"), policyTypes=["Egress"])
    found = rules([*PODS, late], NAMESPACES, [deny], {WEB: late["metadata"]["uid"], OTHER: PODS[3]["metadata"]["uid"]})
    assert [(one.address, one.name) for one in found.pods] == [
        (WEB, "late"),
        (WORKER, "worker"),
        (STORE, "store"),
        (OTHER, "other"),
    ]
    assert allows(found, WEB, STORE, 5432)


def test_a_pod_cannot_block_itself() -> None:
    found = enforced(policy("deny", {}, policyTypes=["Ingress", "Egress"]))
    assert not allows(found, WEB, WORKER, 3030)
    assert allows(found, WEB, WEB, 3000)


def test_policies_add_up() -> None:
    deny = policy("deny", {}, policyTypes=["Ingress"])
    web = policy("web", app("store"), ingress=[{"from": [{"podSelector": app("web")}]}])
    worker = policy("worker", app("store"), ingress=[{"from": [{"podSelector": app("worker")}], "ports": []}])
    assert not allows(enforced(deny), WEB, STORE, 5432)
    assert not allows(enforced(deny, web), WORKER, STORE, 5432)
    both = enforced(deny, web, worker)
    assert allows(both, WEB, STORE, 5432)
    assert allows(both, WORKER, STORE, 5432)
    assert not allows(both, OTHER, STORE, 5432)


def test_a_named_port_is_that_of_the_pod_that_is_connected_to() -> None:
    ingress = policy("in", {}, ingress=[{"ports": [{"port": "http"}]}])
    egress = policy(
        "out",
        app("store"),
        policyTypes=["Egress"],
        egress=[
            {
                "to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}],
                "ports": [{"port": "http"}],
            }
        ],
    )
    found = enforced(ingress, egress)
    assert allows(found, OTHER, WEB, 3000)
    assert allows(found, OTHER, WORKER, 3030)
    assert not allows(found, OTHER, WEB, 3030)
    assert not allows(found, OTHER, STORE, 5432)
    assert allows(found, STORE, WEB, 3000)
    assert allows(found, STORE, OTHER, 8080)
    assert not allows(found, STORE, OTHER, 3000)
    assert not allows(found, STORE, "203.0.113.9", 8080)


def test_an_unknown_name_of_a_port_allows_nothing() -> None:
    found = enforced(policy("in", app("web"), ingress=[{"ports": [{"port": "metrics"}]}]))
    assert not allows(found, OTHER, WEB, 3000)


def test_the_ports_of_sidecars_have_names_too() -> None:
    web = pod("web", WEB)
    web["spec"]["initContainers"] = [
        {"name": "setup", "ports": [{"name": "http", "containerPort": 1}]},
        {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 2}]},
    ]
    found = enforced(policy("in", {}, ingress=[{"ports": [{"port": "http"}]}]), pods=[web])
    assert allows(found, "203.0.113.9", WEB, 2)
    assert not allows(found, "203.0.113.9", WEB, 1)


def test_blocks_do_not_match_pods() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/25", "203.0.113.64/26"]}}
    found = enforced(policy("in", {}, ingress=[{"from": [block]}], egress=[{"to": [block]}]))
    assert allows(found, WEB, "198.51.100.1", 443)
    assert not allows(found, WEB, "203.0.113.9", 443)
    assert not allows(found, WEB, WORKER, 3030)
    assert "!= { 203.0.113.0/25 }" in table(found, POD_RANGE)  # an overlap would be an error of nft


def test_blocks_of_ipv6_match_addresses_outside_only() -> None:
    block = {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}}
    found = enforced(policy("both", {}, ingress=[{"from": [block]}], egress=[{"to": [block]}]))
    assert not allows(found, "203.0.113.9", WEB, 3000)
    assert allows(found, "2001:db8::9", WEB, 3000)
    assert allows(found, WEB, "2001:db8::9", 443)
    assert not allows(found, WEB, "fe80::1", 443)
    text = table(found, POD_RANGE)  # no packet of IPv6 reaches a chain
    assert "::/0" not in text


def test_ranges_that_overlap_are_merged() -> None:
    ports = [{"port": 80, "endPort": 90}, {"port": 85}, {"port": 91, "endPort": 95}, {"port": 53, "protocol": "UDP"}]
    text = table(enforced(policy("in", app("web"), ingress=[{"ports": ports}])), POD_RANGE)
    assert "tcp dport { 80-95 } return" in text
    assert "udp dport { 53 } return" in text


def test_a_protocol_without_a_port_is_all_of_its_ports() -> None:
    found = enforced(policy("in", app("web"), ingress=[{"ports": [{"protocol": "UDP"}, {"protocol": "SCTP"}]}]))
    assert allows(found, WORKER, WEB, 1, "UDP")
    assert allows(found, WORKER, WEB, 65535, "SCTP")
    assert not allows(found, WORKER, WEB, 3000, "TCP")
    text = table(found, POD_RANGE)
    assert "meta l4proto udp return" in text
    assert "meta l4proto sctp return" in text
