"""What users may make Langfuse call in private networks: names, addresses, and pods of the same cluster."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.schema.base import Model
from components.schema.values import DnsLabel, Port, host_name

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL.pattern}")


def _label_key(text: str) -> str:
    if not _LABEL_KEY.fullmatch(text):
        raise ValueError('is not the key of a label; write it like "app.kubernetes.io/name"')
    return text


def _label_value(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("is not the value of a label: at most 63 letters, digits, '-', '_' and '.'")
    return text


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
        raise ValueError('is not a range of addresses; write it like "10.0.12.0/24", without host bits') from None
    least = _LEAST_PREFIX[network.version]
    if network.prefixlen < least:
        raise ValueError(f"opens {network.num_addresses} addresses; name at most a /{least}, or single hosts")
    _refuse_dangerous(network)
    return str(network)


_LEAST_PREFIX = {4: 16, 6: 64}
"""A range that is wider holds more than one network of pods or of servers."""

_DANGEROUS = [
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("127.0.0.0/8", "the pod itself"),
        ("::1/128", "the pod itself"),
        ("0.0.0.0/8", "the pod itself"),
        ("169.254.0.0/16", "the cloud's metadata service, which hands out credentials"),
        ("fe80::/10", "the link, where metadata services are"),
        ("fd00:ec2::254/128", "the cloud's metadata service, which hands out credentials"),
    )
]


def _refuse_dangerous(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    seen = ipaddress.ip_network(mapped) if mapped else network
    for dangerous, what in _DANGEROUS:
        if dangerous.version == seen.version and dangerous.overlaps(seen):
            raise ValueError(f"would let users' requests reach {what}; leave it out")


def _target_host(text: str) -> str:
    """A host that users may make Langfuse call: exact, since the application compares it whole."""
    if re.fullmatch(r"[0-9.]+|\[?[0-9a-f:]+\]?", text) and (":" in text or text.count(".") == 3):  # noqa: PLR2004
        raise ValueError('is an address; put it under "ips"')
    if "*" in text:
        raise ValueError("is compared whole: wildcards mean nothing; name each host")
    if text in _METADATA_HOSTS or text == "localhost" or text.endswith(".localhost"):
        raise ValueError("would let users' requests reach the pod itself or the cloud's metadata service; leave it out")
    return host_name(text)


_METADATA_HOSTS = {"metadata", "metadata.google.internal", "instance-data", "metadata.azure.internal"}


IpAddress = Annotated[str, AfterValidator(_ip_address)]
IpRange = Annotated[str, AfterValidator(_ip_range)]
TargetHost = Annotated[str, AfterValidator(_target_host)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]


class TargetPods(Model):
    """Pods of the same cluster that web and worker may connect to."""

    namespace: DnsLabel = Field(description="Where they run. Its own network rules must let web and worker in.")
    labels: dict[LabelKey, LabelValue] = Field(
        min_length=1, description="Labels of the pods: only those that have all of them are reached."
    )
    port: Port = Field(description="Port of the pods, which their Service may map from another one.")


class Targets(Model):
    """Private addresses that users may make Langfuse call, although it blocks private ranges."""

    hosts: list[TargetHost] = Field(default=[], description="Exact names, as `litellm.gateway.svc.cluster.local`.")
    ips: list[IpAddress] = Field(default=[], description="Addresses.")
    ranges: list[IpRange] = Field(default=[], description="Ranges, at most a /16.")
    pods: list[TargetPods] = Field(
        default=[],
        examples=[[{"namespace": "gateway", "labels": {"app.kubernetes.io/name": "litellm"}, "port": 4000}]],
        description="Pods of this cluster that these lead to: network rules let web and worker through.",
    )


class AllowedTargets(Model):
    """What users may make Langfuse call within private networks.

    Network rules let web and worker through to the internet's ports (443, 465, 587) and to the pods named here.
    """

    llm: Targets = Field(default=Targets(), description="LLM gateways.")
    webhook: Targets = Field(default=Targets(), description="Receivers of webhooks.")
    blob_storage: Targets = Field(default=Targets(), description="Stores for exports on a schedule.")
    sso_discovery: Targets = Field(default=Targets(), description="Identity providers that users configure.")
