"""Exposure: parts of Langfuse that must not be public, and protocols of ports."""

from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.applications import langfuse_role
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.routes import (
    VIRTUAL_SERVICE,
    PathRule,
    destinations,
    hosts_of,
    is_public,
    path_rules,
    service_of,
    takes,
)
from langfuse_policies.facts.services import services

topic = Topic("exposure", title="Exposure", pack="security")

#: Langfuse, web/src/pages/api/admin: what the API holds, most telling first; and what its AI gateway asks web for.
_INTERNAL_PATHS = (
    *(f"/api/admin/{name}" for name in ("organizations", "api-keys", "bullmq", "ingestion-replay", "evals")),
    "/api/internal/ai-gateway/v1/resolve",
)


@topic.stack(
    "no-public-admin-api",
    title="The Admin API and internal paths are not public",
    why="The Admin API requires one key: its holder creates organizations and API keys, and replays or drops "
    "queues. Another key gives access to /api/internal, where Langfuse's AI gateway gets the keys of model "
    "providers.",
    fix="Answer /api/admin and /api/internal with directResponse 404 in a route of the VirtualService before all "
    "others, without further conditions; in an HTTPRoute, with a rule without backendRefs; in an Ingress, with a path "
    "that leads to a Service without pods.",
    severity=Severity.HIGH,
    also_in=("Langfuse: hardening",),
    langfuse=True,
)
def no_public_admin_api(stack: Stack) -> Findings:
    web = services(stack, lambda container: langfuse_role(container) == "web")
    for service in stack.of(VIRTUAL_SERVICE):
        if not is_public(service):
            continue
        routes = list(service.at("spec.http"))
        for index, route in enumerate(routes):
            if not any(service_of(host, service) in web for host in hosts_of(route)):
                continue
            for request in _requests(route):
                earlier = (takes(one, request) for one in routes[:index])
                if takes(route, request) != "none" and "all" not in earlier:
                    yield finding(route, f"leads to {request}", of=service)
                    break
    rules = list(path_rules(stack))
    for rule in rules:
        reached = [path for path in _INTERNAL_PATHS if rule.path and _leads_to(rule, path, rules, web)]
        if reached:
            yield finding(rule.place, f"leads to {reached[0]}", of=rule.route)


def _leads_to(rule: PathRule, request: str, rules: list[PathRule], web: set[tuple[str, str]]) -> bool:
    """Whether requests for a path reach web by a rule: no rule of the same host with a longer path takes all of them.

    Rules of the same length in two objects are decided by their age, so they do not help.
    """
    if not rule.covers(request) or not any(service in web for service in rule.services):
        return False
    return not any(
        other.covers(request)
        and not other.conditional
        and not any(service in web for service in other.services)
        and (other.exact or len(other.path.rstrip("/")) > len(rule.path.rstrip("/")))
        and (not other.hosts or (rule.hosts and set(rule.hosts) <= set(other.hosts)))
        for other in rules
    )


def _requests(route: Field) -> Iterator[str]:
    """The public paths that a route maps to an internal path."""
    rewrite = route["rewrite"]["uri"].text
    if not rewrite:
        yield from _INTERNAL_PATHS
        return
    uris = [match["uri"] for match in route["match"]]
    prefixes = [uri["prefix"].text or "/" for uri in uris if uri["exact"].absent] or ["/"]
    for path in _INTERNAL_PATHS:
        if path.startswith(rewrite):
            yield from (prefix + path.removeprefix(rewrite) for prefix in prefixes)
        if path == rewrite:
            yield from (uri["exact"].text or "" for uri in uris if uri["exact"].present)
    if rewrite.startswith(("/api/admin/", "/api/internal/")):
        yield from prefixes


@topic.stack(
    "worker-not-exposed",
    title="The worker is not public",
    why="The port of the worker serves probes and has no sign-in.",
    fix="Remove the route, or the worker's labels from the Service's selector.",
    severity=Severity.HIGH,
    also_in=("Langfuse: hardening",),
    langfuse=True,
)
def worker_not_exposed(stack: Stack) -> Findings:
    workers = services(stack, lambda container: langfuse_role(container) == "worker")
    for route, field, service in destinations(stack):
        if service in workers:
            yield finding(field, "routes to the worker", of=route)


#: Protocols by port that a mesh must not take for HTTP, with the names that Istio knows for them
#: (istio.io, operations/configuration/traffic-management/protocol-selection).
_TCP = ("tcp", "tls")
_PROTOCOLS: dict[float, tuple[str, ...]] = {
    3306: (*_TCP, "mysql"), 5432: _TCP, 6379: (*_TCP, "redis"), 26379: (*_TCP, "redis"), 9181: _TCP, 2181: _TCP,
    9440: _TCP, 27017: (*_TCP, "mongo"),
}  # fmt: skip


@topic.resources(
    "store-ports-declare-protocol",
    "core/Service",
    title="Ports of stores declare their protocol",
    why="Otherwise a mesh guesses the protocol: it waits for the client's first bytes or assumes HTTP, and "
    "connections hang or fail.",
    fix="Name the port tcp-..., or set appProtocol: tcp.",
    severity=Severity.MEDIUM,
    also_in=("Istio: protocol selection",),
)
def store_ports_declare_protocol(service: Resource) -> Findings:
    for port in service.at("spec.ports"):
        allowed = _PROTOCOLS.get(port["port"].number or 0)
        told = port["appProtocol"] if port["appProtocol"].present else port["name"]
        if allowed and told.known and (told.text or "").partition("-")[0].lower() not in allowed:
            yield finding(told, "does not declare the protocol of the store")
