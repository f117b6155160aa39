"""What the cluster says about the objects of a public route that does not work."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]
Get = Callable[[Json], Json | None]
"""Looks up an object with the kind, name and namespace of another one."""

GATEWAY_API: Final = "gateway.networking.k8s.io/v1"


def explain(pulumi: Pulumi) -> Iterator[str]:
    """The problems of a stack's route. If its cluster can't be read, that is one."""
    from operations.cluster import Cluster  # noqa: PLC0415  # takes a second to import

    try:
        yield from problems(pulumi.objects(), Cluster.of(pulumi).get)
    except OperationError as error:
        yield f"the objects of the route can't be read: {error}"


def problems(objects: Iterable[Json], get: Get) -> Iterator[str]:
    """What is wrong with the routes among the objects of a stack."""
    for item in objects:
        if check := _CHECKS.get(item["kind"]):
            live = get(item)
            yield from (
                f"{_title(item)}: {problem}" for problem in (["does not exist"] if live is None else check(live, get))
            )


def prerequisites(objects: Iterable[Json], get: Get) -> Iterator[str]:
    """What a cluster lacks for routes that it does not have yet: gateways that serve their hosts, issuers, classes."""
    for item in objects:
        match item["kind"]:
            case "VirtualService":
                found = _virtual_service(item, get)
            case "HTTPRoute":
                found = _parents(item, get)
            case "Ingress":
                found = _ingress_class(item, get)
            case "Certificate":
                found = _issuer(item, get)
            case _:
                continue
        yield from (f"{_title(item)}: {problem}" for problem in found)


def _gateways(route: Json, get: Get) -> Iterator[tuple[Json, str, Json | None]]:
    """The Gateways of an HTTPRoute: the reference, a title, and the object if it exists."""
    for reference in route["spec"]["parentRefs"]:
        namespace = reference.get("namespace", route["metadata"]["namespace"])
        wanted = named_object(GATEWAY_API, "Gateway", reference["name"], namespace)
        yield reference, _title(wanted), get(wanted)


def _parents(route: Json, get: Get) -> Iterator[str]:
    """Whether the gateways of an HTTPRoute exist, with a listener for each of its hosts."""
    for reference, title, gateway in _gateways(route, get):
        if gateway is None:
            yield f"the {title} does not exist"
            continue
        wanted = reference.get("sectionName")
        listeners = [one for one in gateway["spec"].get("listeners", ()) if wanted in (None, one["name"])]
        if not listeners:
            yield f"the {title} has no listener {wanted}"
        for host in route["spec"].get("hostnames", ()) if listeners else ():
            patterns = [one.get("hostname") or "*" for one in listeners]
            if not any(_serves(pattern, host, "", "") for pattern in patterns):
                yield f"no listener of the {title} serves {host}: {', '.join(patterns)}"


def _ingress_class(ingress: Json, get: Get) -> Iterator[str]:
    name = ingress["spec"].get("ingressClassName")
    if name and get(named_object("networking.k8s.io/v1", "IngressClass", name)) is None:
        yield f"there is no IngressClass {name}, so no controller serves it"


def _issuer(certificate: Json, get: Get) -> Iterator[str]:
    """Whether cert-manager's issuer of a certificate exists and is ready."""
    reference = certificate["spec"]["issuerRef"]
    kind, name = reference.get("kind", "Issuer"), reference["name"]
    if reference.get("group", "cert-manager.io") != "cert-manager.io":
        return  # of another program
    namespace = certificate["metadata"]["namespace"] if kind == "Issuer" else None
    found = get(named_object("cert-manager.io/v1", kind, name, namespace))
    if found is None:
        yield f"there is no {kind} {name}"
        return
    conditions = (found.get("status") or {}).get("conditions") or ()
    yield from (f"{kind} {name}: {text}" for text in _failed(one for one in conditions if one["type"] == "Ready"))


