"""The service mesh of the pods."""

from typing import Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.values import DnsLabel, Host, NetworkRange, Port


class ControlPlane(Model):
    """A control plane outside of the cluster, such as that of Google's Cloud Service Mesh. Only for `sidecar`."""

    ranges: list[NetworkRange] = Field(
        default=[],
        description="Its addresses, for example `199.36.153.8/30` (`private.googleapis.com`). Default: istiod in "
        "`namespace` alone.",
    )
    ports: list[Port] = Field(default=[443], min_length=1, description="Its ports.")


class Mesh(Model):
    """Istio between the pods: mutual TLS for every connection, and authorization policies.

    If the cluster has no Istio data plane of this mode, the pods run without a mesh, and only the network policies
    protect them.
    """

    mode: Literal["ambient", "sidecar", "none"] | None = Field(
        default=None,
        description="Data plane. `sidecar` requires Istio's CNI plugin and native sidecars. Default: `ambient` if "
        "`ingress.kind` is `istio`, otherwise `none`.",
    )
    revision: DnsLabel | None = Field(
        default=None,
        description="Revision of Istio whose sidecars the pods get (label `istio.io/rev`), or a tag such as `default`. "
        "Only for `sidecar`. Default: the label `istio-injection`.",
    )
    outside_clients: list[DnsLabel] | None = Field(
        default=None,
        description="Namespaces of `clients`, `network.webClients` and KEDA whose pods are not in the mesh. Web and "
        "files in MinIO then also accept plain text, and Redis does if KEDA's is listed. `[]` states that all of them "
        "are in the mesh. Default: all are, with a warning.",
    )
    outbound_traffic: Literal["allow-any", "mesh"] = Field(
        default="allow-any",
        description="Whether sidecars connect to addresses that the mesh does not know. `allow-any`: yes, and the "
        "network policies decide. `mesh`: as MeshConfig says; with `REGISTRY_ONLY`, each host outside of the cluster "
        "then needs a ServiceEntry.",
    )
    trust_domain: Host = Field(default="cluster.local", description="Trust domain of the mesh (MeshConfig).")
    namespace: DnsLabel = Field(default="istio-system", description="Namespace of istiod.")
    control_plane: ControlPlane = ControlPlane()
