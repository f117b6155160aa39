"""What a fresh API server lacks of a cluster: nodes in three zones, a default StorageClass, and CRDs."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from sandbox.client import NOT_FOUND, ApiError, Client, Json
from sandbox.manifests import served
from sandbox.storage import CLASSES_PATH, DRIVER, ZONE

ZONES = ("zone-a", "zone-b", "zone-c")
STORAGE_CLASS = "standard"
CAPACITY = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "250"}

CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
DIGEST = "sandbox.local/digest"  # annotation: which text of a CRD is installed
PARALLEL_REQUESTS = 8

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ALL_RESOURCES = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def node(zone: str) -> Json:
    """A node of one zone; kwok reports it ready."""
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
    """The default class: volumes that bind once a pod is scheduled, and that can grow."""
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
    """Tells the controllers that volumes of this driver need not be attached to a node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": DRIVER},
        "spec": {"attachRequired": False},
    }


def furnish(client: Client, crds: list[Json]) -> None:
    """Create what is missing, and bring outdated CRDs up to date."""
    installed = {
        item["metadata"]["name"]: item["metadata"]
        for item in client.request("GET", CRDS_PATH, accept=_METADATA_ONLY)["items"] or []
    }
    wanted: list[tuple[str, Json]] = [
        *(("/api/v1/nodes", node(zone)) for zone in ZONES),
        (CLASSES_PATH, storage_class()),
        ("/apis/storage.k8s.io/v1/csidrivers", csi_driver()),
    ]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        results = [pool.submit(client.create, path, body) for path, body in wanted]
        results += [pool.submit(_put_crd, client, crd, installed.get(crd["metadata"]["name"])) for crd in crds]
    for result in results:
        result.result()


def _put_crd(client: Client, crd: Json, installed: Json | None) -> bool:
    """Create or replace a CRD; False when it is as wanted."""
    name, body = crd["metadata"]["name"], with_digest(crd)
    if installed and installed.get("annotations", {}).get(DIGEST) == body["metadata"]["annotations"][DIGEST]:
        return False
    if not installed:
        return client.create(CRDS_PATH, body)
    body["metadata"]["resourceVersion"] = installed["resourceVersion"]
    client.request("PUT", f"{CRDS_PATH}/{name}", body)
    return True


def with_digest(crd: Json) -> Json:
    """The CRD, annotated with what tells whether it is the one that is installed."""
    digest = hashlib.sha256(json.dumps(crd, sort_keys=True).encode()).hexdigest()
    annotations = crd["metadata"].get("annotations", {}) | {DIGEST: digest}
    return crd | {"metadata": crd["metadata"] | {"annotations": annotations}}


def nodes_are_ready(client: Client) -> bool:
    """Whether every node is there and says that it is ready."""
    nodes = client.request("GET", "/api/v1/nodes")["items"]
    ready = [
        node
        for node in nodes
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
    return len(nodes) >= len(ZONES) and len(ready) == len(nodes)


def crds_are_served(client: Client, crds: list[Json]) -> bool:
    """Whether the API server answers for every custom resource."""
    groups = client.request("GET", "/apis", accept=_ALL_RESOURCES)["items"]
    found = {
        (group["metadata"]["name"], version["version"], resource["resource"])
        for group in groups
        for version in group["versions"]
        for resource in version.get("resources", [])
    }
    return found.issuperset(served(crds))


def namespace_is_furnished(client: Client) -> bool:
    """Whether the controller manager has done its part in the default namespace: pods can be created there."""
    try:
        client.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        client.request("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
    except ApiError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


def release_nodes(client: Client) -> None:
    """Let a new kwok take the nodes over at once: it would wait until the leases of the one before have run out."""
    try:
        client.request("DELETE", LEASES_PATH)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