def _http_route(route: Json, get: Get) -> Iterator[str]:
    """What its gateways answered (gateway-api.sigs.k8s.io/reference/spec, RouteParentStatus)."""
    answered = route.get("status", {}).get("parents", ())
    for reference, title, gateway in _gateways(route, get):
        if gateway is None:
            yield f"the {title} does not exist"
            continue
        name, listener = reference["name"], reference.get("sectionName")
        where = title + (f", listener {listener}" if listener else "")
        conditions = [
            condition
            for parent in answered
            if parent["parentRef"]["name"] == name and parent["parentRef"].get("sectionName") == listener
            for condition in parent.get("conditions", ())
        ]
        if not conditions:
            yield f"{where}: no controller has answered"
        yield from (f"{where}: {text}" for text in _failed(conditions))
        for one in gateway.get("status", {}).get("listeners", ()):
            if listener in (None, one["name"]):
                yield from (
                    f"{where}: {text}" for text in _failed(one.get("conditions", ()), of_failures=("Conflicted",))
                )


def _virtual_service(service: Json, get: Get) -> Iterator[str]:
    """Whether its gateways exist and serve its hosts. Istio has no status for that."""
    for reference in service["spec"]["gateways"]:
        namespace, _, name = reference.partition("/")
        gateway = get(named_object("networking.istio.io/v1", "Gateway", name, namespace))
        if gateway is None:
            yield f"the Gateway {reference} does not exist"
            continue
        served = [host for server in gateway["spec"].get("servers", ()) for host in server.get("hosts", ())]
        for host in service["spec"]["hosts"]:
            if not any(_serves(pattern, host, service["metadata"]["namespace"], namespace) for pattern in served):
                yield f"the Gateway {reference} does not serve {host}"


def _serves(pattern: str, host: str, own: str, of_gateway: str) -> bool:
    """Whether a host of a Gateway, such as `apps/*.example.com`, includes the host of a VirtualService."""
    namespace, _, name = pattern.rpartition("/")
    if namespace not in ("", "*", own) and not (namespace == "." and own == of_gateway):
        return False
    return name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]))


def _ingress(ingress: Json, get: Get) -> Iterator[str]:
    if not ingress.get("status", {}).get("loadBalancer", {}).get("ingress"):
        class_name = ingress["spec"].get("ingressClassName")
        of_class = f"of the class {class_name}" if class_name else "of the default class"
        yield f"no controller {of_class} has reported an address for it"
    if any(key.startswith("cert-manager.io/") for key in ingress["metadata"].get("annotations") or ()):
        for name in sorted({one["secretName"] for one in ingress["spec"].get("tls", ()) if "secretName" in one}):
            wanted = named_object("cert-manager.io/v1", "Certificate", name, ingress["metadata"]["namespace"])
            if (certificate := get(wanted)) is None:
                yield f"cert-manager has not created the Certificate {name}"
            else:
                yield from (f"Certificate {name}: {text}" for text in _certificate(certificate, get))


def _certificate(certificate: Json, _: Get) -> Iterator[str]:
    """Whether it was issued (cert-manager.io/docs/reference/api-docs, CertificateCondition)."""
    conditions = certificate.get("status", {}).get("conditions", ())
    if not any(one["type"] == "Ready" for one in conditions):
        yield "cert-manager has not answered"
    yield from _failed(one for one in conditions if one["type"] == "Ready")


_CHECKS: Final[Mapping[str, Callable[[Json, Get], Iterator[str]]]] = {
    "HTTPRoute": _http_route,
    "VirtualService": _virtual_service,
    "Ingress": _ingress,
    "Certificate": _certificate,
}


def _failed(conditions: Iterable[Json], *, of_failures: tuple[str, ...] = ()) -> Iterator[str]:
    """Conditions that are not as they should be. Those in `of_failures` should be false."""
    for one in conditions:
        if one["status"] == ("True" if one["type"] in of_failures else "False"):
            detail = ", ".join(text for text in (one.get("reason"), one.get("message")) if text)
            yield f"{one['type']} is {one['status']}" + (f" ({detail})" if detail else "")


def _title(item: Json) -> str:
    return f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}"
