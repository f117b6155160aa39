"""Browsers: security headers of Langfuse's pages and of the files that users upload."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.applications import langfuse_role, store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.routes import (
    GATEWAY_API_ROUTE,
    INGRESS,
    VIRTUAL_SERVICE,
    header_values,
    ingress_headers,
    removes_header,
    rules_to,
)
from langfuse_policies.facts.services import ServiceName, services

topic = Topic("browsers", title="Browsers", pack="security")

_POLICY = "content-security-policy"


@topic.stack(
    "csp-enforces-https",
    title="Browsers are told to load everything over HTTPS",
    why="Without the directive, a page may request parts of itself in plain text.",
    fix="Add the response header Content-Security-Policy: upgrade-insecure-requests in the route to web.",
    severity=Severity.MEDIUM,
    also_in=("Langfuse: encryption guide",),
    langfuse=True,
)
def csp_enforces_https(stack: Stack) -> Findings:
    found: dict[str, list[tuple[Resource, Field]]] = {}
    for route, rule in _to_web(stack):
        if route.kind != INGRESS:
            found.setdefault(route.urn, []).append((route, rule))
    for pages in found.values():
        given = [header_values(rule, "response", _POLICY) for _, rule in pages]
        if not any(values is None or _directive(values, "upgrade-insecure-requests") is not None for values in given):
            route, rule = pages[0]
            yield finding(rule, "does not set upgrade-insecure-requests", of=route)


@topic.stack(
    "stored-files-are-inert",
    title="Uploaded files can't run scripts in the user interface",
    why="Everyone with a project's key can upload HTML and SVG. Served from the host of the user interface, a "
    "script in such a file can read and change everything that the user who opens it can.",
    fix="In routes to the object store, set the response headers Content-Security-Policy: sandbox; default-src "
    "'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline' and X-Content-Type-Options: "
    "nosniff, and remove the request header Cookie; or use a separate host for the buckets.",
    severity=Severity.HIGH,
    also_in=("OWASP: file upload", "CWE-79", "CWE-434"),
    langfuse=True,
)
def stored_files_are_inert(stack: Stack) -> Findings:
    pages = [host for route, rule in _to_web(stack) for host in _hosts(route, rule)]
    stores = services(stack, lambda container: store_of(container) == "object-store")
    for route, rule in _to(stack, stores):
        if any(_same_host(host, page) for host in _hosts(route, rule) for page in pages):
            for problem in _problems(stack, route, rule):
                yield finding(rule, problem, of=route)


def _problems(stack: Stack, route: Resource, rule: Field) -> Iterator[str]:
    """Why a file behind this route could act as the user who opens it."""
    if route.kind == INGRESS:  # controllers read headers from their own annotations, or from what these refer to
        annotations = route.at("metadata.annotations")
        headers = ingress_headers(stack, route)
        texts = [*(headers or {}).values(), *(note.text or "sandbox" for _, note in annotations.entries())]
        if headers is not None and not any("sandbox" in text for text in texts):
            yield "serves files under the host of the user interface, without Content-Security-Policy: sandbox"
        return
    policies = header_values(rule, "response", _POLICY)
    if policies is not None:
        sandbox = _directive(policies, "sandbox")
        if sandbox is None:
            yield "serves files under the host of the user interface, without Content-Security-Policy: sandbox"
        elif loose := sandbox & {"allow-scripts", "allow-same-origin"}:
            yield f"the sandbox allows {', '.join(sorted(loose))}"
    types = header_values(rule, "response", "x-content-type-options")
    if types is not None and not any(value.lower() == "nosniff" for value in types):
        yield "serves files without X-Content-Type-Options: nosniff"
    if removes_header(rule, "request", "cookie") is False:
        yield "sends the user's cookies to the object store"


def _directive(policies: list[str], name: str) -> set[str] | None:
    """The values of a directive in one of these policies; None if none has it."""
    for policy in policies:
        for directive in policy.lower().split(";"):
            words = directive.split()
            if words and words[0] == name:
                return set(words[1:])
    return None


def _to_web(stack: Stack) -> Iterator[tuple[Resource, Field]]:
    return _to(stack, services(stack, lambda container: langfuse_role(container) == "web"))


def _to(stack: Stack, wanted: set[ServiceName]) -> Iterator[tuple[Resource, Field]]:
    for route in stack.of(VIRTUAL_SERVICE, GATEWAY_API_ROUTE, INGRESS):
        for rule in rules_to(route, wanted):
            yield route, rule


def _hosts(route: Resource, rule: Field) -> list[str]:
    """The hosts of a route; any where it names none."""
    if route.kind == INGRESS:
        return [rule["host"].text or "*"] if rule["host"].known else []
    named = route.at("spec.hosts" if route.kind == VIRTUAL_SERVICE else "spec.hostnames")
    return ["*"] if named.empty else named.texts


def _same_host(one: str, other: str) -> bool:
    return fnmatchcase(one, other) or fnmatchcase(other, one)
