"""No route: a port-forward, a tunnel, or a route of one's own."""

from collections.abc import Sequence

from components.kubernetes.objects import Scope
from components.network.ingress.contract import CLOSE_INTERNAL_PATHS, IngressKind
from components.network.ingress.rules import REQUEST_SECONDS, Servers
from components.schema.ingress import NoIngress
from components.stores.connections import ObjectStoreConnection
from components.stores.modes import StoreModes


class NoIngressKind(IngressKind[NoIngress]):
    """Nothing but the Services. `network.webClients` says which pods may connect to them."""

    def entrance(self) -> None:
        """Nothing: a port-forward enters through the node, and other proxies are clients like any other."""
        return

    def left_to_operator(self) -> Sequence[str]:
        """Everything that a route of one's own has to do."""
        found = [f"{CLOSE_INTERNAL_PATHS}, if the route is public", f"Let requests take {REQUEST_SECONDS} seconds"]
        if StoreModes.of(self.settings).object_store.public_port:
            found.append("Set the headers of docs/public-routes.md on files, if they share a host with the UI")
            if not self.settings.bucket_url:
                found.append("Signed links lead to a Service, which browsers can't reach: set ingress.bucketUrl")
        return found

    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """Creates nothing."""
