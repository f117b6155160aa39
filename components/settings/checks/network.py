"""Checks of the public routes, and of what web and worker can connect to."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic.alias_generators import to_camel

from components.schema.environment import Settings
from components.schema.policy_library import DNS_SERVERS, METADATA_SERVER
from components.schema.stores import ExternalObjectStore


def gateway_is_in_another_namespace(settings: Settings) -> Iterator[str]:
    """The namespace denies traffic from outside the installation, and pods that violate the restricted profile."""
    if settings.ingress.kind == "istio" and settings.ingress.gateway.startswith(f"{settings.namespace}/"):
        yield (
            f"namespace: {json.dumps(settings.namespace)} contains the gateway ({settings.ingress.gateway}), and the "
            "network policies of the namespace would cut it off; use another namespace"
        )


def allowed_pods_have_an_address(settings: Settings) -> Iterator[str]:
    """Langfuse itself refuses private addresses that are not allowed, even if the network allows them."""
    for use, targets in settings.allowed_targets:
        if targets.pods and not (targets.hosts or targets.ips or targets.ranges):
            yield (
                f"allowedTargets.{to_camel(use)}.pods: have no effect, because Langfuse refuses their addresses; add "
                "the name that users enter to hosts"
            )


def metadata_server_answers_names_only(settings: Settings) -> Iterator[str]:
    """The DNS server of Cloud DNS for GKE serves credentials at the same address, at other ports than 53."""
    dns = settings.cluster.dns
    if f"{METADATA_SERVER}/32" in dns.ranges and dns.port != DNS_SERVERS["gke"].port:
        yield (
            f"cluster.dns.port: {dns.port} would open a port of {METADATA_SERVER}, where clouds serve credentials; set "
            f"it to {DNS_SERVERS['gke'].port}, or remove {METADATA_SERVER}/32 from cluster.dns.ranges"
        )


def operator_is_in_another_namespace(settings: Settings) -> Iterator[str]:
    """The network policies of the namespace deny what the operator needs."""
    namespace = settings.cluster.operators.cloudnative_pg
    if settings.postgres.mode == "cloudnativepg" and namespace == settings.namespace:
        yield (
            f"namespace: {json.dumps(namespace)} contains the operator (cluster.operators.cloudnativePg), and the "
            "network policies of the namespace would cut it off; use another namespace"
        )


def egress_rules_have_a_destination(settings: Settings) -> Iterator[str]:
    """A rule without destinations would allow nothing, and two with one name would be one network policy."""
    seen: set[str] = set()
    for number, rule in enumerate(settings.network.egress):
        key = f"network.egress.{number}"
        if not rule.ranges and rule.namespace is None:
            yield f"{key}: has no destination; set ranges or namespace"
        if rule.labels and rule.namespace is None:
            yield f"{key}.labels: have no effect without a namespace; set namespace"
        if rule.name in seen:
            yield f"{key}.name: {json.dumps(rule.name)} is used twice; give each rule its own name"
        seen.add(rule.name)


def production_uses_tls(settings: Settings) -> Iterator[str]:
    """Passwords and API keys cross the network."""
    if settings.profile == "prod" and settings.ingress.kind != "none" and not settings.ingress.tls:
        yield "ingress.tls: false would serve prod without TLS; set it to true, or use another profile"


def bucket_host_is_usable(settings: Settings) -> Iterator[str]:
    """`bucketHost` serves managed buckets only, and over https only.

    The content security policy of Langfuse's pages allows files of other hosts over https only (web/next.config.mjs).
    """
    host = settings.ingress.bucket_host
    key = f"ingress.bucketHost: {json.dumps(host)}"
    if host and isinstance(settings.object_store, ExternalObjectStore):
        yield f"{key} has no effect on an external store; set objectStore.publicEndpoint"
    if host and not settings.ingress.tls:
        yield f"{key} needs https: Langfuse's pages load files of other hosts over https only; set ingress.tls to true"
    if host == settings.host and settings.ingress.kind == "istio":
        yield f"{key} is the UI's host, which serves the buckets by default; remove it, or use another host"


def external_files_have_their_own_host(settings: Settings) -> Iterator[str]:
    """The VirtualService of the UI's host sets no protective headers for the files of an external store."""
    store = settings.object_store
    endpoint = store.public_endpoint if isinstance(store, ExternalObjectStore) else None
    if endpoint and settings.ingress.kind == "istio" and urlsplit(endpoint).hostname == settings.host:
        yield (
            f"objectStore.publicEndpoint: {json.dumps(endpoint)} is the UI's host, where an uploaded file could act "
            "with the session of whoever opens it; serve the store under its own host"
        )
