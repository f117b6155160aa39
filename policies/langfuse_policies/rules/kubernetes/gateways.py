"""Gateways: traffic from outside the cluster."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.routes import GATEWAY_API_ROUTE, INGRESS, VIRTUAL_SERVICE, header_values, is_public

topic = Topic("gateways", title="Gateways", pack="security")

_GATEWAY = "networking.istio.io/Gateway"


@topic.resources(
    "https-only",
    _GATEWAY,
    INGRESS,
    title="Public gateways serve HTTPS only",
    why="Plain HTTP exposes passwords, API keys and prompts to everyone on the network path.",
    fix="Serve HTTPS; port 80 may redirect to it (tls.httpsRedirect: true).",
    severity=Severity.HIGH,
    also_in=("NSA: network separation", "C-0263", "Gatekeeper: k8shttpsonly", "polaris: tlsSettingsMissing"),
)
def https_only(gateway: Resource) -> Findings:
    if gateway.kind == INGRESS and (tls := gateway.at("spec.tls")).empty:
        yield finding(tls, "no host has a certificate")
    for server in gateway.at("spec.servers"):
        plain = server["port"]["protocol"].equals("HTTP", "HTTP2", "GRPC")
        if plain and server["tls"]["httpsRedirect"].differs(True):
            yield finding(server, "accepts plain HTTP")


@topic.resources(
    "modern-tls",
    _GATEWAY,
    title="TLS is 1.2 or newer",
    why="TLS 1.0 and 1.1 are broken (RFC 8996).",
    fix="Set tls.minProtocolVersion to TLSV1_2, or leave Istio's default.",
    severity=Severity.HIGH,
    also_in=("RFC 8996",),
)
def modern_tls(gateway: Resource) -> Findings:
    for server in gateway.at("spec.servers"):
        for key in ("minProtocolVersion", "maxProtocolVersion"):
            if (version := server["tls"][key]).equals("TLSV1_0", "TLSV1_1"):
                yield finding(version, "allows TLS below 1.2")


class Wildcards(Settings):
    """Wildcards that are intended."""

    wildcards: Annotated[tuple[str, ...], Meta(description="Hosts with a wildcard that are allowed.")] = ()


@topic.resources(
    "hosts-by-name",
    _GATEWAY,
    VIRTUAL_SERVICE,
    INGRESS,
    GATEWAY_API_ROUTE,
    title="Public hosts are named",
    why="A route for any host also answers for other people's hosts, and for requests with a forged Host header.",
    fix="Name the host, or list the wildcard in the setting `wildcards` of this policy.",
    severity=Severity.HIGH,
    also_in=("Kyverno: restrict-virtual-service-wildcard", "Gatekeeper: k8sdisallowwildcardhost"),
    settings=Wildcards,
)
def hosts_by_name(route: Resource, settings: Wildcards) -> Findings:
    for host in _hosts(route):
        name = (host.text or "").rpartition("/")[2]  # a Gateway's host may be NAMESPACE/HOST
        if "*" in name and name not in settings.wildcards:
            yield finding(host, "has a wildcard")
    for rule in route.at("spec.rules") if route.kind == INGRESS else ():
        if rule["host"].empty:
            yield finding(rule, "answers for every host")


def _hosts(route: Resource) -> Iterator[Field]:
    for server in route.at("spec.servers"):
        yield from server["hosts"]
    if route.kind != VIRTUAL_SERVICE or is_public(route):
        yield from route.at("spec.hosts")
    yield from route.at("spec.hostnames")
    if route.kind == INGRESS:
        yield from (rule["host"] for rule in route.at("spec.rules"))


@topic.resources(
    "browsers-stay-with-https",
    VIRTUAL_SERVICE,
    GATEWAY_API_ROUTE,
    title="Browsers are told to use HTTPS only",
    why="Without Strict-Transport-Security, the first request of each visit can be intercepted before it is "
    "redirected.",
    fix="Set the response header Strict-Transport-Security in the route to the user interface.",
    severity=Severity.MEDIUM,
    also_in=("RFC 6797", "OWASP: HTTP Strict Transport Security"),
)
def browsers_stay_with_https(service: Resource) -> Findings:
    if service.kind == GATEWAY_API_ROUTE:
        rules = [rule for rule in service.at("spec.rules") if not rule["backendRefs"].empty]
        values = [header_values(rule, "response", "strict-transport-security") for rule in rules]
        if rules and not any(found is None or found for found in values):
            yield finding(service.at("spec.rules"), "no rule sets Strict-Transport-Security")
        return
    http = service.at("spec.http")
    routes = [route for route in http if not route["route"].empty]
    if is_public(service) and routes and not any(_sets_hsts(route) for route in routes):
        yield finding(http, "no route sets Strict-Transport-Security")


def _sets_hsts(route: Field) -> bool:
    """Whether it does, or may."""
    places = [route["headers"], *(destination["headers"] for destination in route["route"])]
    for place in places:
        for how in ("set", "add"):
            headers = place["response"][how]
            if not headers.known or any(key.lower() == "strict-transport-security" for key, _ in headers.entries()):
                return True
    return False
