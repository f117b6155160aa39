"""Istio VirtualServices: one for the host of the UI, and one for the host of the buckets if there is one."""

from collections.abc import Mapping, Sequence

from components.kubernetes.objects import Scope, custom_resource
from components.network.ingress.certificates import certificate_secret, create_certificate
from components.network.ingress.contract import RoutedKind
from components.network.ingress.rules import PUBLIC_API, Routes, Rule, Servers
from components.schema.ingress import GatewayAuthentication, IstioIngress, SignedTokens
from components.stores.connections import Endpoint, ObjectStoreConnection

SECURITY = "security.istio.io/v1"


class IstioKind(RoutedKind[IstioIngress]):
    """VirtualServices for an Istio Gateway.

    Istio sets no time limit for requests and no limit for their size
    (istio.io/latest/docs/concepts/traffic-management/#timeouts), so neither is set here.
    """

    @property
    def default_namespace(self) -> str:
        """The namespace of the Gateway. Its pods may be elsewhere: it selects them by label."""
        return self.config.gateway_namespace

    def left_to_operator(self) -> Sequence[str]:
        """The Gateway belongs to others."""
        if not self.config.certificate:
            return ()
        secret = certificate_secret(self.settings.instance, self.config.certificate)
        return [f"The Gateway {self.config.gateway} serves the public hosts with credentialName {secret}"]

    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """The VirtualServices and the certificate.

        A gateway reads the Secret of its `credentialName` in the namespace of its pods
        (istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress).
        """
        routes = self.routes(servers, store)
        for public in routes.hosts:
            http = [_route(rule) for rule in public.rules]
            spec = {"hosts": [public.host], "gateways": [self.config.gateway], "http": http}
            custom_resource(scope, "networking.istio.io/v1", "VirtualService", spec, name=public.name)
        namespace = self.entrance().namespace or self.default_namespace
        if authentication := self.config.authentication:
            self._ask_for_sign_in(scope.in_namespace(namespace), authentication, routes)
        if certificate := self.config.certificate:
            create_certificate(scope, certificate, routes, namespace)

    def _ask_for_sign_in(self, scope: Scope, authentication: GatewayAuthentication, routes: Routes) -> None:
        """Policies in the namespace of the gateway's pods, where alone they apply to the gateway.

        The gateway asks the authorizer about requests for the UI
        (istio.io/latest/docs/tasks/security/authorization/authz-custom), and denies those without a valid token
        (istio.io/latest/docs/tasks/security/authentication/authn-policy, "Require a valid token"). A
        RequestAuthentication alone accepts requests without a token, and knows no paths.
        """
        selector = {"selector": {"matchLabels": dict(self.config.proxy.labels)}}
        name = f"{scope.workload.installation.instance}-sign-in"
        pages = {"operation": _pages(routes)}
        if authentication.provider:
            provider = {"name": authentication.provider}
            spec = {**selector, "action": "CUSTOM", "provider": provider, "rules": [{"to": [pages]}]}
            custom_resource(scope, SECURITY, "AuthorizationPolicy", spec, name=name)
        if tokens := authentication.tokens:
            spec = {**selector, "jwtRules": [_jwt_rule(tokens)]}
            custom_resource(scope, SECURITY, "RequestAuthentication", spec, name=f"{name}-tokens")
            nobody = {"source": {"notRequestPrincipals": [f"{tokens.issuer}/*"]}}
            spec = {**selector, "action": "DENY", "rules": [{"from": [nobody], "to": [pages]}]}
            custom_resource(scope, SECURITY, "AuthorizationPolicy", spec, name=f"{name}-tokens")


def _pages(routes: Routes) -> dict[str, object]:
    """Requests for the UI: not those of the public API, with the health paths, and of signed links.

    These have their own keys. Istio normalizes paths before it compares them.
    """
    host = routes.hosts[0].host
    files = routes.hosts[0].rule("buckets")
    free = [PUBLIC_API, f"{PUBLIC_API}/*", *(f"{prefix}*" for prefix in (files.prefixes if files else ()))]
    return {"hosts": [host, f"{host}:*"], "notPaths": free}


def _jwt_rule(tokens: SignedTokens) -> dict[str, object]:
    """Istio checks a token wherever it finds one, and removes it from the request."""
    return {
        "issuer": tokens.issuer,
        "audiences": list(tokens.audiences),
        "fromHeaders": [{"name": tokens.header}],
        **({"jwksUri": tokens.jwks_uri} if tokens.jwks_uri else {}),
    }


def _route(rule: Rule) -> dict[str, object]:
    route: dict[str, object] = {"name": rule.name}
    if rule.prefixes:
        route["match"] = [{"uri": uri} for prefix in rule.prefixes for uri in _uris(prefix)]
    if rule.backend is None:
        return {**route, "directResponse": {"status": 404}}
    if headers := _headers(rule):
        route["headers"] = headers
    return {**route, "route": [_destination(rule.backend)]}


def _uris(prefix: str) -> Sequence[Mapping[str, str]]:
    """The conditions for a prefix. A prefix of Istio is one of the text, so `/a` would also match `/abc`."""
    return [{"prefix": prefix}] if prefix.endswith("/") else [{"exact": prefix}, {"prefix": f"{prefix}/"}]


def _headers(rule: Rule) -> dict[str, object]:
    request: dict[str, object] = {"remove": list(rule.remove_from_request)}
    response: dict[str, object] = {
        "set": dict(rule.set_in_response),
        "add": dict(rule.add_to_response),
        "remove": list(rule.remove_from_response),
    }
    directions: dict[str, dict[str, object]] = {"request": request, "response": response}
    operations = {name: {how: value for how, value in found.items() if value} for name, found in directions.items()}
    return {name: found for name, found in operations.items() if found}


def _destination(endpoint: Endpoint) -> dict[str, object]:
    """A Service in the namespace of the VirtualService. Its short name is right whatever the domain of the cluster."""
    return {"destination": {"host": endpoint.host, "port": {"number": endpoint.port}}}
