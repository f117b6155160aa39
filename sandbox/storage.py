"""A dynamic volume provisioner: does what the controller of a CSI driver does.

It watches PersistentVolumeClaims, PersistentVolumes and StorageClasses. It creates a volume for a claim, accessible
from the node that the scheduler selected, expands it with the claim, and deletes it after the claim, unless its class
retains volumes. Run it as `python -m sandbox.storage SERVER CA CERTIFICATE KEY` for volumes without data, each in one
zone.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from sandbox import informer
from sandbox.client import CONFLICT, NOT_FOUND, ApiError, Client, Json
from sandbox.informer import Informer

DRIVER = "volumes.sandbox.local"
ZONE = "topology.kubernetes.io/zone"
FILE_SYSTEM = "csi.storage.k8s.io/fstype"
"""The parameter of a StorageClass that names the file system of its volumes (kubernetes-csi/external-provisioner)."""
DEFAULT_FILE_SYSTEM = "ext4"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"

CLASSES_PATH = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES_PATH = "/api/v1/persistentvolumes"
CLAIMS_PATH = "/api/v1/persistentvolumeclaims"

log = logging.getLogger("storage")


class Storage(Protocol):
    """What a volume is: how its data is created, expanded and deleted. Each method may be called again."""

    topology: str
    """The label of nodes by whose value a volume is accessible."""

    def create(self, name: str, size: str, file_system: str = DEFAULT_FILE_SYSTEM) -> Json:
        """Create the data of a volume of a size (a quantity). Return the source for the PersistentVolume's spec."""

    def expand(self, name: str, size: str) -> None:
        """Expand the data of a volume."""

    def delete(self, name: str) -> None:
        """Delete the data of a volume."""


class StorageError(Exception):
    """The data of a volume could not be created, expanded or deleted. It is tried again."""


class NoData:
    """Volumes without data, accessible from the nodes of one zone."""

    topology = ZONE

    def create(self, name: str, size: str, file_system: str = DEFAULT_FILE_SYSTEM) -> Json:
        """Return the source of a volume of a CSI driver."""
        return {"csi": {"driver": DRIVER, "volumeHandle": name}}

    def expand(self, name: str, size: str) -> None:
        """Do nothing."""

    def delete(self, name: str) -> None:
        """Do nothing."""


