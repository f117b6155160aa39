"""The two kinds of nodes of a sandbox: simulated ones, on which pods become ready without running, and a real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sandbox import cluster, services
from sandbox.certificates import Identity
from sandbox.client import Client, Json
from sandbox.folder import LOOPBACK, Kind
from sandbox.processes import Service

POD_RANGE = "10.244.0.0/16"


CONTAINERD = "containerd"
KUBELET = "kubelet"
KUBE_PROXY = "kube-proxy"
NETWORK_POLICIES = "network-policies"

PROCESSES: Mapping[Kind, Sequence[str]] = {
    Kind.SIMULATED: (services.KWOK, services.STORAGE),
    Kind.REAL: (CONTAINERD, KUBELET, KUBE_PROXY, services.STORAGE, NETWORK_POLICIES),
}
"""The names of the processes of each kind, dependencies first."""
TOOLS: Mapping[Kind, Sequence[str]] = {Kind.SIMULATED: (services.KWOK,), Kind.REAL: (KUBELET, KUBE_PROXY)}
"""The tools that each kind needs, in addition to those of the control plane."""


class Nodes(Protocol):
    """What runs the pods of a sandbox."""

    def processes(self, plan: services.Plan) -> list[Service]:
        """Its processes, dependencies first."""

    def start_first(self) -> Mapping[str, Callable[[], bool]]:
        """The processes that start before the API server is ready, and whether each is ready."""

    @property
    def address(self) -> str:
        """Where the API server listens, so that nodes and people reach it."""

    @property
    def api_server_flags(self) -> tuple[str, ...]:
        """Its flags of the API server."""

    @property
    def memory_limit(self) -> str:
        """The memory from which the API server collects garbage often, in the format of GOMEMLIMIT."""

    @property
    def identities(self) -> Sequence[Identity]:
        """The certificates that it needs, in addition to those of the control plane."""

    @property
    def users(self) -> Sequence[str]:
        """The users that need a kubeconfig."""

    def objects(self) -> list[tuple[str, Json]]:
        """The paths and contents of the objects that it needs in the cluster."""

    def prepare(self, client: Client) -> None:
        """Prepare the cluster for the start of its first process."""

    def conditions(self, client: Client) -> Mapping[str, Callable[[], bool]]:
        """What must be true before it counts as ready, by what to call it."""


class SimulatedNodes:
    """Nodes in three zones that kwok simulates."""

    address = LOOPBACK
    api_server_flags = ("--endpoint-reconciler-type=none",)  # endpoints must not have a loopback address
    memory_limit = services.API_SERVER_MEMORY_LIMIT
    identities = (Identity(services.KWOK, "sandbox-kwok", ("system:masters",)),)
    users = (services.KWOK,)

    def __init__(self, stages: Path) -> None:
        """`stages` is the file with the stages of kwok."""
        self._stages = stages

    def processes(self, plan: services.Plan) -> list[Service]:
        """Kwok and the provisioner of volumes."""
        kubeconfig = plan.kubeconfig(services.KWOK)
        kwok = plan.service(
            services.KWOK,
            (kubeconfig, self._stages),
            f"--kubeconfig={kubeconfig}",
            f"--config={self._stages}",
            "--manage-all-nodes=true",
            f"--cidr={POD_RANGE}",
            "--node-lease-duration-seconds=40",
        )
        return [kwok, plan.client(services.STORAGE, "sandbox.storage")]

    def start_first(self) -> Mapping[str, Callable[[], bool]]:
        """None: kwok and the provisioner need the API server."""
        return {}

    def objects(self) -> list[tuple[str, Json]]:
        """The nodes."""
        return [("/api/v1/nodes", cluster.node(zone)) for zone in cluster.ZONES]

    def prepare(self, client: Client) -> None:
        """Release the nodes from the previous kwok."""
        cluster.release_nodes(client)

    def conditions(self, client: Client) -> Mapping[str, Callable[[], bool]]:
        """Whether the nodes are ready."""
        return {"the nodes are ready": lambda: cluster.nodes_are_ready(client, len(cluster.ZONES))}
