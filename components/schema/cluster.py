"""The Kubernetes cluster: where it is, and where it differs from other clusters."""

from typing import Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.values import ByteQuantity, DnsLabel, DnsRange, FieldPath, Host, NetworkRange, Port


class Dns(Model):
    """The DNS servers of the cluster. Pods can connect to these and to no other DNS servers."""

    namespaces: list[DnsLabel] = Field(default=["kube-system"], description="Namespaces of DNS servers that are pods.")
    ranges: list[DnsRange] = Field(
        default=["169.254.20.10/32", "169.254.25.10/32"],
        description="Addresses of DNS servers on the nodes, such as NodeLocal DNSCache, at port 53. If pods reach such "
        "a server at the address of the Service `kube-dns` (kube-proxy with iptables), add that address. A preset has "
        "the usual one.",
    )
    ports: list[Port] = Field(
        default=[53, 1053, 8053],
        min_length=1,
        description="Ports of DNS servers that are pods, TCP and UDP: of the pods, not of the Service. A vcluster uses "
        "1053, Gardener 8053.",
    )


class ApiServer(Model):
    """The API server, as pods reach it. Only the pods of CloudNativePG connect to it.

    Addresses, namespaces and ports are allowed together, because network plugins see the API server differently.
    """

    ports: list[Port] = Field(
        default=[443, 6443, 8443, 16443],
        min_length=1,
        description="Ports of its Service and of the servers. minikube uses 8443, MicroK8s 16443.",
    )
    ranges: list[NetworkRange] = Field(
        default=["0.0.0.0/0", "::/0"], description="Addresses of the servers and of the Service `kubernetes`."
    )
    namespaces: list[DnsLabel] = Field(
        default=["kube-system"], description="Namespaces of API servers that are pods to the network plugin."
    )
    cilium: bool = Field(
        default=False,
        description="Whether to also create a CiliumNetworkPolicy for the entity `kube-apiserver`. Cilium matches no "
        "node by its address, so it is needed where API servers run on nodes of the cluster, unless "
        "`policyCIDRMatchMode` is `nodes`.",
    )


class Controllers(Model):
    """The namespaces of the cluster's ingress controllers, for `ingress.kind: ingress`."""

    nginx: DnsLabel | None = Field(default="ingress-nginx", description="Namespace of ingress-nginx.")
    traefik: DnsLabel | None = Field(default="traefik", description="Namespace of Traefik.")
    other: DnsLabel | None = Field(default=None, description="Namespace of the controller `other`.")


class Operators(Model):
    """The namespaces of operators that connect to pods of the stack."""

    cloudnative_pg: DnsLabel = Field(default="cnpg-system", description="Namespace of the CloudNativePG operator.")
    keda: DnsLabel = Field(
        default="keda", description="Namespace of KEDA's operator, which connects to Redis (`queueLength`)."
    )


class PriorityClasses(Model):
    """PriorityClasses of the cluster for the pods of the stack, each by its name. They must exist.

    Where nodes are short of room, pods of a higher priority are placed first and may take the place of others. Stores
    should have the highest priority, and Jobs the lowest.
    """

    stores: Host | None = Field(default=None, description="For the pods of the stores. Default: that of the cluster.")
    application: Host | None = Field(
        default=None, description="For web, the worker and oauth2-proxy. Default: that of the cluster."
    )
    jobs: Host | None = Field(
        default=None, description="For Jobs: migrations, backups and restores. Default: that of the cluster."
    )


Users = Literal["image", "namespace"]
"""Where the user and group IDs of containers come from."""


class Cluster(Model):
    """The Kubernetes cluster of the stack."""

    preset: Literal["generic", "kind", "k3s", "eks", "gke", "gke-autopilot", "aks", "openshift"] = Field(
        default="generic",
        description="The kind of cluster: provides defaults for the other keys here ([Clusters](#clusters)). "
        "`generic` fits most clusters.",
    )
    context: str | None = Field(default=None, description="Context of the kubeconfig. Default: the current context.")
    kubeconfig: str | None = Field(
        default=None, description="Path of the kubeconfig. Default: the environment variable `KUBECONFIG`."
    )
    storage_class: Host | None = Field(
        default=None,
        description="StorageClass of new volumes. For production, use one that encrypts, allows expansion and has the "
        "reclaim policy Retain. Default: the default class of the cluster. Existing volumes keep their class.",
    )
    users: Users = Field(
        default="image",
        description="Where the user and group IDs of containers come from. `image`: each pod runs as the user of its "
        "image. `namespace`: pods set no IDs, and the cluster assigns them from a range of the namespace, as OpenShift "
        "does. It can't change while a store of the stack has data.",
    )
    memory_per_cpu: ByteQuantity | None = Field(
        default=None,
        description="Memory that a pod may request for each core that it requests. The requests for CPU are raised to "
        "fit, as GKE Autopilot would raise them in every object that has less. Default: any ratio.",
    )
    priority_classes: PriorityClasses = PriorityClasses()
    dns: Dns = Dns()
    api_server: ApiServer = ApiServer()
    operators: Operators = Operators()
    controllers: Controllers = Controllers()
    load_balancers: list[NetworkRange] = Field(
        default=[],
        description="Addresses from which load balancers of the cloud connect to pods and check their health. They can "
        "connect to web and to files in MinIO with `ingress.kind: gateway-api`, and with the controller `other`, "
        "unless `ingress.proxy` says what forwards requests.",
    )
    ignore_changes: dict[str, list[FieldPath]] = Field(
        default={},
        description="Fields that the cluster sets itself, for example by a webhook, by `Kind` or `Kind/name` of the "
        "objects. They are not drift, and an update does not set them back.",
    )
