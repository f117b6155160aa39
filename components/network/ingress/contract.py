"""The contract of the kinds of ingress: the questions that every kind answers.

All other code only combines the answers: the network policies and the rules of the mesh who may enter, the outputs what
is left to the operator. A kind is one file here, its model in `components/schema/ingress.py`, and one case in
`ingress_kind`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from components.kubernetes.objects import Scope
from components.network.ingress.rules import INTERNAL_PATHS, Routes, Servers, public_routes
from components.schema.base import Model
from components.schema.environment import Settings
from components.schema.ingress import Proxy, Route
from components.stores.connections import ObjectStoreConnection

ConfigT = TypeVar("ConfigT", bound=Model)
RouteT = TypeVar("RouteT", bound=Route)

CLOSE_INTERNAL_PATHS = f"Answer {' and '.join(INTERNAL_PATHS)} and everything below them with an error"


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """What forwards requests from outside to web and to files in the object store."""

    namespace: str | None = None
    """Namespace of its pods; None if it does not run in pods."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its pods; none for all pods of the namespace."""
    ranges: Sequence[str] = ()
    """Its addresses, if it does not run in pods or uses the network of its node."""
    in_mesh: bool
    """Whether its connections use the mutual TLS of the mesh, if there is a mesh."""


class IngressKind(ABC, Generic[ConfigT]):
    """One way in from outside. All answers but `create` follow from the settings alone."""

    def __init__(self, settings: Settings, config: ConfigT) -> None:
        """Creates a kind.

        Args:
            settings: The settings of the installation.
            config: The part of the settings that configures the ingress.
        """
        self.settings = settings
        self.config = config

    @abstractmethod
    def entrance(self) -> Entrance | None:
        """What forwards requests from outside; None if nothing of the cluster does."""

    @abstractmethod
    def left_to_operator(self) -> Sequence[str]:
        """What the route has to do and the objects of this stack can't: sentences for the outputs."""

    @abstractmethod
    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """Creates the objects of the route."""

    @property
    def answers_challenges(self) -> bool:
        """Whether pods of cert-manager in the namespace may answer challenges (HTTP-01) through the route."""
        return False

    def visible(self) -> Mapping[str, object]:
        """The inputs of the component, which policies see. They contain no secret."""
        return {"host": self.settings.host, **self.config.model_dump()}


class RoutedKind(IngressKind[RouteT], ABC):
    """A kind that creates a route."""

    def entrance(self) -> Entrance:
        """The pods or addresses of the proxy."""
        proxy: Proxy = self.config.proxy
        in_mesh = type(self.config).joins_mesh if proxy.mesh is None else proxy.mesh
        namespace = proxy.namespace or (None if proxy.ranges else self.default_namespace)
        ranges = (
            self.settings.cluster.load_balancers if self.may_be_load_balancer and _says_nothing(proxy) else proxy.ranges
        )
        return Entrance(namespace=namespace, labels=proxy.labels, ranges=ranges, in_mesh=in_mesh)

    @property
    def may_be_load_balancer(self) -> bool:
        """Whether the proxy may be a load balancer of the cloud, which is no pod."""
        return False

    @property
    @abstractmethod
    def default_namespace(self) -> str | None:
        """The namespace where the pods of the proxy usually are; None if it is unknown."""

    def health_checks(self) -> Sequence[str]:
        """What a load balancer outside of the cluster needs: it asks for `/`, and web redirects that."""
        if not self.entrance().ranges:
            return ()
        return ["Health checks of the load balancer ask web for /api/public/health (docs/public-routes.md)"]

    def routes(self, servers: Servers, store: ObjectStoreConnection) -> Routes:
        """The public hosts and their rules."""
        config = self.config
        return public_routes(self.settings, servers, store, tls=config.tls, bucket_host=config.bucket_host)


def _says_nothing(proxy: Proxy) -> bool:
    """Whether the configuration leaves open what forwards requests. Load balancers of a cloud are in no mesh."""
    return not proxy.namespace and not proxy.labels and not proxy.ranges and not proxy.mesh
