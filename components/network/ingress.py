"""The public routes: the UI and the API, and the signed links into the object store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation, child_options
from components.stores.connections import Endpoint

HTTPS_ONLY_SECONDS = 365 * 24 * 3600
"""How long a browser comes back by https alone (RFC 6797). Not for subdomains, which may be somebody else's."""

INTERNAL_PATHS = ("/api/admin", "/api/internal")
"""Langfuse's admin API and the paths that its AI gateway asks web at: never public (Langfuse, hardening guide)."""

FILE_POLICY = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
"""What a file of the object store may do in a browser: be shown, and nothing else.

Whoever has a project's key can upload HTML and SVG, and the UI opens files in a tab of their own
(web/src/components/ui/LangfuseMediaView.tsx). `sandbox` stops scripts and gives the file an origin of its own, so that
it is not the UI's although it comes from its host. The other directives let images, audio, video and PDFs be shown.
"""


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """What the routes connect."""

    installation: Installation
    host: str
    bucket_host: str | None
    """Host of the buckets; the UI's own if not given."""
    gateway: str
    """`namespace/name` of an Istio Gateway that carries the hosts."""
    web: Endpoint
    object_store: Endpoint
    tls: bool
    """Whether browsers are told to come by https alone."""
    public_buckets: Sequence[str]
    """Buckets that browsers and SDKs reach with signed links; none of an external store."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {
            "host": self.host,
            "bucketHost": self.bucket_host,
            "gateway": self.gateway,
            "publicBuckets": list(self.public_buckets),
        }


class Ingress(pulumi.ComponentResource):
    """Istio VirtualServices: one for the UI's host, and one for the buckets' if they have a host of their own.

    Signed links carry the host in their signature, so the store is reached under the host that they were signed for.
    By default that is the UI's: its content security policy lets pages upload to no other (web/next.config.mjs).
    """

    def __init__(self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Ingress", name, args.visible(), opts)
        child = child_options(self, opts)
        if args.bucket_host:
            _virtual_service("langfuse", args.host, [_internal_paths(), _web(args)], args, child)
            _virtual_service("langfuse-buckets", args.bucket_host, [_buckets(args)], args, child)
        else:
            buckets = [_buckets(args)] if args.public_buckets else []
            _virtual_service("langfuse", args.host, [_internal_paths(), *buckets, _web(args)], args, child)
        self.register_outputs({"host": args.host})


def _virtual_service(
    name: str, host: str, routes: Sequence[Mapping[str, object]], args: IngressArgs, opts: pulumi.ResourceOptions
) -> None:
    workload = args.installation.workload("web", component="ingress", version="1")
    k8s.apiextensions.CustomResource(
        name,
        api_version="networking.istio.io/v1",
        kind="VirtualService",
        metadata=args.installation.metadata(workload, name=name),
        spec={"hosts": [host], "gateways": [args.gateway], "http": list(routes)},
        opts=opts,
    )


def _internal_paths() -> dict[str, object]:
    match = [{"uri": uri} for path in INTERNAL_PATHS for uri in ({"exact": path}, {"prefix": f"{path}/"})]
    return {"name": "internal", "match": match, "directResponse": {"status": 404}}


def _buckets(args: IngressArgs) -> dict[str, object]:
    """Files of the store: inert in a browser, and asked for without the credentials of whoever is signed in.

    A signed link has all that the store needs in its query.
    """
    return {
        "name": "buckets",
        "match": [{"uri": {"prefix": f"/{bucket}/"}} for bucket in args.public_buckets],
        "headers": {
            "request": {"remove": ["cookie", "authorization"]},
            "response": {
                "set": {
                    "content-security-policy": FILE_POLICY,
                    "x-content-type-options": "nosniff",
                    **_https_only(args),
                },
                "remove": ["set-cookie"],
            },
        },
        "route": [_destination(args, args.object_store)],
    }


def _web(args: IngressArgs) -> dict[str, object]:
    """The UI and the API.

    `upgrade-insecure-requests` is added to Langfuse's own policy, not set in its place: a browser follows both. The
    image has it only if LANGFUSE_CSP_ENFORCE_HTTPS was set when it was built (web/next.config.mjs).
    """
    route: dict[str, object] = {"name": "web", "route": [_destination(args, args.web)]}
    if args.tls:
        upgrade = {"content-security-policy": "upgrade-insecure-requests"}
        route["headers"] = {"response": {"set": _https_only(args), "add": upgrade}}
    return route


def _https_only(args: IngressArgs) -> dict[str, str]:
    return {"strict-transport-security": f"max-age={HTTPS_ONLY_SECONDS}"} if args.tls else {}


def _destination(args: IngressArgs, endpoint: Endpoint) -> dict[str, object]:
    host = f"{endpoint.host}.{args.installation.namespace}.svc.cluster.local"
    return {"destination": {"host": host, "port": {"number": endpoint.port}}}
