"""Istio VirtualServices: one for the host of the UI, and one for the host of the buckets if there is one."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

from components.kubernetes.objects import Scope, custom_resource
from components.network.ingress.certificates import create_certificate
from components.network.ingress.contract import RoutedKind
from components.network.ingress.rules import PUBLIC_API, Routes, Rule, Servers
from components.schema.ingress import Authorizer, IstioIngress
from components.stores.connections import Endpoint, ObjectStoreConnection


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
        """Nothing."""
        return ()

    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """The VirtualServices and the certificate.

        A gateway reads the Secret of its `credentialName` in the namespace of its pods
        (istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress).
        """
        routes = self.routes(servers, store)
        for public in routes.hosts:
            http = [_route(scope, rule) for rule in public.rules]
            spec = {"hosts": [public.host], "gateways": [self.config.gateway], "http": http}
            custom_resource(scope, "networking.istio.io/v1", "VirtualService", spec, name=public.name)
        if authorizer := self.config.authentication:
            self._ask_for_sign_in(scope, authorizer, routes)
        if certificate := self.config.certificate:
            namespace = self.entrance().namespace or self.default_namespace
            create_certificate(scope, certificate, routes, namespace)

    def _ask_for_sign_in(self, scope: Scope, authorizer: Authorizer, routes: Routes) -> None:
        """The gateway asks the authorizer about requests for the UI.

        It does not ask about the public API and signed links, which have their own keys
        (istio.io/latest/docs/tasks/security/authorization/authz-custom). Istio normalizes paths before it compares
        them. An AuthorizationPolicy with this action can be in the namespace of the gateway's pods only.
        """
        pages, host = routes.hosts[0], routes.hosts[0].host
        files = pages.rule("buckets")
        free = [PUBLIC_API, f"{PUBLIC_API}/*", *(f"{prefix}*" for prefix in (files.prefixes if files else ()))]
        spec = {
            "selector": {"matchLabels": dict(self.config.proxy.labels)},
            "action": "CUSTOM",
            "provider": {"name": authorizer.provider},
            "rules": [{"to": [{"operation": {"hosts": [host, f"{host}:*"], "notPaths": free}}]}],
        }
        name = f"{scope.workload.installation.instance}-sign-in"
        namespace = self.entrance().namespace or self.default_namespace
        k8s.apiextensions.CustomResource(
            name,
            api_version="security.istio.io/v1",
            kind="AuthorizationPolicy",
            metadata={**scope.workload.metadata(name), "namespace": namespace},
            spec=spec,
            opts=scope.opts,
        )


def _route(scope: Scope, rule: Rule) -> dict[str, object]:
    route: dict[str, object] = {"name": rule.name}
    if rule.prefixes:
        route["match"] = [{"uri": uri} for prefix in rule.prefixes for uri in _uris(prefix)]
    if rule.backend is None:
        return {**route, "directResponse": {"status": 404}}
    if headers := _headers(rule):
        route["headers"] = headers
    return {**route, "route": [_destination(scope, rule.backend)]}


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


def _destination(scope: Scope, endpoint: Endpoint) -> dict[str, object]:
    host = f"{endpoint.host}.{scope.workload.installation.namespace}.svc.cluster.local"
    return {"destination": {"host": host, "port": {"number": endpoint.port}}}
