from typing import get_args

import pytest

from components.schema.cluster import Cluster
from components.schema.policy_library import DNS_SERVERS
from components.settings.clusters import CLUSTERS, DEFAULT
from components.settings.load import parse

HOST = {"host": "langfuse.example.com"}


def cluster(**config: object) -> Cluster:
    return parse("dev", {**HOST, "cluster": config}).cluster


def test_every_preset_can_be_chosen_and_has_its_dns_servers() -> None:
    assert set(CLUSTERS) == set(get_args(Cluster.model_fields["preset"].annotation)) == set(DNS_SERVERS)
    for name, servers in DNS_SERVERS.items():
        dns = cluster(preset=name).dns
        assert (dns.namespaces, dns.port) == ([*servers.namespaces], servers.port)
        assert dns.ranges == [f"{address}/32" for address in servers.addresses]


def test_without_a_preset_the_defaults_are_those_of_the_keys() -> None:
    assert parse("dev", HOST).cluster == cluster(preset=DEFAULT) == Cluster()


@pytest.mark.parametrize("name", CLUSTERS)
def test_each_value_of_a_preset_can_be_set_by_itself(name: str) -> None:
    preset, changed = cluster(preset=name), cluster(preset=name, dns={"ranges": ["10.1.0.10/32"]})
    assert changed.dns.ranges == ["10.1.0.10/32"]
    assert (changed.dns.namespaces, changed.dns.port) == (preset.dns.namespaces, preset.dns.port)


def test_a_preset_may_come_as_text_as_pulumi_passes_it() -> None:
    assert parse("dev", {**HOST, "cluster": '{"preset": "openshift"}'}).cluster.dns.port == 5353
