"""How users and SDKs reach the installation. The kind decides which keys exist."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.credentials import Reference
from components.schema.values import (
    DnsLabel,
    GatewayName,
    GroupName,
    HeaderName,
    Host,
    KindName,
    Name,
    NetworkRange,
    PublicUrl,
    Scope,
    SecretName,
    Url,
)


class Certificate(Model):
    """A certificate that cert-manager issues for the public hosts. It is renewed automatically."""

    issuer: Host = Field(description="Name of the issuer.")
    issuer_kind: KindName = Field(
        default="ClusterIssuer",
        description="Kind of the issuer: `ClusterIssuer`, `Issuer`, which must exist in the namespace of the "
        "certificate, or the kind of an issuer outside of cert-manager.",
    )
    issuer_group: Host = Field(
        default="cert-manager.io",
        description="API group of the issuer. Issuers outside of cert-manager have their own, for example "
        "`awspca.cert-manager.io`.",
    )
    secret: SecretName | None = Field(
        default=None, description="Secret that receives the certificate. Default: `langfuse-<stack>-tls`."
    )


class Proxy(Model):
    """What forwards requests from outside: the pods of a gateway or controller, or a load balancer's addresses.

    They can connect to web and to files in MinIO, in addition to `network.webClients`.
    """

    namespace: DnsLabel | None = Field(
        default=None,
        description="Namespace of the pods. Default: the namespace of `gateway`; for `kind: ingress` that of the "
        "controller in `cluster.controllers`.",
    )
    labels: dict[str, str] = Field(
        default={}, description="Labels of the pods. Default: all pods of the namespace can connect."
    )
    ranges: list[NetworkRange] = Field(
        default=[],
        description="Addresses of a proxy that does not run in pods, or in pods on the network of their node, for "
        "example `35.191.0.0/16` and `130.211.0.0/22` for load balancers of Google Cloud.",
    )
    mesh: bool | None = Field(
        default=None,
        description="Whether the pods are in the mesh, if there is one. Otherwise, web and files in MinIO also accept "
        "plain text. Default: `true` for the kind `istio`. For other kinds, it must be set if there is a mesh.",
    )


class SignedTokens(Model):
    """Tokens (JWT) with which what is in front of the gateway proves who has signed in."""

    issuer: Url = Field(description="Issuer of the tokens (claim `iss`), for example `https://cloud.google.com/iap`.")
    jwks_uri: Url | None = Field(
        default=None,
        description="URL of the public keys of the issuer, which istiod fetches. Default: that of the discovery "
        "document of the issuer.",
    )
    audiences: list[str] = Field(
        min_length=1,
        description="Audiences (claim `aud`), of which a token must have one. An issuer also issues tokens for others.",
    )
    header: HeaderName = Field(
        description="Header that has the token and nothing else, for example `x-goog-iap-jwt-assertion` for "
        "Identity-Aware Proxy, `cf-access-jwt-assertion` for Cloudflare Access. Not `authorization`, where SDKs send "
        "the keys of a project.",
    )


class GatewayAuthentication(Model):
    """A sign-in in front of the UI, enforced by Istio's gateway. Set one of the keys, or both."""

    provider: Name | None = Field(
        default=None,
        description="External authorizer that the gateway asks, for example an oauth2-proxy that you run: its name in "
        "`extensionProviders` of MeshConfig.",
    )
    tokens: SignedTokens | None = Field(
        default=None, description="Tokens that requests must have, from a proxy in front of the gateway."
    )


class SignInProxy(Model):
    """A sign-in in front of the UI: oauth2-proxy admits only users of an OpenID Connect provider.

    The public API (`/api/public`) and signed links do not pass it: they have their own keys.
    """

    issuer: Url = Field(description="Issuer, as in the discovery document of the provider.")
    client_id: str = Field(
        min_length=1,
        description="Id of the client that is registered with the provider, with the callback URL of the output "
        "`callbackUrls`.",
    )
    client_secret: Reference | None = Field(
        default=None,
        description="Secret of the client. Default: the entry `SIGN_IN_PROXY_CLIENT_SECRET` of the credentials' "
        "source.",
    )
    email_domains: list[Host] = Field(
        default=[], description="Domains of e-mail addresses that are admitted. Default: every user of the provider."
    )
    groups: list[GroupName] = Field(
        default=[], description="Groups of which users must have one, from `groupsClaim`. Default: none is needed."
    )
    groups_claim: str = Field(
        default="groups",
        min_length=1,
        description="Claim that lists the groups of a user, for example `roles` or `cognito:groups`.",
    )
    scopes: list[Scope] = Field(
        default=["email", "profile"],
        description="Scopes to request, in addition to `openid`. Some providers list groups only with another one, for "
        "example `groups`.",
    )
    unverified_emails: bool = Field(
        default=False,
        description="Whether to admit users whose e-mail address the provider has not verified. Keycloak marks "
        "addresses from LDAP as not verified. Set it only for providers where users can't choose their address.",
    )
    replicas: int = Field(default=2, ge=1, le=20, description="Number of pods. Sessions are in cookies.")


