"""The configured cluster: whether it is reachable, the kinds that it serves, and its objects."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import kubeconfig
from sandbox.plugins.kubernetes.api import JSON, Api, ApiError, UnreachableError
from sandbox.plugins.kubernetes.discovery import Discovery, NoSuchKindError, Resource, Scopes
from sandbox.plugins.kubernetes.informers import Cancellation, Informer, Informers
from sandbox.plugins.kubernetes.objects import Kind, Object, name, namespace, objects, put_metadata
from sandbox.plugins.kubernetes.settings import Settings

DEFAULT_NAMESPACE: Final = "default"


class Cluster:
    """One cluster. Connects with the first request."""

    def __init__(self, settings: Settings, cancellation: Cancellation) -> None:
        """Find the cluster that the settings select. If there is none, `unreachable` has the reason."""
        self.settings, self.cancellation = settings, cancellation
        self.scopes = Scopes()
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._is_reported = False
        self.api: Api | None = None
        self.default_namespace = settings.namespace or DEFAULT_NAMESPACE
        try:
            target = kubeconfig.resolve(settings)
        except PluginError as error:
            self._reason = error.message
            return
        self.default_namespace = settings.namespace or target.namespace
        self.api = Api(target, settings.request_timeout)
        self._discovery = Discovery(self.api)
        self._informers = Informers(self.api, cancellation)

    @property
    def unreachable(self) -> str:
        """Why the cluster can't be used, empty if it can; determined once."""
        with self._lock:
            if self._reason is None:
                self._reason = self._connection_error()
            return self._reason

    def require(self) -> None:
        """Raise an error if the cluster can't be reached. Only the first error has the full reason."""
        if not self.unreachable:
            return
        with self._lock:
            first, self._is_reported = not self._is_reported, True
        reason = self.unreachable if first else "see the first such error"
        raise UnreachableError(f"configured Kubernetes cluster is unreachable: {reason}")

    def _connection_error(self) -> str:
        if self.api is None:
            return "no cluster"
        try:
            self.api.request("GET", "/version")
        except PluginError as error:
            return error.message
        except ApiError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return f"{self.api.target.server} rejects the credentials of the kubeconfig: {error.message}"
        return ""

    def namespaced(self, kind: Kind) -> bool:
        """Return whether a kind is namespaced. An unknown kind counts as namespaced."""
        known = self.scopes.namespaced(kind)
        if known is None and not self.unreachable:
            try:
                return self._discovery.find(kind).namespaced
            except (NoSuchKindError, ApiError):
                return True
        return known is not False

    def serves(self, kind: Kind) -> bool:
        """Return whether the cluster is reachable and serves a kind."""
        if self.unreachable:
            return False
        try:
            self._discovery.find(kind)
        except (NoSuchKindError, ApiError):
            return False
        return True

    def find(self, kind: Kind) -> Resource:
        """Return the API resource of a kind. Raises NoSuchKindError."""
        self.require()
        return self._discovery.find(kind)

    def get(self, obj: Object) -> Object:
        """Return the live object of the same kind, namespace and name. Raises ApiError."""
        return self.request("GET", obj)

    def request(
        self,
        method: str,
        obj: Object,
        *,
        query: dict[str, str] | None = None,
        body: Object | list[Object] | None = None,
        content_type: str = JSON,
        warn: Callable[[str], None] | None = None,
    ) -> Object:
        """Send a request for an object: to its path, or with POST to its collection."""
        resource = self.find(Kind.of(obj))
        if not resource.namespaced and namespace(obj):
            put_metadata(obj, "namespace", None)
        where = resource.collection(namespace(obj)) if method == "POST" else resource.item(namespace(obj), name(obj))
        return self._connected().request(method, where, query=query, body=body, content_type=content_type, warn=warn)

    def list(self, kind: Kind, in_namespace: str) -> list[Object]:
        """Return the objects of a kind in a namespace, none if they can't be listed."""
        try:
            answer = self._connected().request("GET", self.find(kind).collection(in_namespace))
        except (ApiError, NoSuchKindError):
            return []
        return objects(answer, "items")

    def watch(self, kind: Kind, in_namespace: str) -> Informer:
        """Return the informer of a kind in a namespace."""
        return self._informers.of(self.find(kind), in_namespace)

    @property
    def informers(self) -> Informers:
        """The informers of this cluster."""
        return self._informers

    def _connected(self) -> Api:
        if self.api is None:
            raise UnreachableError(f"configured Kubernetes cluster is unreachable: {self.unreachable}")
        return self.api
