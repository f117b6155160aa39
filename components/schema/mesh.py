"""The service mesh that the pods are part of."""

from typing import Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.values import DnsLabel, Host


class Mesh(Model):
    """Istio between the pods: mutual TLS for every connection, and rules for who may connect to whom.

    Where the cluster has no Istio data plane of the mode, the pods run as they would without, and only the network
    rules guard them.
    """

    mode: Literal["ambient", "sidecar", "none"] | None = Field(
        default=None,
        description="Data plane; `sidecar` needs Istio's CNI plugin and native sidecars. If not given, `ambient` where "
        "`ingress.kind` is `istio`, else `none`.",
    )
    trust_domain: Host = Field(default="cluster.local", description="The mesh's trust domain (MeshConfig).")
    namespace: DnsLabel = Field(default="istio-system", description="Where istiod runs.")