class Route(Model):
    """The keys of every kind that creates a route."""

    creates_route: ClassVar[bool] = True
    joins_mesh: ClassVar[bool] = False
    """Whether the proxy is part of Istio's mesh, which is then the default for the pods as well."""

    tls: bool = Field(default=True, description="Whether the public URL is https.")
    bucket_host: Host | None = Field(
        default=None,
        description="A separate host for files in MinIO. Signed links contain it, and the gateway or controller must "
        "serve it too. With a separate host, files cannot be attached to dataset items in the UI "
        "(docs/public-routes.md). Default: `host`.",
    )
    certificate: Certificate | None = Field(
        default=None, description="Has cert-manager issue a certificate for the public hosts."
    )
    proxy: Proxy = Proxy()

    @property
    def sign_in_proxy(self) -> SignInProxy | None:
        """The sign-in in front of the UI that this stack runs."""
        return None

    def url(self, host: str) -> str:
        """The public origin (scheme and host) of the installation, for its configured host."""
        return f"{'https' if self.tls else 'http'}://{host}"

    def files_url(self, host: str) -> str | None:
        """The public origin of files in MinIO; None if browsers can't reach them."""
        return self.url(self.bucket_host or host)


class ProtectedRoute(Route):
    """The keys of the kinds in front of which the stack can run a sign-in."""

    authentication: SignInProxy | None = Field(
        default=None, description="A sign-in in front of the UI. Default: none, Langfuse's own sign-in is enough."
    )

    @property
    def sign_in_proxy(self) -> SignInProxy | None:
        """The sign-in in front of the UI that this stack runs."""
        return self.authentication


class GatewayRoute(Route):
    """The keys of the kinds that add a route to an existing gateway."""

    gateway: GatewayName = Field(description="The Gateway that serves the host, as `namespace/name`.")

    @property
    def gateway_namespace(self) -> str:
        """The namespace of the Gateway."""
        return self.gateway.partition("/")[0]


class IstioIngress(GatewayRoute):
    """A VirtualService for an Istio Gateway. Requires Istio."""

    joins_mesh: ClassVar[bool] = True

    kind: Literal["istio"]
    gateway: GatewayName = Field(
        default="istio-system/public",
        description="The Istio Gateway that serves the host, as `namespace/name`. If its pods are in another "
        "namespace, also set `proxy.namespace`.",
    )
    authentication: GatewayAuthentication | None = Field(
        default=None,
        description="A sign-in in front of the UI, enforced by the gateway. Requires `proxy.labels`. Default: none.",
    )


class GatewayApiIngress(GatewayRoute, ProtectedRoute):
    """An HTTPRoute for a Gateway of the Gateway API. The Gateway must admit routes of this namespace."""

    kind: Literal["gateway-api"]
    gateway: GatewayName = Field(
        description="The Gateway that serves the host, as `namespace/name`. If its pods are in another namespace, "
        "as those of Envoy Gateway are, also set `proxy.namespace`."
    )
    listeners: list[DnsLabel] | None = Field(
        default=None,
        description="Names of the Gateway's listeners that serve the route. Default: `https`; all listeners if `tls` "
        "is `false`.",
    )
    redirect_listeners: list[DnsLabel] = Field(
        default=[], description="Names of plain HTTP listeners whose requests are redirected to https."
    )
    timeouts: bool = Field(
        default=True,
        description="Whether the route sets timeouts, so that long requests pass. `false` for a gateway that does not "
        "support them.",
    )


class KubernetesIngress(ProtectedRoute):
    """Ingresses for an ingress controller."""

    kind: Literal["ingress"]
    controller: Literal["nginx", "traefik", "other"] = Field(
        description="The controller. For `nginx` (ingress-nginx) and `traefik`, the stack also sets what an Ingress "
        "alone cannot express: security headers of files, timeouts and sizes. With `other`, you have to set it: "
        "see the output `publicRoute`."
    )
    class_name: DnsLabel | None = Field(
        default=None, description="IngressClass. Default: the default class of the cluster."
    )
    annotations: dict[str, str] = Field(
        default={}, description="Further annotations of every Ingress. They replace those that the stack sets."
    )
    tls_secret: SecretName | None = Field(
        default=None,
        description="Existing Secret in the namespace with the certificate of the public hosts. Default: the default "
        "certificate of the controller, or that of `certificate`.",
    )


class NoIngress(Model):
    """No route. Reach the Services by a port-forward, a tunnel or a route of your own (docs/public-routes.md)."""

    creates_route: ClassVar[bool] = False
    joins_mesh: ClassVar[bool] = False
    sign_in_proxy: ClassVar[None] = None

    kind: Literal["none"]
    tls: bool = Field(default=True, description="Whether the public URL is https, unless `publicUrl` is set.")
    public_url: PublicUrl | None = Field(
        default=None,
        description="URL under which users reach web, for example `http://localhost:3000` with a port-forward. "
        "Default: `host`, with https if `tls` is true.",
    )
    bucket_url: PublicUrl | None = Field(
        default=None,
        description="URL under which users reach files in MinIO, for example `http://localhost:9000` with a "
        "port-forward. Default: that of `bucketHost`; otherwise, signed links lead to the Service.",
    )
    bucket_host: Host | None = Field(
        default=None, description="Host under which your route serves files in MinIO. It may be `host`."
    )

    def url(self, host: str) -> str:
        """The public origin (scheme, host and port) of the installation, for its configured host."""
        return self.public_url or f"{'https' if self.tls else 'http'}://{host}"

    def files_url(self, _: str) -> str | None:
        """The public origin of files in MinIO; None if only pods can reach them."""
        if self.bucket_url or not self.bucket_host:
            return self.bucket_url
        scheme = self.url(self.bucket_host).partition(":")[0]
        return f"{scheme}://{self.bucket_host}"


Ingress = Annotated[IstioIngress | GatewayApiIngress | KubernetesIngress | NoIngress, Field(discriminator="kind")]
