"""Live views of the objects in a namespace: one list and one watch per kind, shared by everything that waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.api import Api, ApiError
from sandbox.plugins.kubernetes.discovery import Resource
from sandbox.plugins.kubernetes.objects import Object, mapping, name, objects, text

WATCH_SECONDS: Final = "240"
RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 15.0


class Informer:
    """The objects of one kind in one namespace, kept current by a watch for as long as the plugin runs."""

    def __init__(self, api: Api, path: str) -> None:
        """`path` is that of a collection."""
        self._api, self._path = api, path
        self._objects: dict[str, Object] = {}
        self._listeners: set[threading.Event] = set()
        self._lock = threading.Lock()
        self._synced = threading.Event()
        threading.Thread(target=self._run, name=f"watch {path}", daemon=True).start()

    @property
    def synced(self) -> bool:
        """Say whether the first list has arrived; before it, no object is known."""
        return self._synced.is_set()

    def get(self, object_name: str) -> Object | None:
        """Return an object as last seen, None where there is none."""
        return self._objects.get(object_name)

    def all(self) -> list[Object]:
        """Return every object as last seen."""
        return list(self._objects.values())

    def listen(self, listener: threading.Event) -> None:
        """Set the event at every change from now on."""
        with self._lock:
            self._listeners.add(listener)
        listener.set()

    def forget(self, listener: threading.Event) -> None:
        """Stop setting the event."""
        with self._lock:
            self._listeners.discard(listener)

    def _run(self) -> None:
        pause = RETRY_SECONDS
        while True:
            try:
                version = self._list()
                pause = RETRY_SECONDS
                self._watch(version)
            except (ApiError, PluginError) as error:
                # Without the right to list, what depends on it waits in vain and tells so at its timeout.
                if isinstance(error, ApiError) and error.status == HTTPStatus.FORBIDDEN:
                    pause = MAX_RETRY_SECONDS
                time.sleep(pause)
                pause = min(pause * 2, MAX_RETRY_SECONDS)

    def _list(self) -> str:
        answer = self._api.request("GET", self._path)
        kind, version = text(answer, "kind").removesuffix("List"), text(answer, "apiVersion")
        found = {name(item): {"apiVersion": version, "kind": kind, **item} for item in objects(answer, "items")}
        self._objects = found
        self._synced.set()
        self._notify()
        return text(answer, "metadata", "resourceVersion")

    def _watch(self, version: str) -> None:
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_SECONDS,
        }
        for event in self._api.stream(self._path, query):
            obj = mapping(event, "object")
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    self._objects = {**self._objects, name(obj): obj}
                case "DELETED":
                    self._objects = {key: item for key, item in self._objects.items() if key != name(obj)}
                case "ERROR":
                    return  # the version is too old: list again
                case _:
                    continue
            self._notify()

    def _notify(self) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.set()


class Cancellation:
    """Whether the engine asked for everything to stop."""

    def __init__(self) -> None:
        """Nothing is cancelled yet."""
        self._cancelled = False
        self._listeners: set[threading.Event] = set()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Say whether to stop."""
        return self._cancelled

    def cancel(self) -> None:
        """Wake everything that waits, so that it stops."""
        with self._lock:
            self._cancelled = True
            for listener in self._listeners:
                listener.set()

    @contextmanager
    def waking(self, listener: threading.Event) -> Iterator[None]:
        """Set the event when everything is to stop."""
        with self._lock:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)


class Informers:
    """The informers of one cluster, started when first asked for."""

    def __init__(self, api: Api, cancellation: Cancellation) -> None:
        """Watch this API server."""
        self._api, self.cancellation = api, cancellation
        self._running: dict[str, Informer] = {}
        self._lock = threading.Lock()

    def of(self, resource: Resource, namespace: str) -> Informer:
        """Return the informer of a kind in a namespace."""
        path = resource.collection(namespace)
        with self._lock:
            if path not in self._running:
                self._running[path] = Informer(self._api, path)
            return self._running[path]

    @contextmanager
    def listening(self, informers: list[Informer]) -> Iterator[threading.Event]:
        """Return an event that is set whenever one of the informers changes or everything is to stop."""
        wake = threading.Event()
        for informer in informers:
            informer.listen(wake)
        try:
            with self.cancellation.waking(wake):
                yield wake
        finally:
            for informer in informers:
                informer.forget(wake)
