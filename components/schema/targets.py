"""The targets in private networks that users can make Langfuse call: names, addresses, and pods of the cluster."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.schema.base import Model
from components.schema.labels import LabelKey, LabelValue
from components.schema.values import DnsLabel, Port, host_name


def _ip_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError('is not an IP address; write it like "10.0.12.7"') from None
    _refuse_dangerous(ipaddress.ip_network(address))
    return str(address)


def _ip_range(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError('is not an IP range; write it like "10.0.12.0/24", without host bits') from None
    shortest = _SHORTEST_PREFIX[network.version]
    if network.prefixlen < shortest:
        raise ValueError(f"allows {network.num_addresses} addresses; use at most a /{shortest}, or single addresses")
    _refuse_dangerous(network)
    return str(network)


_SHORTEST_PREFIX = {4: 16, 6: 64}
"""By IP version. A larger range contains more than one network of pods or servers."""

_DANGEROUS = [
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("127.0.0.0/8", "the pod itself"),
        ("::1/128", "the pod itself"),
        ("0.0.0.0/8", "the pod itself"),
        ("169.254.0.0/16", "the metadata service of the cloud, which serves credentials"),
        ("fe80::/10", "link-local addresses, where metadata services are"),
        ("fd00:ec2::254/128", "the metadata service of the cloud, which serves credentials"),
    )
]


def _refuse_dangerous(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    seen = ipaddress.ip_network(mapped) if mapped else network
    for dangerous, what in _DANGEROUS:
        if dangerous.version == seen.version and dangerous.overlaps(seen):
            raise ValueError(f"would let requests of users reach {what}; remove it")


def _target_host(text: str) -> str:
    """A host name without wildcards: Langfuse compares the whole name."""
    if re.fullmatch(r"[0-9.]+|\[?[0-9a-f:]+\]?", text) and (":" in text or text.count(".") == 3):  # noqa: PLR2004
        raise ValueError('is an IP address; move it to "ips"')
    if "*" in text:
        raise ValueError("has a wildcard, which Langfuse does not support; list each host")
    if text in _METADATA_HOSTS or text == "localhost" or text.endswith(".localhost"):
        raise ValueError("would let requests of users reach the pod itself or the metadata service; remove it")
    return host_name(text)


_METADATA_HOSTS = {"metadata", "metadata.google.internal", "instance-data", "metadata.azure.internal"}


IpAddress = Annotated[str, AfterValidator(_ip_address)]
IpRange = Annotated[str, AfterValidator(_ip_range)]
TargetHost = Annotated[str, AfterValidator(_target_host)]


class TargetPods(Model):
    """Pods of the same cluster that web and worker can connect to."""

    namespace: DnsLabel = Field(
        description="Namespace of the pods. Its own network policies must allow web and worker."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        min_length=1, description="Labels of the pods. Only pods with all of these labels can be reached."
    )
    port: Port = Field(description="Port of the pods. The port of their Service may be different.")


class Targets(Model):
    """Private targets that users can make Langfuse call. Langfuse blocks all other private addresses."""

    hosts: list[TargetHost] = Field(
        default=[], description="Exact host names, for example `litellm.gateway.svc.cluster.local`."
    )
    ips: list[IpAddress] = Field(default=[], description="IP addresses.")
    ranges: list[IpRange] = Field(default=[], description="IP ranges, at most a /16.")
    ports: list[Port] = Field(
        default=[],
        max_length=16,
        description="Ports of the hosts, addresses and ranges. Default: 80 and 443 of hosts outside of the cluster, "
        "and all ports of addresses, ranges, and of the namespaces of Services.",
    )
    pods: list[TargetPods] = Field(
        default=[],
        examples=[[{"namespace": "gateway", "labels": {"app.kubernetes.io/name": "litellm"}, "port": 4000}]],
        description="Pods of this cluster behind these names and addresses. If pods of the namespace of a Service are "
        "listed here, no others of that namespace can be reached.",
    )


class AllowedTargets(Model):
    """Targets in private networks that users can make Langfuse call.

    Network policies allow web and worker to reach the internet (`network.internet`), and what is listed here.
    """

    llm: Targets = Field(default=Targets(), description="Targets of LLM connections, for example LLM gateways.")
    webhook: Targets = Field(default=Targets(), description="Targets of webhooks.")
    blob_storage: Targets = Field(default=Targets(), description="Targets of scheduled exports to blob storage.")
    sso_discovery: Targets = Field(default=Targets(), description="Identity providers that users configure.")
