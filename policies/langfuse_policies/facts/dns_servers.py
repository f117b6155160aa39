"""The DNS servers that pods query, by kind of cluster.

The policy `dns-egress-allowed` knows these servers, and `langfuse:cluster.preset` allows egress to those of its
cluster. A NetworkPolicy is evaluated after the address of a Service has been replaced by that of a pod. Servers that
are pods are therefore named by their namespace and their own ports, and servers on the node by their addresses. A cache
on the node can also answer at the address of the Service `kube-dns`, which then stays in the packet. Servers that a pod
queries at an address of their own listen at port 53, since a resolv.conf names no port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class DnsServers:
    """The DNS servers of one kind of cluster."""

    namespaces: tuple[str, ...] = ("kube-system",)
    """Namespaces of servers that are pods."""
    addresses: tuple[str, ...] = ()
    """Addresses of servers on the node, and the usual address of the Service `kube-dns`."""
    ports: tuple[int, ...] = (53,)
    """Ports of servers that are pods."""


NODE_LOCAL: Final = "169.254.20.10"
"""NodeLocal DNSCache (kubernetes.io/docs/tasks/administer-cluster/nodelocaldns). With kube-proxy in iptables mode it
also listens at the address of the Service `kube-dns`."""

KUBESPRAY_NODE_LOCAL: Final = "169.254.25.10"
"""NodeLocal DNSCache as Kubespray and KubeKey install it by default (kubernetes-sigs/kubespray, `nodelocaldns_ip`)."""

METADATA_SERVER: Final = "169.254.169.254"
"""Cloud DNS for GKE: the server of the node that also serves credentials, at other ports. The kubelet writes it into
the resolv.conf of every pod (cloud.google.com/kubernetes-engine/docs/how-to/cloud-dns; tektoncd/operator#4000)."""

DNS_SERVERS: Final[Mapping[str, DnsServers]] = {
    # The CoreDNS of a vcluster listens at 1053 (loft-sh/vcluster-docs#2336), that of Gardener at 8053
    # (gardener.cloud/docs/gardener/networking/custom-dns-config, cilium/cilium#48913).
    "generic": DnsServers(addresses=(NODE_LOCAL, KUBESPRAY_NODE_LOCAL), ports=(53, 1053, 8053)),
    # The ranges of Services are 10.96.0.0/16 and fd00:10:96::/112 (kind.sigs.k8s.io/docs/user/configuration,
    # serviceSubnet).
    "kind": DnsServers(addresses=(NODE_LOCAL, "10.96.0.10", "fd00:10:96::a")),
    # --cluster-dns (docs.k3s.io/cli/server).
    "k3s": DnsServers(addresses=(NODE_LOCAL, "10.43.0.10")),
    # EKS chooses one of two ranges for Services. In Auto Mode CoreDNS is a service of each node, not a pod
    # (docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html).
    "eks": DnsServers(addresses=(NODE_LOCAL, "10.100.0.10", "172.20.0.10")),
    # 34.118.224.0/20 is the default range of Services. NodeLocal DNSCache is on by default in Autopilot, and in
    # Standard since 1.34.1 (cloud.google.com/kubernetes-engine/docs/how-to/nodelocal-dns-cache).
    "gke": DnsServers(addresses=(NODE_LOCAL, METADATA_SERVER, "34.118.224.10")),
    "gke-autopilot": DnsServers(addresses=(NODE_LOCAL, METADATA_SERVER, "34.118.224.10")),
    # LocalDNS listens at two addresses (learn.microsoft.com/azure/aks/localdns-custom); --dns-service-ip.
    "aks": DnsServers(addresses=(NODE_LOCAL, "169.254.10.10", "169.254.10.11", "10.0.0.10")),
    # The pods of the DNS operator listen at 5353, behind a Service at 53
    # (github.com/openshift/cluster-dns-operator, assets/dns/daemonset.yaml and service.yaml).
    "openshift": DnsServers(namespaces=("openshift-dns",), ports=(5353,)),
}
