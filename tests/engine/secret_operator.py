"""Replaces the External Secrets operator: it reads ExternalSecrets and writes their Secrets.

It implements the fields that the program sets as version 1.3.2 does (pkg/controllers/externalsecret), and no others:
creation policy, immutable targets, refresh policy, merged templates without expressions, and the Ready condition.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Mapping
from typing import Final

from sandbox.client import NOT_FOUND, ApiError, Client, Json
from sandbox.controlplane import Sandbox
from sandbox.services import ADMIN, API_SERVER, url

POLL_SECONDS: Final = 0.2
MANAGED: Final = "reconcile.external-secrets.io/managed"
"""The label of every Secret that the operator writes (apis/externalsecrets/v1)."""


class GoneError(Exception):
    """The object has been deleted."""


class SecretOperator(threading.Thread):
    """Processes the ExternalSecrets of a namespace until it is stopped."""

    def __init__(self, sandbox: Sandbox, namespace: str, store: Mapping[str, Mapping[str, str]], delay: float) -> None:
        """Create the thread. It begins with `start`.

        Args:
            sandbox: The cluster.
            namespace: The namespace of the ExternalSecrets.
            store: The content of the secret store: entry, property, value.
            delay: Minimum time in seconds that reading from the store takes.
        """
        super().__init__(daemon=True)
        folder = sandbox.folder
        certificate, key = (folder.pki / f"{ADMIN}.{suffix}" for suffix in ("crt", "key"))
        self._client = Client(url(folder.ports()[API_SERVER]), folder.pki / "ca.crt", certificate, key)
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._path = f"/apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets"
        self._store = store
        self._delay = delay
        self._ended = threading.Event()
        self._round = 0

    def run(self) -> None:
        """Poll, since a watch would have to be interrupted."""
        while not self._ended.wait(POLL_SECONDS):
            for item in self._client.request("GET", self._path)["items"]:
                if self._is_due(item):
                    self._ended.wait(self._delay)
                    with contextlib.suppress(GoneError):
                        self._sync(item)

    def stop(self) -> None:
        """Stop, and wait until the current work is done."""
        self._ended.set()
        self.join()

    def refresh(self, store: Mapping[str, Mapping[str, str]]) -> None:
        """Change the values in the store, and let the refresh interval pass."""
        self._store = store
        self._round += 1

    def _version(self, item: Json) -> str:
        return f"{item['metadata']['generation']}-{self._round}"

    def _is_due(self, item: Json) -> bool:
        synced = item.get("status", {}).get("syncedResourceVersion")
        if item["spec"]["refreshPolicy"] == "CreatedOnce":
            return not synced
        return bool(synced != self._version(item))

    def _sync(self, item: Json) -> None:
        spec = item["spec"]
        try:
            data = {one["secretKey"]: self._read(one["remoteRef"]) for one in spec["data"]}
        except KeyError:
            self._report(item, {"type": "Ready", "status": "False", "reason": "SecretSyncedError"})
            return
        self._write(item, data)
        condition = {"type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced"}
        self._report(item, condition, syncedResourceVersion=self._version(item))

    def _read(self, reference: Json) -> str:
        return self._store[reference["key"]][reference["property"]]

    def _write(self, item: Json, data: Mapping[str, str]) -> None:
        target = item["spec"]["target"]
        template = target.get("template", {})
        kept = data if not template or template["mergePolicy"] == "Merge" else {}
        contents = {**kept, **template.get("data", {})}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in contents.items()}
        metadata: Json = {"name": target["name"], "labels": {MANAGED: "true"}}
        if target["creationPolicy"] == "Owner":
            names = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"]}
            metadata["ownerReferences"] = [{**names, "uid": item["metadata"]["uid"], "controller": True}]
        secret: Json = {"metadata": metadata, "data": encoded, "immutable": target.get("immutable", False)}
        if not self._client.create(self._secrets, secret):
            self._patch(f"{self._secrets}/{target['name']}", secret)

    def _report(self, item: Json, condition: Json, **status: str) -> None:
        path = f"{self._path}/{item['metadata']['name']}/status"
        self._patch(path, {"status": {"conditions": [condition], **status}})

    def _patch(self, path: str, change: Json) -> None:
        try:
            self._client.request("PATCH", path, change)
        except ApiError as error:
            if error.status == NOT_FOUND:
                raise GoneError from error
            raise
