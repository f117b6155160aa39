"""Envoy as Istio's gateway, with the routes of rendered VirtualServices.

`routes` translates a VirtualService as istiod does (istio.io/istio,
pilot/pkg/networking/core/route/route.go). There is a route for each match, in the given order. `set` overwrites a
header, `add` adds another one, and both come after `remove`. A request is tried again as by istiod's default
(route/retry/retry.go). Fields of a VirtualService that are not translated are an error.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import answers, free_port, running

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions"
_ACTIONS = {"set": "OVERWRITE_IF_EXISTS_OR_ADD", "add": "APPEND_IF_EXISTS_OR_ADD"}
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "host_selection_retry_max_attempts": 5,
    "retry_host_predicate": [
        {
            "name": "previous_hosts",
            "typed_config": {"@type": f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
}


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """PEM files: a server's certificate and key, and the certificate of its CA."""

    chain: Path
    key: Path
    authority: Path


def routes(service: Json) -> list[Json]:
    """Envoy's routes for a VirtualService."""
    everything = [{"uri": {"prefix": "/"}}]
    namespace = service["metadata"]["namespace"]
    http = service["spec"]["http"]
    return [_route(route, match, namespace) for route in http for match in route.get("match", everything)]


def _route(route: Json, match: Json, namespace: str) -> Json:
    only(route, "name", "match", "headers", "route", "directResponse")
    headers = route.get("headers", {})
    only(headers, "request", "response")
    made = {"name": route["name"], "match": _match(match)}
    for direction, operations in headers.items():
        only(operations, *_ACTIONS, "remove")
        made[f"{direction}_headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": action}
            for how, action in _ACTIONS.items()
            for key, value in sorted(operations.get(how, {}).items())
        ]
        made[f"{direction}_headers_to_remove"] = operations.get("remove", [])
    if "directResponse" in route:
        only(route["directResponse"], "status")
        return made | {"direct_response": route["directResponse"]}
    (target,) = route["route"]
    only(target, "destination")
    return made | {"route": {"cluster": _cluster_name(target, namespace), "timeout": "0s", "retry_policy": _RETRIES}}


def _match(match: Json) -> Json:
    only(match, "uri")
    ((how, value),) = match["uri"].items()
    return {{"prefix": "prefix", "exact": "path"}[how]: value, "case_sensitive": True}


def _cluster_name(target: Json, namespace: str) -> str:
    """A short name is that of a Service in the namespace of the VirtualService."""
    destination = target["destination"]
    only(destination, "host", "port")
    host = destination["host"]
    full = host if "." in host else f"{host}.{namespace}.svc.cluster.local"
    return f"{full}:{destination['port']['number']}"


def only(found: Json, *known: str) -> None:
    if unknown := found.keys() - set(known):
        raise ValueError(f"not translated to Envoy: {', '.join(unknown)}")


def cluster(name: str, ports: Sequence[int]) -> Json:
    """A cluster of fixed local servers."""
    return {"name": name, "connect_timeout": "5s", "type": "STATIC", "load_assignment": assignment(name, ports)}


def followed_cluster(name: str, folder: Path) -> Json:
    """A cluster whose servers `write_endpoints` sets, as istiod does from the EndpointSlices of a Service."""
    source = {"path": str(folder / f"{name}.json"), "watched_directory": {"path": str(folder)}}
    config = {"service_name": name, "eds_config": {"path_config_source": source, "resource_api_version": "V3"}}
    return {"name": name, "connect_timeout": "5s", "type": "EDS", "eds_cluster_config": config}


def write_endpoints(name: str, folder: Path, ports: Sequence[int]) -> None:
    """Set the servers of a followed cluster."""
    resource = {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"}
    new = folder / f"{name}.new"
    new.write_text(json.dumps({"resources": [resource | assignment(name, ports)]}))
    new.replace(folder / f"{name}.json")  # Envoy only notices files that are moved


def assignment(name: str, ports: Sequence[int]) -> Json:
    """The addresses of a cluster."""
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in ports]
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def http_listener(
    port: int,
    hosts: Mapping[str, Sequence[Json]],
    certificate: Certificate | None = None,
    filters: Sequence[Json] = (),
) -> Json:
    """A listener of Istio's gateway: routes by host, and paths normalized as by default in Istio.

    `filters` decide on requests before they are routed.
    """
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "normalize_path": True,
        "use_remote_address": True,
        "http_filters": [*filters, router],
        "route_config": {
            "virtual_hosts": [
                {"name": host, "domains": [host] if host == "*" else [host, f"{host}:*"], "routes": list(found)}
                for host, found in hosts.items()
            ]
        },
    }
    chain: Json = {"filters": [{"name": "http", "typed_config": manager}]}
    if certificate:
        files = {
            "certificate_chain": {"filename": str(certificate.chain)},
            "private_key": {"filename": str(certificate.key)},
        }
        tls = {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [files]},
        }
        chain["transport_socket"] = {"name": "tls", "typed_config": tls}
    return _listener(port, chain)


def tcp_listener(port: int, target: str) -> Json:
    """A listener that forwards connections, as kube-proxy and ztunnel do: an open connection stays with its server."""
    proxy = {
        "@type": f"{_TYPE}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "connections",
        "cluster": target,
    }
    return _listener(port, {"filters": [{"name": "tcp", "typed_config": proxy}]})


def _listener(port: int, chain: Json) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": str(port), "address": address, "filter_chains": [chain]}


@contextlib.contextmanager
def envoy(folder: Path, listeners: Sequence[Json], clusters: Sequence[Json]) -> Iterator[None]:
    """Run Envoy. Starts the block once all listeners accept connections."""
    program = Path(sys.prefix) / "bin" / "envoy"
    if not program.exists():
        pytest.fail("needs envoy: make development", pytrace=False)
    config = folder / "envoy.json"
    resources = {"listeners": list(listeners), "clusters": list(clusters)}
    config.write_text(json.dumps({"node": {"id": "gateway", "cluster": "gateway"}, "static_resources": resources}))
    ports = [item["address"]["socket_address"]["port_value"] for item in listeners]
    command: list[str | Path] = [
        program,
        "-c",
        config,
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warning",
    ]
    with running(command, {}, lambda: all(map(answers, ports)), log=folder / "envoy.log"):
        yield


@contextlib.contextmanager
def gateway(
    folder: Path,
    hosts: Mapping[str, Sequence[Json]],
    servers: Mapping[str, int],
    certificate: Certificate | None,
    filters: Sequence[Json] = (),
) -> Iterator[int]:
    """Run a gateway with some routes.

    Args:
        folder: Folder for its files.
        hosts: Envoy's routes for each host.
        servers: The local port for each Service of the routes, by its full name.
        certificate: The certificate of the gateway; without one it serves plain HTTP.
        filters: Filters that decide on requests before they are routed.

    Yields:
        The port of the gateway.
    """
    port = free_port()
    names = {route["route"]["cluster"] for found in hosts.values() for route in found if "route" in route}
    clusters = [cluster(name, [servers[name.rpartition(":")[0]]]) for name in sorted(names)]
    with envoy(folder, [http_listener(port, hosts, certificate, filters)], clusters):
        yield port
