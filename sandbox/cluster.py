"""The objects that a new API server lacks: nodes in three zones, a default StorageClass, and CRDs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sandbox import crds
from sandbox.client import NOT_FOUND, ApiError, Client, Json
from sandbox.storage import CLASSES_PATH, DRIVER, ZONE

ZONES = ("zone-a", "zone-b", "zone-c")
STORAGE_CLASS = "standard"
CAPACITY = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "250"}

LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PARALLEL_REQUESTS = 8


def node(zone: str) -> Json:
    """A node in a zone; kwok reports it as ready."""
    name = f"node-{zone.removeprefix('zone-')}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "sandbox",
                "topology.kubernetes.io/region": "sandbox",
                ZONE: zone,
            },
        },
        "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
    }


def storage_class() -> Json:
    """The default StorageClass: its volumes bind when a pod is scheduled, and they can be expanded."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def csi_driver() -> Json:
    """The CSIDriver object: volumes of this driver need not be attached to a node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": DRIVER},
        "spec": {"attachRequired": False},
    }


def bootstrap(client: Client, more: Sequence[tuple[str, Json]], definitions: list[Json]) -> None:
    """Create the objects that are missing, `more` with their paths too, and update outdated CRDs."""
    present = crds.installed(client)
    objects: list[tuple[str, Json]] = [
        *more,
        (CLASSES_PATH, storage_class()),
        ("/apis/storage.k8s.io/v1/csidrivers", csi_driver()),
    ]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        created = [pool.submit(_create_missing, client, path, body) for path, body in objects]
        updated = [pool.submit(crds.update, client, crd, present.get(crd["metadata"]["name"])) for crd in definitions]
    for creation in created:
        creation.result()
    for update in updated:
        update.result()


def _create_missing(client: Client, path: str, body: Json) -> None:
    """Create an object if it does not exist. A second Service with its address would be invalid, not a conflict."""
    try:
        client.request("GET", f"{path}/{body['metadata']['name']}")
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        client.create(path, body)


def nodes_are_ready(client: Client, number: int) -> bool:
    """Whether this number of nodes exist, and all are ready."""
    nodes = client.request("GET", "/api/v1/nodes")["items"]
    ready = [
        node
        for node in nodes
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
    return len(nodes) >= number and len(ready) == len(nodes)


def pods_can_be_created(client: Client) -> bool:
    """Whether the controller manager has created what every pod in the default namespace needs."""
    try:
        client.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        client.request("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
    except ApiError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


def release_nodes(client: Client) -> None:
    """Delete the leases of the nodes, so that a new kwok need not wait until those of the previous one expire."""
    try:
        client.request("DELETE", LEASES_PATH)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