class Provisioner:
    """Reconciles volumes with claims and classes."""

    def __init__(self, client: Client, storage: Storage) -> None:
        self._client = client
        self._storage = storage
        self._changed = threading.Event()
        self._claims, self._volumes, self._classes = (
            Informer(client, path, self._changed) for path in (CLAIMS_PATH, VOLUMES_PATH, CLASSES_PATH)
        )

    def run(self) -> None:
        """Reconcile after every change until the process ends."""
        informer.reconcile_changes((self._claims, self._volumes, self._classes), self._changed, self.reconcile)

    def reconcile(self) -> bool:
        """Reconcile every object once; return False if some have to be tried again."""
        results = [
            self._attempt(reconcile, found)
            for watched, reconcile in (
                (self._claims, self._provision),
                (self._claims, self._expand),
                (self._volumes, self._release),
            )
            for found in watched.objects()
        ]
        return all(results)

    def _attempt(self, reconcile: Callable[[Json], None], found: Json) -> bool:
        try:
            reconcile(found)
        except StorageError as error:
            log.warning("%s: %s", found["metadata"]["name"], error)
            return False
        except ApiError as error:
            if error.status == NOT_FOUND:  # it has been deleted; the informer will report that
                return True
            if error.status != CONFLICT:
                log.warning("%s: %s", found["metadata"]["name"], error)
            return False
        return True

    def _provision(self, claim: Json) -> None:
        """Create the volume for a pending claim."""
        storage_class = self._classes.named(claim["spec"].get("storageClassName") or "")
        if not storage_class or storage_class["provisioner"] != DRIVER or not needs_volume(claim, storage_class):
            return
        name = f"pvc-{claim['metadata']['uid']}"
        if self._volumes.named(name):
            return
        node = claim["metadata"].get("annotations", {}).get(SELECTED_NODE)
        labels = self._client.request("GET", f"/api/v1/nodes/{node}")["metadata"]["labels"] if node else {}
        topology = {key: labels[key] for key in (self._storage.topology,) if key in labels}
        file_system = storage_class.get("parameters", {}).get(FILE_SYSTEM, DEFAULT_FILE_SYSTEM)
        source = self._storage.create(name, requested_size(claim), file_system)
        if self._client.create(VOLUMES_PATH, volume(claim, storage_class, source, topology)):
            log.info("created %s for %s/%s", name, claim["metadata"]["namespace"], claim["metadata"]["name"])

    def _expand(self, claim: Json) -> None:
        """Raise the capacity of the volume, then of the claim's status, to the requested size."""
        bound = self._volumes.named(claim["spec"].get("volumeName") or "")
        if claim.get("status", {}).get("phase") != "Bound" or not bound or not is_provisioned_here(bound):
            return
        # The API server rejects requests below the current capacity, so a different size is a larger one.
        requested = requested_size(claim)
        name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
        if bound["spec"]["capacity"]["storage"] != requested:
            self._storage.expand(bound["metadata"]["name"], requested)
            path = f"{VOLUMES_PATH}/{bound['metadata']['name']}"
            self._client.request("PATCH", path, {"spec": {"capacity": {"storage": requested}}})
        if claim["status"].get("capacity", {}).get("storage") != requested:
            path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}/status"
            self._client.request("PATCH", path, {"status": {"capacity": {"storage": requested}, "conditions": None}})
            log.info("expanded %s/%s to %s", namespace, name, requested)

    def _release(self, found: Json) -> None:
        """Delete a volume whose claim is deleted, unless its class retains it."""
        released = found.get("status", {}).get("phase") == "Released"
        deletable = found["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        if is_provisioned_here(found) and released and deletable and "deletionTimestamp" not in found["metadata"]:
            self._storage.delete(found["metadata"]["name"])
            self._client.request("DELETE", f"{VOLUMES_PATH}/{found['metadata']['name']}")
            log.info("deleted %s", found["metadata"]["name"])


def is_provisioned_here(found: Json) -> bool:
    """Whether this provisioner has created a volume."""
    return bool(found["metadata"].get("annotations", {}).get(PROVISIONED_BY) == DRIVER)


def needs_volume(claim: Json, storage_class: Json) -> bool:
    """Whether a claim needs a volume now. If its class waits for the first consumer, a node must be selected."""
    metadata = claim["metadata"]
    if claim["spec"].get("volumeName") or "deletionTimestamp" in metadata:
        return False
    if claim["spec"].get("dataSource") or claim["spec"].get("dataSourceRef"):
        return False  # there is no data to copy, so the claim stays pending
    immediate = storage_class.get("volumeBindingMode", "Immediate") == "Immediate"
    return immediate or SELECTED_NODE in metadata.get("annotations", {})


def requested_size(claim: Json) -> str:
    """The size that a claim requests, as a quantity."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def volume(claim: Json, storage_class: Json, source: Json, topology: Mapping[str, str]) -> Json:
    """The PersistentVolume for a claim, accessible from the nodes with the labels `topology`."""
    metadata = claim["metadata"]
    name = f"pvc-{metadata['uid']}"
    spec: Json = {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": requested_size(claim)},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
        },
        **source,
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
    }
    if topology:
        expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in topology.items()]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: DRIVER}},
        "spec": spec,
    }


def main() -> None:
    """Run with the arguments in the module's docstring."""
    client, _ = informer.connect(sys.argv[1:])
    Provisioner(client, NoData()).run()


if __name__ == "__main__":
    main()
