"""The public route: one host for the UI, the API and the signed links into the object store."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.connections import Endpoint
from components.installation import Installation, child_options

HTTPS_ONLY_SECONDS = 365 * 24 * 3600
"""How long a browser comes back by https alone (RFC 6797). Not for subdomains, which may be somebody else's."""


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """What the route connects."""

    installation: Installation
    host: str
    gateway: str
    """`namespace/name` of an Istio Gateway that carries the host."""
    web: Endpoint
    object_store: Endpoint
    tls: bool
    """Whether browsers are told to come by https alone."""
    public_buckets: Sequence[str]
    """Buckets that browsers and SDKs reach with signed links under the UI's host; none of a store outside."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"host": self.host, "gateway": self.gateway, "publicBuckets": list(self.public_buckets)}


class Ingress(pulumi.ComponentResource):
    """An Istio VirtualService.

    Signed links carry the host in their signature, and the UI's content security policy allows requests to its own
    origin only (web/next.config.mjs): so the buckets are served by path under the UI's host. The admin API
    is not routed: whoever needs it is inside the cluster.
    """

    def __init__(self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Ingress", name, args.visible(), opts)
        workload = args.installation.workload("web", component="ingress", version="1")
        k8s.apiextensions.CustomResource(
            "langfuse",
            api_version="networking.istio.io/v1",
            kind="VirtualService",
            metadata=args.installation.metadata(workload, name="langfuse"),
            spec={
                "hosts": [args.host],
                "gateways": [args.gateway],
                "http": [
                    {
                        "name": "admin",
                        "match": [{"uri": {"exact": "/api/admin"}}, {"uri": {"prefix": "/api/admin/"}}],
                        "directResponse": {"status": 404},
                    },
                    *self._buckets(args),
                    {"name": "web", "route": [self._destination(args, args.web)], **self._headers(args)},
                ],
            },
            opts=child_options(self, opts),
        )
        self.register_outputs({"host": args.host})

    def _buckets(self, args: IngressArgs) -> list[dict[str, object]]:
        if not args.public_buckets:
            return []
        match = [{"uri": {"prefix": f"/{bucket}/"}} for bucket in args.public_buckets]
        return [{"name": "buckets", "match": match, "route": [self._destination(args, args.object_store)]}]

    @staticmethod
    def _headers(args: IngressArgs) -> dict[str, object]:
        if not args.tls:
            return {}
        policy = {"strict-transport-security": f"max-age={HTTPS_ONLY_SECONDS}"}
        return {"headers": {"response": {"set": policy}}}

    @staticmethod
    def _destination(args: IngressArgs, endpoint: Endpoint) -> dict[str, object]:
        host = f"{endpoint.host}.{args.installation.namespace}.svc.cluster.local"
        return {"destination": {"host": host, "port": {"number": endpoint.port}}}
