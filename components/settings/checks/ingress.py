"""Checks of the public routes."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from components.network.ingress.component import ingress_kind
from components.schema.environment import Settings
from components.schema.ingress import GatewayApiIngress, IstioIngress, KubernetesIngress, NoIngress
from components.schema.stores import ExternalObjectStore, ManagedObjectStore


def proxy_is_in_another_namespace(settings: Settings) -> Iterator[str]:
    """The namespace denies traffic from outside the installation, and pods that violate the restricted profile."""
    entrance = ingress_kind(settings).entrance()
    if entrance is not None and entrance.namespace == settings.namespace:
        gateway = getattr(settings.ingress, "gateway", "ingress.proxy")
        yield (
            f"namespace: {json.dumps(settings.namespace)} contains the gateway ({gateway}), and the "
            "network policies of the namespace would cut it off; use another namespace"
        )


def proxy_is_known(settings: Settings) -> Iterator[str]:
    """The network policies admit the proxy, and nothing else from outside."""
    entrance = ingress_kind(settings).entrance()
    if entrance is not None and not entrance.namespace and not entrance.ranges:
        yield (
            "ingress.proxy.namespace: is required with controller other, because the network policies would keep the "
            "controller out; set it to the namespace of its pods, or ingress.proxy.ranges to its addresses"
        )
    if entrance is not None and entrance.labels and not entrance.namespace:
        yield "ingress.proxy.labels: select pods of ingress.proxy.namespace; set it too, or remove them"


def production_uses_tls(settings: Settings) -> Iterator[str]:
    """Passwords and API keys cross the network."""
    if settings.profile == "prod" and settings.ingress.creates_route and not settings.ingress.tls:
        yield "ingress.tls: false would serve prod without TLS; set it to true, or use another profile"


def gateway_asks_for_sign_in(settings: Settings) -> Iterator[str]:
    """Without labels, the policies would apply to every pod of the gateway's namespace."""
    ingress = settings.ingress
    if not isinstance(ingress, IstioIngress) or not ingress.authentication:
        return
    if not ingress.authentication.provider and not ingress.authentication.tokens:
        yield "ingress.authentication: asks for nothing; set provider or tokens, or remove it"
    if not ingress.proxy.labels:
        yield (
            "ingress.proxy.labels: are required with authentication, to tell the pods of the gateway from others; set "
            'them to the selector of the Gateway, for example {"istio": "ingressgateway"}'
        )


def certificates_are_used(settings: Settings) -> Iterator[str]:
    """Without TLS, or with two sources of the certificate, one of the keys would have no effect."""
    ingress = settings.ingress
    if not isinstance(ingress, NoIngress) and ingress.certificate and not ingress.tls:
        yield "ingress.certificate: is not used with tls false; set tls to true, or remove it"
    if not isinstance(ingress, KubernetesIngress) or not ingress.tls_secret:
        return
    if ingress.certificate:
        yield (
            f"ingress.tlsSecret: {json.dumps(ingress.tls_secret)} is not the Secret of certificate; set "
            "certificate.secret instead, or remove certificate"
        )
    elif not ingress.tls:
        yield f"ingress.tlsSecret: {json.dumps(ingress.tls_secret)} is not used with tls false; remove it"


def listeners_use_tls(settings: Settings) -> Iterator[str]:
    """A route on every listener of a Gateway would also be served in plain text."""
    ingress = settings.ingress
    if not isinstance(ingress, GatewayApiIngress):
        return
    if ingress.tls and ingress.listeners == []:
        yield "ingress.listeners: [] would also serve plain HTTP; name the listeners of https, or set tls to false"
    if ingress.redirect_listeners and not ingress.tls:
        yield "ingress.redirectListeners: would redirect to https, which tls false does not serve; remove them"
    for name in ingress.redirect_listeners:
        if name in (ingress.listeners or ["https"]):
            yield f"ingress.redirectListeners: {json.dumps(name)} also serves the route; use another listener"


def public_url_has_the_host(settings: Settings) -> Iterator[str]:
    """`host` is in callbacks and certificates, `publicUrl` in what users open."""
    ingress = settings.ingress
    if isinstance(ingress, NoIngress) and ingress.public_url:
        if urlsplit(ingress.public_url).hostname != settings.host:
            yield (
                f"ingress.publicUrl: {json.dumps(ingress.public_url)} has another host than host "
                f"({json.dumps(settings.host)}); remove host, or make them equal"
            )
        local = urlsplit(ingress.public_url).hostname in {"localhost", "127.0.0.1"}
        if settings.profile == "prod" and ingress.public_url.startswith("http:") and not local:
            yield (
                f"ingress.publicUrl: {json.dumps(ingress.public_url)} would serve prod without TLS; use https, or "
                "another profile"
            )


def bucket_host_is_usable(settings: Settings) -> Iterator[str]:
    """`bucketHost` serves managed buckets only, and over https only.

    The content security policy of Langfuse's pages allows files of other hosts over https only (web/next.config.mjs).
    """
    ingress, host = settings.ingress, settings.ingress.bucket_host
    key = f"ingress.bucketHost: {json.dumps(host)}"
    external = isinstance(settings.object_store, ExternalObjectStore)
    if host and external:
        yield f"{key} has no effect on an external store; set objectStore.publicEndpoint"
    if isinstance(ingress, NoIngress) and ingress.bucket_url:
        value = json.dumps(ingress.bucket_url)
        if external:
            yield f"ingress.bucketUrl: {value} has no effect on an external store; set objectStore.publicEndpoint"
        if host:
            yield f"{key} has no effect with bucketUrl; remove one of them"
    elif host and urlsplit(ingress.url(host)).scheme != "https":
        yield f"{key} needs https: Langfuse's pages load files of other hosts over https only; set ingress.tls to true"
    if host == settings.host and ingress.creates_route:
        yield f"{key} is the UI's host, which serves the buckets by default; remove it, or use another host"


def files_have_protective_headers(settings: Settings) -> Iterator[str]:
    """An uploaded file under the host of the UI could act with the session of whoever opens it.

    Routes to MinIO set headers against that, if the controller is known. Those to an external store can't.
    """
    ingress, store = settings.ingress, settings.object_store
    if (
        isinstance(ingress, KubernetesIngress)
        and ingress.controller == "other"
        and isinstance(store, ManagedObjectStore)
        and not ingress.bucket_host
    ):
        yield (
            "ingress.bucketHost: is required with controller other, because an Ingress can't set the headers that make "
            "uploaded files harmless under the UI's host; set it, or use an external object store"
        )
    endpoint = store.public_endpoint if isinstance(store, ExternalObjectStore) else None
    if endpoint and ingress.creates_route and urlsplit(endpoint).hostname == settings.host:
        yield (
            f"objectStore.publicEndpoint: {json.dumps(endpoint)} is the UI's host, where an uploaded file could act "
            "with the session of whoever opens it; serve the store under its own host"
        )
