"""The defaults of each kind of cluster, in the form of a stack file.

A preset states only what differs from the defaults of the keys, which are those of `generic`.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import JsonValue

from components.schema.base import Model, Resources
from components.schema.environment import Settings
from components.schema.policy_library import DNS_SERVERS
from components.schema.requests import cpu_for_memory
from components.schema.workloads import Pool

ModelT = TypeVar("ModelT", bound=Model)

DEFAULT: Final = "generic"


def _dns(name: str) -> dict[str, JsonValue]:
    """The DNS servers of a kind of cluster, from the table that the policies read too."""
    servers = DNS_SERVERS[name]
    ranges = [str(ipaddress.ip_network(address)) for address in servers.addresses]
    return {"namespaces": [*servers.namespaces], "ranges": [*ranges], "ports": [*servers.ports]}


_GOOGLE_LOAD_BALANCERS: Final[list[JsonValue]] = [
    *("35.191.0.0/16", "130.211.0.0/22"),
    *("2600:2d00:1:b029::/64", "2600:2d00:1:1::/64"),
]
"""Google's front ends, and its health checks of every load balancer
(cloud.google.com/load-balancing/docs/firewall-rules). Regional and internal load balancers are proxies in a subnet of
the VPC, the proxy-only subnet."""

CLUSTERS: Final[Mapping[str, dict[str, JsonValue]]] = {
    DEFAULT: {"dns": _dns(DEFAULT)},
    "kind": {"dns": _dns("kind"), "apiServer": {"ports": [443, 6443]}},
    # k3s installs Traefik into kube-system (docs.k3s.io/networking/networking-services).
    "k3s": {"dns": _dns("k3s"), "apiServer": {"ports": [443, 6443]}, "controllers": {"traefik": "kube-system"}},
    # Managed API servers are outside of the cluster, at 443.
    "eks": {"dns": _dns("eks"), "apiServer": {"ports": [443]}},
    "gke": {"dns": _dns("gke"), "apiServer": {"ports": [443]}, "loadBalancers": _GOOGLE_LOAD_BALANCERS},
    # Autopilot raises the smaller of CPU and memory if their ratio is not between 1:1 and 1:6.5
    # (cloud.google.com/kubernetes-engine/docs/concepts/autopilot-resource-requests).
    "gke-autopilot": {
        "dns": _dns("gke-autopilot"),
        "apiServer": {"ports": [443]},
        "memoryPerCpu": "6.5Gi",
        "loadBalancers": _GOOGLE_LOAD_BALANCERS,
    },
    "aks": {"dns": _dns("aks"), "apiServer": {"ports": [443]}},
    # docs.redhat.com/documentation/openshift_container_platform, Managing security context constraints.
    # The Operator Lifecycle Manager installs operators of the whole cluster in openshift-operators, and that of KEDA in
    # openshift-keda (Custom Metrics Autoscaler). The router, which
    # serves Ingresses as Routes, is in openshift-ingress (docs.redhat.com, Ingress Operator).
    "openshift": {
        "dns": _dns("openshift"),
        "users": "namespace",
        "apiServer": {"ports": [443, 6443], "namespaces": ["openshift-kube-apiserver"]},
        "operators": {"cloudnativePg": "openshift-operators", "keda": "openshift-keda"},
        "controllers": {"other": "openshift-ingress"},
    },
}


def with_cpu_for_memory(settings: Settings) -> Settings:
    """The settings with requests for CPU that fit `cluster.memoryPerCpu`. Without this key, they stay as they are."""
    per_cpu, changed = settings.cluster.memory_per_cpu, {}
    for name in ("web", "worker", "postgres", "clickhouse", "redis", "object_store") if per_cpu else ():
        changed[name] = _with_fitted(getattr(settings, name), per_cpu)
    return settings.model_copy(update=changed)


def _with_fitted(section: ModelT, per_cpu: str | None) -> ModelT:
    """A section of the configuration with fitted resources, also of the pools in it."""
    found: dict[str, object] = {}
    for key, value in section:
        if isinstance(value, Resources):
            found[key] = _fitted(value, per_cpu)
        elif isinstance(value, Pool):
            found[key] = _with_fitted(value, per_cpu)
        elif isinstance(value, dict):
            pools = {name: _with_fitted(one, per_cpu) for name, one in value.items() if isinstance(one, Pool)}
            found[key] = {**value, **pools}
    return section.model_copy(update=found)


def _fitted(resources: Resources, per_cpu: str | None) -> Resources:
    cpu, limit = cpu_for_memory(resources.cpu, resources.cpu_limit, resources.memory, per_cpu)
    return resources.model_copy(update={"cpu": cpu, "cpu_limit": limit})
