"""HTTPRoutes of the Gateway API (gateway-api.sigs.k8s.io), for a Gateway of any implementation."""

from collections.abc import Mapping, Sequence

from components.kubernetes.objects import Scope, custom_resource
from components.network.ingress.certificates import certificate_secret, create_certificate
from components.network.ingress.contract import RoutedKind
from components.network.ingress.rules import PublicHost, Rule, Servers
from components.schema.ingress import GatewayApiIngress
from components.stores.connections import ObjectStoreConnection

API_VERSION = "gateway.networking.k8s.io/v1"
GROUP = "gateway.networking.k8s.io"


class GatewayApiKind(RoutedKind[GatewayApiIngress]):
    """An HTTPRoute for each public host, and one that redirects to https.

    A rule without a backend is answered with an error: the API has no way to choose its status.
    """

    @property
    def default_namespace(self) -> str:
        """The namespace of the Gateway, where Istio and others also run its pods."""
        return self.config.gateway_namespace

    may_be_load_balancer = True

    def left_to_operator(self) -> Sequence[str]:
        """The Gateway belongs to others."""
        gateway, namespace = self.config.gateway, self.settings.namespace
        found = [f"The Gateway {gateway} admits routes of the namespace {namespace} (allowedRoutes)"]
        if self.config.certificate:
            secret = certificate_secret(self.settings.instance, self.config.certificate)
            found.append(f"A listener of the Gateway {gateway} serves the public hosts with certificateRefs {secret}")
        if not self.config.timeouts:
            found.append("The gateway lets requests take up to 600 seconds")
        return [*found, *self.health_checks()]

    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """The HTTPRoutes and the certificate, whose Secret the listeners of the Gateway refer to."""
        config, routes = self.config, self.routes(servers, store)
        listeners = config.listeners if config.listeners is not None else ["https"] if config.tls else []
        for public in routes.hosts:
            rules = [_rule(rule, timeouts=config.timeouts) for rule in public.rules]
            self._http_route(scope, public.name, public, listeners, rules)
            if config.redirect_listeners:
                redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
                rules = [{"filters": [redirect]}]
                self._http_route(scope, f"{public.name}-redirect", public, config.redirect_listeners, rules)
        if config.certificate:
            create_certificate(scope, config.certificate, routes, config.gateway_namespace)

    def _http_route(
        self, scope: Scope, name: str, public: PublicHost, listeners: Sequence[str], rules: Sequence[object]
    ) -> None:
        namespace, _, gateway = self.config.gateway.partition("/")
        parent = {"group": GROUP, "kind": "Gateway", "namespace": namespace, "name": gateway}
        parents = [{**parent, "sectionName": listener} for listener in listeners] or [parent]
        spec = {"parentRefs": parents, "hostnames": [public.host], "rules": list(rules)}
        custom_resource(scope, API_VERSION, "HTTPRoute", spec, name=name)


def _rule(rule: Rule, *, timeouts: bool) -> dict[str, object]:
    """A rule. The most specific path wins, whatever the order; a prefix matches whole segments."""
    paths = [prefix.rstrip("/") for prefix in rule.prefixes] or ["/"]
    found: dict[str, object] = {"matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths]}
    if rule.backend is None:
        return found
    if filters := _filters(rule):
        found["filters"] = filters
    found["backendRefs"] = [{"group": "", "kind": "Service", "name": rule.backend.host, "port": rule.backend.port}]
    if timeouts:
        found["timeouts"] = {"request": f"{rule.seconds}s", "backendRequest": f"{rule.seconds}s"}
    return found


def _filters(rule: Rule) -> Sequence[Mapping[str, object]]:
    filters: list[Mapping[str, object]] = []
    if rule.remove_from_request:
        removed = {"remove": list(rule.remove_from_request)}
        filters.append({"type": "RequestHeaderModifier", "requestHeaderModifier": removed})
    response = {
        "set": _headers(rule.set_in_response),
        "add": _headers(rule.add_to_response),
        "remove": list(rule.remove_from_response),
    }
    if modifier := {how: value for how, value in response.items() if value}:
        filters.append({"type": "ResponseHeaderModifier", "responseHeaderModifier": modifier})
    return filters


def _headers(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]
