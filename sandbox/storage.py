"""A dynamic volume provisioner: does what the controller of a CSI driver does, for volumes without data.

It watches PersistentVolumeClaims, PersistentVolumes and StorageClasses. It creates a volume for a claim, in the zone
of the node that the scheduler selected, expands it with the claim, and deletes it after the claim, unless its class
retains volumes. Run it as `python -m sandbox.storage SERVER CA CERTIFICATE KEY`.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.client import CONFLICT, NOT_FOUND, ApiError, Client, Json

DRIVER = "volumes.sandbox.local"
ZONE = "topology.kubernetes.io/zone"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"

CLASSES_PATH = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES_PATH = "/api/v1/persistentvolumes"
CLAIMS_PATH = "/api/v1/persistentvolumeclaims"

WATCH_SECONDS = 300
RETRY_SECONDS = 1.0
RESYNC_SECONDS = 60.0

log = logging.getLogger("storage")


class Informer(threading.Thread):
    """The current objects of one kind, from a list and a watch. Sets the event `changed` after every change."""

    def __init__(self, client: Client, path: str, changed: threading.Event) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._path = path
        self._changed = changed
        self._objects: dict[str, Json] = {}
        self.synced = threading.Event()

    def objects(self) -> list[Json]:
        """Return all objects."""
        return list(self._objects.values())

    def named(self, name: str) -> Json | None:
        """Return a cluster-scoped object by its name."""
        return next((found for found in self.objects() if found["metadata"]["name"] == name), None)

    def run(self) -> None:
        """List and watch until the process ends."""
        while True:
            try:
                self._list_and_watch()
            except (ApiError, ValueError) as error:
                log.warning("%s: %s", self._path, error)
                time.sleep(RETRY_SECONDS)

    def _list_and_watch(self) -> None:
        """List once, then watch until the watch ends."""
        listed = self._client.request("GET", self._path)
        self._objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        self.synced.set()
        self._changed.set()
        for event in self._client.watch(self._path, listed["metadata"]["resourceVersion"], WATCH_SECONDS):
            found = event["object"]
            if event["type"] == "ERROR":  # the resource version is too old: list again
                return
            if event["type"] == "DELETED":
                self._objects.pop(found["metadata"]["uid"], None)
            elif event["type"] != "BOOKMARK":
                self._objects[found["metadata"]["uid"]] = found
            self._changed.set()


class Provisioner:
    """Reconciles volumes with claims and classes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed = threading.Event()
        self._claims, self._volumes, self._classes = (
            Informer(client, path, self._changed) for path in (CLAIMS_PATH, VOLUMES_PATH, CLASSES_PATH)
        )

    def run(self) -> None:
        """Reconcile after every change until the process ends."""
        for informer in (self._claims, self._volumes, self._classes):
            informer.start()
        for informer in (self._claims, self._volumes, self._classes):
            informer.synced.wait()
        log.info("watching claims, volumes and classes")
        while True:
            self._changed.wait(RESYNC_SECONDS)
            self._changed.clear()
            if not self.reconcile():
                time.sleep(RETRY_SECONDS)
                self._changed.set()

    def reconcile(self) -> bool:
        """Reconcile every object once; return False if some have to be tried again."""
        results = [
            self._attempt(reconcile, found)
            for informer, reconcile in (
                (self._claims, self._provision),
                (self._claims, self._expand),
                (self._volumes, self._release),
            )
            for found in informer.objects()
        ]
        return all(results)

    def _attempt(self, reconcile: Callable[[Json], None], found: Json) -> bool:
        try:
            reconcile(found)
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
        zone = self._client.request("GET", f"/api/v1/nodes/{node}")["metadata"]["labels"].get(ZONE) if node else None
        if self._client.create(VOLUMES_PATH, volume(claim, storage_class, zone)):
            log.info("created %s for %s/%s", name, claim["metadata"]["namespace"], claim["metadata"]["name"])

    def _expand(self, claim: Json) -> None:
        """Raise the capacity of the volume, then of the claim's status, to the requested size."""
        bound = self._volumes.named(claim["spec"].get("volumeName") or "")
        if claim.get("status", {}).get("phase") != "Bound" or not bound or not is_provisioned_here(bound):
            return
        # The API server rejects requests below the current capacity, so a different size is a larger one.
        requested = claim["spec"]["resources"]["requests"]["storage"]
        name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
        if bound["spec"]["capacity"]["storage"] != requested:
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


def volume(claim: Json, storage_class: Json, zone: str | None) -> Json:
    """The PersistentVolume for a claim, accessible from the nodes of one zone (None: of all zones)."""
    metadata = claim["metadata"]
    name = f"pvc-{metadata['uid']}"
    spec: Json = {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")},
        },
        "csi": {"driver": DRIVER, "volumeHandle": name},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
    }
    if zone:
        expression = {"key": ZONE, "operator": "In", "values": [zone]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: DRIVER}},
        "spec": spec,
    }


def main() -> None:
    """Run with the arguments in the module's docstring."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server, *files = sys.argv[1:]
    authority, certificate, key = (Path(file) for file in files)
    Provisioner(Client(server, authority, certificate, key)).run()


if __name__ == "__main__":
    main()
