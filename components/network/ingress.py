"""The public routes: the UI and the API, and the signed links into the object store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.application.component import ApplicationContext
from components.kubernetes.objects import Scope, child_options, custom_resource
from components.stores.connections import Endpoint

HTTPS_ONLY_SECONDS = 365 * 24 * 3600
"""How long a browser uses https only (RFC 6797). Subdomains are excluded, because others may own them."""

INTERNAL_PATHS = ("/api/admin", "/api/internal")
"""Langfuse's admin API, and the paths of its AI gateway: never public (Langfuse, hardening guide)."""

FILE_POLICY = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
"""The content security policy of files in the object store: a browser may display them, and nothing else.

Anyone with a project's key can upload HTML and SVG, and the UI opens files in a separate tab
(web/src/components/ui/LangfuseMediaView.tsx). `sandbox` blocks scripts and gives the file an opaque origin, which is
not that of the UI although they share a host. The other directives allow images, audio, video and PDFs to be displayed.
"""


@dataclass(frozen=True, kw_only=True)
class Routes:
    """The endpoints and options of the public routes."""

    scope: Scope
    gateway: str
    """`namespace/name` of an Istio Gateway that carries the hosts."""
    web: Endpoint
    object_store: Endpoint
    tls: bool
    """Whether the public route uses TLS. Browsers then get headers that require https."""
    public_buckets: Sequence[str]
    """Buckets that browsers and SDKs reach with signed links. An external store has none here."""


class Ingress(pulumi.ComponentResource):
    """Istio VirtualServices: one for the host of the UI, and one for the host of the buckets if there is one.

    The signature of a signed link includes the host, so the store must be reachable under that host. By default, that
    is the host of the UI, whose content security policy allows pages to upload to no other (web/next.config.mjs).
    """

    def __init__(self, name: str, context: ApplicationContext, web: Endpoint, opts: pulumi.ResourceOptions) -> None:
        settings, store = context.settings, context.stores.object_store
        host, bucket_host, gateway = settings.host, settings.ingress.bucket_host, settings.ingress.gateway
        visible = {
            "host": host,
            "bucketHost": bucket_host,
            "gateway": gateway,
            "publicBuckets": list(store.served_buckets),
        }
        super().__init__("langfuse:index:Ingress", name, visible, opts)
        routes = Routes(
            scope=Scope(context.installation.workload("web", component="ingress"), child_options(self, opts)),
            gateway=gateway,
            web=web,
            object_store=store.endpoint,
            tls=settings.ingress.tls,
            public_buckets=store.served_buckets,
        )
        if bucket_host:
            _virtual_service("langfuse", host, [_internal_paths(), _web(routes)], routes)
            _virtual_service("langfuse-buckets", bucket_host, [_buckets(routes)], routes)
        else:
            buckets = [_buckets(routes)] if routes.public_buckets else []
            _virtual_service("langfuse", host, [_internal_paths(), *buckets, _web(routes)], routes)
        self.register_outputs({"host": host})


def _virtual_service(name: str, host: str, http: Sequence[Mapping[str, object]], routes: Routes) -> None:
    spec = {"hosts": [host], "gateways": [routes.gateway], "http": list(http)}
    custom_resource(routes.scope, "networking.istio.io/v1", "VirtualService", spec, name=name)


def _internal_paths() -> dict[str, object]:
    match = [{"uri": uri} for path in INTERNAL_PATHS for uri in ({"exact": path}, {"prefix": f"{path}/"})]
    return {"name": "internal", "match": match, "directResponse": {"status": 404}}


def _buckets(routes: Routes) -> dict[str, object]:
    """The route to files in the store. Files are inert in browsers, and requests carry no credentials of the user.

    The store needs only the query of a signed link.
    """
    return {
        "name": "buckets",
        "match": [{"uri": {"prefix": f"/{bucket}/"}} for bucket in routes.public_buckets],
        "headers": {
            "request": {"remove": ["cookie", "authorization"]},
            "response": {
                "set": {
                    "content-security-policy": FILE_POLICY,
                    "x-content-type-options": "nosniff",
                    **_https_only(routes),
                },
                "remove": ["set-cookie"],
            },
        },
        "route": [_destination(routes, routes.object_store)],
    }


def _web(routes: Routes) -> dict[str, object]:
    """The route to the UI and the API.

    `upgrade-insecure-requests` is added to Langfuse's own policy and does not replace it: browsers apply both. The
    image has it only if LANGFUSE_CSP_ENFORCE_HTTPS was set when it was built (web/next.config.mjs).
    """
    route: dict[str, object] = {"name": "web", "route": [_destination(routes, routes.web)]}
    if routes.tls:
        upgrade = {"content-security-policy": "upgrade-insecure-requests"}
        route["headers"] = {"response": {"set": _https_only(routes), "add": upgrade}}
    return route


def _https_only(routes: Routes) -> dict[str, str]:
    return {"strict-transport-security": f"max-age={HTTPS_ONLY_SECONDS}"} if routes.tls else {}


def _destination(routes: Routes, endpoint: Endpoint) -> dict[str, object]:
    host = f"{endpoint.host}.{routes.scope.workload.installation.namespace}.svc.cluster.local"
    return {"destination": {"host": host, "port": {"number": endpoint.port}}}
