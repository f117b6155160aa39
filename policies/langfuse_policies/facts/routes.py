"""Routes from outside to Services: Istio's VirtualServices, Ingresses, and the Gateway API."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack

VIRTUAL_SERVICE = "networking.istio.io/VirtualService"
INGRESS = "networking.k8s.io/Ingress"
GATEWAY_API_ROUTE = "gateway.networking.k8s.io/HTTPRoute"

#: Which requests for a path a route matches: all, some or none.
Verdict = Literal["all", "some", "none"]

#: Whose headers.
Direction = Literal["request", "response"]

#: Conditions that do not depend on the path, or that are checked elsewhere.
_NOT_CONDITIONS = frozenset({"name", "uri", "ignoreUriCase", "gateways", "statPrefix"})


def is_public(service: Resource) -> bool:
    """Whether a VirtualService certainly receives traffic of a gateway, not only of the mesh."""
    return any(name != "mesh" for name in service.at("spec.gateways").texts)


#: A route, its field that names a Service, and the Service's namespace and name.
Destination = tuple[Resource, Field, tuple[str, str]]


def destinations(stack: Stack) -> Iterator[Destination]:
    """The Services that routes from outside lead to."""
    for service in stack.of(VIRTUAL_SERVICE):
        if is_public(service):
            yield from _of_virtual_service(service)
    for ingress in stack.of(INGRESS):
        yield from _of_ingress(ingress)
    for route in stack.of(GATEWAY_API_ROUTE):
        yield from _of_gateway_api(route)


def _of_virtual_service(service: Resource) -> Iterator[Destination]:
    for protocol in ("http", "tcp", "tls"):
        for route in service["spec"][protocol]:
            for host in hosts_of(route):
                yield service, host, service_of(host, service)


def _of_ingress(ingress: Resource) -> Iterator[Destination]:
    paths = [path for rule in ingress.at("spec.rules") for path in rule["http"]["paths"]]
    for backend in [ingress.at("spec.defaultBackend"), *(path["backend"] for path in paths)]:
        yield ingress, backend["service"]["name"], _backend_of(backend["service"], ingress)


def _of_gateway_api(route: Resource) -> Iterator[Destination]:
    for rule in route.at("spec.rules"):
        for backend in rule["backendRefs"]:
            yield route, backend["name"], _backend_of(backend, route)


def _backend_of(backend: Field, route: Resource) -> tuple[str, str]:
    return backend["namespace"].text or route.namespace, backend["name"].text or ""


def rules_to(route: Resource, services: Collection[tuple[str, str]]) -> Iterator[Field]:
    """The HTTP rules of a route from outside that lead to one of these Services, by namespace and name."""
    if route.kind == VIRTUAL_SERVICE and not is_public(route):
        return
    for rule in route.at("spec.http" if route.kind == VIRTUAL_SERVICE else "spec.rules"):
        targets = [service_of(host, route) for host in hosts_of(rule)]
        targets += [_backend_of(backend, route) for backend in rule["backendRefs"]]
        targets += [_backend_of(path["backend"]["service"], route) for path in rule["http"]["paths"]]
        if any(target in services for target in targets):
            yield rule


@dataclass(frozen=True)
class PathRule:
    """A path of an HTTPRoute or an Ingress, and where it leads. The most specific path wins, whatever the order."""

    route: Resource
    #: Hosts that the route serves; empty for any.
    hosts: tuple[str, ...]
    #: The match of an HTTPRoute, the path of an Ingress.
    place: Field
    #: The path; empty if it is unknown.
    path: str
    exact: bool
    #: Whether it has further conditions: a method, headers, a query. Other requests take the next path.
    conditional: bool
    #: Namespace and name of the Services behind it.
    services: tuple[tuple[str, str], ...]

    def covers(self, path: str) -> bool:
        """Whether requests for a path match: a prefix is one of whole segments."""
        if self.exact:
            return path == self.path
        prefix = self.path.rstrip("/")
        return path == prefix or path.startswith(f"{prefix}/")


def path_rules(stack: Stack) -> Iterator[PathRule]:
    """The paths of all HTTPRoutes and Ingresses."""
    for route in stack.of(GATEWAY_API_ROUTE):
        hosts = tuple(route.at("spec.hostnames").texts)
        for rule in route.at("spec.rules"):
            backends = tuple(_backend_of(backend, route) for backend in rule["backendRefs"])
            for match in rule["matches"] if rule["matches"].size else [rule["matches"]]:
                yield PathRule(
                    route=route,
                    hosts=hosts,
                    place=match,
                    path=_known(match["path"]["value"], "/"),
                    exact=match["path"]["type"].equals("Exact"),
                    conditional=any(key != "path" for key, _ in match.entries()),
                    services=backends,
                )
    for ingress in stack.of(INGRESS):
        for rule in ingress.at("spec.rules"):
            for path in rule["http"]["paths"]:
                yield PathRule(
                    route=ingress,
                    hosts=(rule["host"].text,) if rule["host"].text else (),
                    place=path,
                    path=_known(path["path"], "/"),
                    exact=path["pathType"].equals("Exact"),
                    conditional=False,
                    services=() if refuses(stack, ingress) else (_backend_of(path["backend"]["service"], ingress),),
                )


def _known(path: Field, default: str) -> str:
    return path.text if path.text else default if path.absent else ""


#: Annotations of Traefik and ingress-nginx that refer to objects with headers.
_MIDDLEWARES = "traefik.ingress.kubernetes.io/router.middlewares"
_CUSTOM_HEADERS = "nginx.ingress.kubernetes.io/custom-headers"
_DENYLIST = "nginx.ingress.kubernetes.io/denylist-source-range"


def _middlewares(stack: Stack, ingress: Resource) -> Iterator[Resource]:
    """The Traefik middlewares of an Ingress, of those that the stack has."""
    text = ingress.at("metadata.annotations")[_MIDDLEWARES].text or ""
    named = {name.strip().removesuffix("@kubernetescrd") for name in text.split(",")}
    for middleware in stack.of("traefik.io/Middleware"):
        if f"{middleware.namespace}-{middleware.object_name}" in named:
            yield middleware


def refuses(stack: Stack, ingress: Resource) -> bool:
    """Whether annotations make the controller refuse all requests of an Ingress."""
    denied = ingress.at("metadata.annotations")[_DENYLIST].text or ""
    if "0.0.0.0/0" in denied:
        return True
    lists = [middleware.at("spec.ipAllowList.sourceRange") for middleware in _middlewares(stack, ingress)]
    return any(ranges.texts == ["255.255.255.255/32"] for ranges in lists)


def ingress_headers(stack: Stack, ingress: Resource) -> dict[str, str] | None:
    """The response headers that annotations of an Ingress set, by name in lower case; None if they are unknown."""
    annotations = ingress.at("metadata.annotations")
    if not annotations.known:
        return None
    found: dict[str, str] = {}
    for middleware in _middlewares(stack, ingress):
        for key, value in middleware.at("spec.headers.customResponseHeaders").entries():
            found[key.lower()] = value.text or ""
    named = annotations[_CUSTOM_HEADERS].text
    for config_map in stack.of("core/ConfigMap"):
        if named == f"{config_map.namespace}/{config_map.object_name}":
            found |= {key.lower(): value.text or "" for key, value in config_map["data"].entries()}
    return found


def header_values(rule: Field, direction: Direction, name: str) -> list[str] | None:
    """The value that a rule of a VirtualService or an HTTPRoute sets for a header, in lower case; None if unknown."""
    found: list[str] = []
    for operations in _header_operations(rule, direction):
        for how in ("set", "add"):
            named = operations[how]
            values = [value for key, value in named.entries() if key.lower() == name]
            values += [item["value"] for item in named if (item["name"].text or "").lower() == name]
            if not named.known or not all(value.known for value in values):
                return None
            found += [value.text or "" for value in values]
    return None if _has_extension(rule) else found


def removes_header(rule: Field, direction: Direction, name: str) -> bool | None:
    """Whether a rule of a VirtualService or an HTTPRoute removes a header; None if it is unknown."""
    removed = [operations["remove"] for operations in _header_operations(rule, direction)]
    if _has_extension(rule) or not all(names.known for names in removed):
        return None
    return any(text.lower() == name for names in removed for text in names.texts)


def _header_operations(rule: Field, direction: Direction) -> Iterator[Field]:
    yield rule["headers"][direction]
    for target in rule["route"]:
        yield target["headers"][direction]
    for item in rule["filters"]:
        yield item[f"{direction}HeaderModifier"]


def _has_extension(rule: Field) -> bool:
    """Whether a filter of the gateway's own kind is used, which may set any header."""
    return any(item["type"].equals("ExtensionRef") for item in rule["filters"])


