"""Envoy's routes for HTTPRoutes and Ingresses, by the rules of their APIs.

The most specific path wins, and a prefix matches whole segments (HTTPRouteRule in gateway-api's apis/v1; Ingress in
kubernetes.io/docs/concepts/services-networking/ingress/#path-types). A rule without a backend is answered with 500,
which the Gateway API requires. Headers of an Ingress are those that its annotations refer to: a Middleware of Traefik,
whose empty values remove a header (pkg/middlewares/headers/header.go), or a ConfigMap of ingress-nginx, whose headers
replace those of the answer (rootfs/etc/nginx/template/nginx.tmpl, more_set_headers). Fields that are not translated are
an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.edge.envoy import only
from tests.unit.recorder import Recording

Json = dict[str, Any]

TRAEFIK = "traefik.ingress.kubernetes.io/"
NGINX = "nginx.ingress.kubernetes.io/"
DEFAULT_TIMEOUT = "15s"
"""Envoy's default for a route, which implementations of the Gateway API keep (gateway.envoyproxy.io)."""


def http_routes(route: Json) -> dict[str, list[Json]]:
    """Envoy's routes for each host of an HTTPRoute."""
    spec, namespace = route["spec"], route["metadata"]["namespace"]
    only(spec, "parentRefs", "hostnames", "rules")
    found = [made for rule in spec["rules"] for made in _of_rule(rule, namespace)]
    return dict.fromkeys(spec["hostnames"], most_specific_first(found))


def most_specific_first(routes: Sequence[Json]) -> list[Json]:
    """Routes in the order of their precedence."""
    return sorted(routes, key=lambda route: -len(next(iter(route["match"].values()))))


def _of_rule(rule: Json, namespace: str) -> Iterator[Json]:
    only(rule, "matches", "filters", "backendRefs", "timeouts")
    headers: Json = {}
    for item in rule.get("filters", []):
        only(item, "type", "requestHeaderModifier", "responseHeaderModifier")
        for direction in ("request", "response"):
            headers |= _modified(direction, item.get(f"{direction}HeaderModifier", {}))
    backends = [f"{item['name']}.{namespace}.svc.cluster.local:{item['port']}" for item in rule.get("backendRefs", [])]
    for match in rule["matches"]:
        only(match, "path")
        assert match["path"]["type"] == "PathPrefix"
        made = {"match": _prefix(match["path"]["value"]), **headers}
        if backends:
            timeout = rule.get("timeouts", {}).get("request", DEFAULT_TIMEOUT)
            yield made | {"route": {"cluster": backends[0], "timeout": timeout}}
        else:
            yield made | {"direct_response": {"status": 500}}


def _prefix(path: str) -> Json:
    return {"prefix": "/"} if path == "/" else {"path_separated_prefix": path.rstrip("/")}


def _modified(direction: str, modifier: Json) -> Json:
    only(modifier, "set", "add", "remove")
    actions = {"set": "OVERWRITE_IF_EXISTS_OR_ADD", "add": "APPEND_IF_EXISTS_OR_ADD"}
    added = [_header(item, action) for how, action in actions.items() for item in modifier.get(how, [])]
    removed = modifier.get("remove", [])
    return {f"{direction}_headers_to_add": added, f"{direction}_headers_to_remove": removed} if modifier else {}


def _header(item: Mapping[str, str], action: str) -> Json:
    return {"header": {"key": item["name"], "value": item["value"]}, "append_action": action}


def ingress_routes(recording: Recording) -> dict[str, list[Json]]:
    """Envoy's routes for each host of all Ingresses."""
    found: dict[str, list[Json]] = {}
    for ingress in (item.inputs for item in recording.of("Ingress") if item.custom):
        annotations, namespace = ingress["metadata"]["annotations"], ingress["metadata"]["namespace"]
        refused, headers = _middleware(recording, annotations, namespace)
        headers |= _custom_headers(recording, annotations)
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                made: Json = {"match": _prefix(path["path"]), **headers}
                if refused or service["name"] == "langfuse-closed":
                    made["direct_response"] = {"status": 404 if refused else 503}
                else:
                    name = f"{service['name']}.{namespace}.svc.cluster.local:{service['port']['number']}"
                    made["route"] = {"cluster": name, "timeout": f"{annotations.get(f'{NGINX}proxy-read-timeout', 0)}s"}
                found.setdefault(rule["host"], []).append(made)
    return {host: most_specific_first(routes) for host, routes in found.items()}


def _middleware(recording: Recording, annotations: Json, namespace: str) -> tuple[bool, Json]:
    """Whether a Middleware refuses all requests, and its headers."""
    reference = annotations.get(f"{TRAEFIK}router.middlewares")
    if reference is None:
        return False, {}
    name = reference.removeprefix(f"{namespace}-").removesuffix("@kubernetescrd")
    spec = recording.one("Middleware", name).inputs["spec"]
    only(spec, "headers", "ipAllowList")
    if "ipAllowList" in spec:
        return spec["ipAllowList"]["sourceRange"] == ["255.255.255.255/32"], {}
    headers: Json = {}
    for direction in ("request", "response"):
        values = spec["headers"].get(f"custom{direction.capitalize()}Headers", {})
        headers |= _replaced(direction, values)
    return False, headers


def _custom_headers(recording: Recording, annotations: Json) -> Json:
    """The headers of a ConfigMap."""
    reference = annotations.get(f"{NGINX}custom-headers")
    if reference is None:
        return {}
    (config_map,) = [item for item in recording.of("ConfigMap") if reference.endswith(f"/{item.name}")]
    return _replaced("response", config_map.inputs["data"])


def _replaced(direction: str, values: Mapping[str, str]) -> Json:
    kept = [{"name": name, "value": value} for name, value in values.items() if value]
    return _modified(direction, {"set": kept, "remove": [name for name, value in values.items() if not value]})
