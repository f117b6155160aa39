from decimal import Decimal
from typing import get_args

import pytest

from components.network.requests import steady_state_pods
from components.schema.cluster import Cluster
from components.schema.policy_library import DNS_SERVERS
from components.schema.values import quantity_value
from components.settings.clusters import CLUSTERS, DEFAULT
from components.settings.load import parse
from components.settings.scales import SCALES
from tests.unit.pods import containers, workloads
from tests.unit.program import recorded

HOST = {"host": "langfuse.example.com"}


def cluster(**config: object) -> Cluster:
    return parse("dev", {**HOST, "cluster": config}).cluster


def test_every_preset_can_be_chosen_and_has_its_dns_servers() -> None:
    assert set(CLUSTERS) == set(get_args(Cluster.model_fields["preset"].annotation)) == set(DNS_SERVERS)
    for name, servers in DNS_SERVERS.items():
        dns = cluster(preset=name).dns
        assert (dns.namespaces, dns.ports) == ([*servers.namespaces], [*servers.ports])
        assert dns.ranges == [f"{address}/{128 if ':' in address else 32}" for address in servers.addresses]


def test_without_a_preset_the_defaults_are_those_of_the_keys() -> None:
    assert parse("dev", HOST).cluster == cluster(preset=DEFAULT) == Cluster()


@pytest.mark.parametrize("name", CLUSTERS)
def test_each_value_of_a_preset_can_be_set_by_itself(name: str) -> None:
    preset, changed = cluster(preset=name), cluster(preset=name, dns={"ranges": ["10.1.0.10/32"]})
    assert changed.dns.ranges == ["10.1.0.10/32"]
    assert (changed.dns.namespaces, changed.dns.ports) == (preset.dns.namespaces, preset.dns.ports)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_every_pod_has_the_cpu_that_autopilot_requires(profile: str, scale: str) -> None:
    """Autopilot would raise it in the objects themselves, which would be drift for ever."""
    config = {"scale": scale, "cluster": {"preset": "gke-autopilot"}}
    recording = recorded(profile, config)
    pods = [(item.name, containers(item)) for item in workloads(recording)]
    for name, found in pods:
        for one in found:
            requests, limits = one["resources"]["requests"], one["resources"]["limits"]
            cpu, memory = quantity_value(requests["cpu"]), quantity_value(requests["memory"]) / 1024**3
            assert Decimal("0.15") <= cpu / memory <= 1, (name, one["name"], requests)  # 1:1 to 1:6.5
            assert cpu <= quantity_value(limits["cpu"])
    settings = parse(profile, {**HOST, **config})
    for item in steady_state_pods(settings):  # the quota and the sizing count with the same
        assert item.each.memory / item.each.cpu <= Decimal("6.5") * 1024**3, item.name


def test_the_cpu_for_memory_is_a_key() -> None:
    config = {**HOST, "cluster": {"preset": "gke-autopilot", "memoryPerCpu": "4Gi"}}
    worker = {"cpu": "100m", "memory": "2Gi", "cpuLimit": "250m"}
    resources = parse("dev", {**config, "worker": {"resources": worker}}).worker.resources
    assert (resources.cpu, resources.cpu_limit) == ("500m", "500m")
    unchanged = parse("dev", {**HOST, "worker": {"resources": worker}}).worker.resources
    assert (unchanged.cpu, unchanged.cpu_limit) == ("100m", "250m")


def test_a_preset_may_come_as_text_as_pulumi_passes_it() -> None:
    assert parse("dev", {**HOST, "cluster": '{"preset": "openshift"}'}).cluster.dns.ports == [5353]