def hosts_of(route: Field) -> Iterator[Field]:
    """Where a route of a VirtualService sends requests, copies included."""
    for target in route["route"]:
        yield target["destination"]["host"]
    yield route["mirror"]["host"]
    for mirror in route["mirrors"]:
        yield mirror["destination"]["host"]


def service_of(host: Field, route: Resource) -> tuple[str, str]:
    """Namespace and name of the Service that a host means: `web`, `web.langfuse`, `web.langfuse.svc.cluster.local`."""
    name, _, rest = (host.text or "").partition(".")
    namespace, _, domain = rest.partition(".")
    if domain and domain.split(".")[0] != "svc":
        return "", ""
    return namespace or route.namespace, name


def takes(route: Field, path: str) -> Verdict:
    """Which requests for a path a route of a VirtualService matches."""
    matches = route["match"]
    if not matches.known:
        return "some"
    verdicts = {_takes(match, path) for match in matches}
    if matches.empty or "all" in verdicts:
        return "all"
    return "some" if "some" in verdicts else "none"


def _takes(match: Field, path: str) -> Verdict:
    if not match.known or not match["uri"].known:
        return "some"
    gateways = match["gateways"].texts
    if gateways and all(name == "mesh" for name in gateways):
        return "none"
    for how, wanted in match["uri"].entries():
        if wanted.text is None:
            return "some"
        if not _fits(how, wanted.text, path, ignore_case=match["ignoreUriCase"].equals(True)):
            return "none"
    return "some" if any(key not in _NOT_CONDITIONS for key, _ in match.entries()) else "all"


def _fits(how: str, wanted: str, path: str, *, ignore_case: bool) -> bool:
    if how == "regex":
        try:
            return re.fullmatch(wanted, path) is not None
        except re.error:
            return False
    if ignore_case:
        wanted, path = wanted.lower(), path.lower()
    return path == wanted if how == "exact" else path.startswith(wanted)
