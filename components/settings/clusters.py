"""The defaults of each kind of cluster, in the form of a stack file.

A preset states only what differs from the defaults of the keys, which are those of `generic`.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from components.schema.policy_library import DNS_SERVERS

DEFAULT: Final = "generic"


def _dns(name: str) -> dict[str, JsonValue]:
    """The DNS servers of a kind of cluster, from the table that the policies read too."""
    servers = DNS_SERVERS[name]
    ranges = [f"{address}/32" for address in servers.addresses]
    return {"namespaces": [*servers.namespaces], "ranges": [*ranges], "port": servers.port}


CLUSTERS: Final[Mapping[str, dict[str, JsonValue]]] = {
    DEFAULT: {"dns": _dns(DEFAULT)},
    "kind": {"dns": _dns("kind"), "apiServer": {"ports": [443, 6443]}},
    "k3s": {"dns": _dns("k3s"), "apiServer": {"ports": [443, 6443]}},
    # Managed API servers are outside of the cluster, at 443.
    "eks": {"dns": _dns("eks"), "apiServer": {"ports": [443]}},
    "gke": {"dns": _dns("gke"), "apiServer": {"ports": [443]}},
    "gke-autopilot": {"dns": _dns("gke-autopilot"), "apiServer": {"ports": [443]}},
    "aks": {"dns": _dns("aks"), "apiServer": {"ports": [443]}},
    # docs.redhat.com/documentation/openshift_container_platform, Managing security context constraints.
    # The Operator Lifecycle Manager installs operators of the whole cluster in openshift-operators.
    "openshift": {
        "dns": _dns("openshift"),
        "users": "namespace",
        "apiServer": {"ports": [443, 6443], "namespaces": ["openshift-kube-apiserver"]},
        "operators": {"cloudnativePg": "openshift-operators"},
    },
}
