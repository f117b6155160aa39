"""Programs that watch the API server: an informer for each kind, and a loop that reconciles after every change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from sandbox.client import ApiError, Client, Json

WATCH_SECONDS = 300
RETRY_SECONDS = 1.0
RESYNC_SECONDS = 60.0

log = logging.getLogger("informer")


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


def reconcile_changes(informers: Collection[Informer], changed: threading.Event, reconcile: Callable[[], bool]) -> None:
    """Start the informers, then reconcile after every change until the process ends.

    Args:
        informers: They set `changed`. Nothing is reconciled before all of them have listed their objects.
        changed: The event that starts a reconciliation.
        reconcile: Returns False if it has to be tried again.
    """
    for informer in informers:
        informer.start()
    for informer in informers:
        informer.synced.wait()
    log.info("all objects are listed")
    while True:
        changed.wait(RESYNC_SECONDS)
        changed.clear()
        if not reconcile():
            time.sleep(RETRY_SECONDS)
            changed.set()


def connect(arguments: Sequence[str]) -> tuple[Client, list[Path]]:
    """Set up logging, and return a client for the arguments `SERVER CA CERTIFICATE KEY` and the paths after them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server, *files = arguments
    authority, certificate, key, *others = (Path(file) for file in files)
    return Client(server, authority, certificate, key), others
