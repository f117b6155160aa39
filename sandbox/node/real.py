"""The processes, certificates and objects of the real node."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import yaml

from sandbox import cluster, nodes, services
from sandbox.certificates import Identity
from sandbox.client import Client, Json
from sandbox.folder import Folder, Kind
from sandbox.node import config, dropped, requirements
from sandbox.node.init import NAME
from sandbox.node.network import Network
from sandbox.nodes import CONTAINERD, KUBE_PROXY, KUBELET, NETWORK_POLICIES
from sandbox.processes import Service
from sandbox.storage import ZONE

OBJECTS: Final = Path(__file__).with_name("objects.yaml")
PATHS: Final[Mapping[str, str]] = {
    "ServiceAccount": "/api/v1/namespaces/kube-system/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/kube-system/configmaps",
    "Service": "/api/v1/namespaces/kube-system/services",
    "Deployment": "/apis/apps/v1/namespaces/kube-system/deployments",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
"""Where the API serves the kinds of the node's objects, which are in the namespace kube-system."""


class RealNode:
    """One node with containerd, kubelet, kube-proxy and CoreDNS."""

    users = nodes.TOOLS[Kind.REAL]
    memory_limit = services.REAL_NODE_MEMORY_LIMIT

    def __init__(self, folder: Folder, network: Network) -> None:
        self._folder = folder
        self._network = network

    @property
    def address(self) -> str:
        """The address of the node, which the host reaches too."""
        return self._network.node

    @property
    def api_server_flags(self) -> tuple[str, ...]:
        """How the API server reaches kubelet, for logs and commands in pods."""
        pki = self._folder.pki
        return (
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The certificates of kubelet, of its client, and of kube-proxy."""
        return (
            Identity(KUBELET, f"system:node:{NAME}", ("system:nodes",), hosts=(self.address, NAME)),
            Identity("kubelet-client", "sandbox-kubelet-client", ("system:masters",)),
            Identity(KUBE_PROXY, "system:kube-proxy"),
        )

    def processes(self, plan: services.Plan) -> list[Service]:
        """The node's processes. kubelet starts after containerd, and the others use the API alone."""
        folder, pki = self._folder.path / "node", self._folder.pki
        files = config.write(folder / "config", self._network, pki)
        path = {"PATH": requirements.path()}
        containerd = shutil.which(CONTAINERD, path=requirements.path()) or CONTAINERD
        flags = {
            KUBELET: (
                f"--config={files[KUBELET]}",
                f"--kubeconfig={plan.kubeconfig(KUBELET)}",
                f"--node-ip={self.address}",
                f"--hostname-override={NAME}",
                f"--node-labels={ZONE}={cluster.ZONES[0]},topology.kubernetes.io/region=sandbox",
                "--cert-dir=/var/lib/kubelet/pki",
            ),
            KUBE_PROXY: (f"--config={files[KUBE_PROXY]}",),
        }
        inputs = {
            KUBELET: (files[KUBELET], plan.kubeconfig(KUBELET), pki / "kubelet.crt"),
            KUBE_PROXY: (files[KUBE_PROXY], plan.kubeconfig(KUBE_PROXY)),
        }
        programs = [
            Service(name, (str(plan.tool(name)), *flags[name]), {**path, **services.others_memory()}, inputs[name])
            for name in nodes.TOOLS[Kind.REAL]
        ]
        return [
            Service(CONTAINERD, (containerd, f"--config={files[CONTAINERD]}"), path, (files[CONTAINERD],)),
            *programs,
            plan.client(services.STORAGE, "sandbox.node.volumes", str(folder / "volumes")),
            plan.client(
                NETWORK_POLICIES,
                "sandbox.node.network_policies",
                str(dropped.path(self._folder.path)),
                config.ANNOUNCEMENTS,
            ),
        ]

    def start_first(self) -> Mapping[str, Callable[[], bool]]:
        """The container runtime, which kubelet expects when it starts."""
        return {CONTAINERD: Path(config.CONTAINERD_SOCKET).is_socket}

    def objects(self) -> list[tuple[str, Json]]:
        """CoreDNS."""
        return [(PATHS[item["kind"]], item) for item in yaml.safe_load_all(OBJECTS.read_text())]

    def prepare(self, client: Client) -> None:
        """Nothing has to be prepared: kubelet registers the node."""

    def conditions(self, client: Client) -> Mapping[str, Callable[[], bool]]:
        """Whether the node is ready and resolves names."""
        return {
            "the node is ready": lambda: cluster.nodes_are_ready(client, 1),
            "CoreDNS is ready": lambda: _is_available(client, "coredns"),
        }


def _is_available(client: Client, deployment: str) -> bool:
    found = client.request("GET", f"{PATHS['Deployment']}/{deployment}")
    return bool(found.get("status", {}).get("availableReplicas"))
