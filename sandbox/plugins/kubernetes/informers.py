"""Informers: the current objects of a kind in a namespace, from one list and one watch that all waits share."""

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
    """The objects of one kind in one namespace, updated by a watch until the plugin exits."""

    def __init__(self, api: Api, path: str) -> None:
        """`path` is the path of the collection."""
        self._api, self._path = api, path
        self._objects: dict[str, Object] = {}
        self._listeners: set[threading.Event] = set()
        self._lock = threading.Lock()
        self._synced = threading.Event()
        threading.Thread(target=self._run, name=f"watch {path}", daemon=True).start()

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived; before that, the informer has no objects."""
        return self._synced.is_set()

    def get(self, object_name: str) -> Object | None:
        """Return the last known state of an object, None if it does not exist."""
        return self._objects.get(object_name)

    def all(self) -> list[Object]:
        """Return the last known state of all objects."""
        return list(self._objects.values())

    def listen(self, listener: threading.Event) -> None:
        """Set the event now and after every change."""
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
                # Without permission to list, the operations that need the objects time out.
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
                    return  # the resource version is too old: list again
                case _:
                    continue
            self._notify()

    def _notify(self) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.set()


class Cancellation:
    """Whether the engine has cancelled the operation."""

    def __init__(self) -> None:
        """Start without a cancellation."""
        self._cancelled = False
        self._listeners: set[threading.Event] = set()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Return whether the operation is cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel all waits."""
        with self._lock:
            self._cancelled = True
            for listener in self._listeners:
                listener.set()

    @contextmanager
    def waking(self, listener: threading.Event) -> Iterator[None]:
        """Set the event on cancellation while the block runs."""
        with self._lock:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)


class Informers:
    """The informers of one cluster, started on first use."""

    def __init__(self, api: Api, cancellation: Cancellation) -> None:
        """Watch objects of one API server."""
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
        """Yield an event that is set after every change of one of the informers and on cancellation."""
        wake = threading.Event()
        for informer in informers:
            informer.listen(wake)
        try:
            with self.cancellation.waking(wake):
                yield wake
        finally:
            for informer in informers:
                informer.forget(wake)
