"""The public routes, whichever kind of ingress renders them: hosts, paths, headers, time limits. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from components.schema.environment import Settings
from components.stores.connections import Endpoint, ObjectStoreConnection

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

REQUEST_SECONDS = 600
"""The time limit of a request to web. Exports, large traces and answers of models in the playground take minutes."""

FILE_SECONDS = 3600
"""The time limit of a request for a file: as long as its signed link is valid."""


PUBLIC_API = "/api/public"
"""What SDKs call, with keys of their project: ingestion, OpenTelemetry, health. It needs no other sign-in."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The Services behind the route."""

    web: Endpoint
    api: Endpoint
    """What serves the public API: web, or pods of its own."""
    pages: Endpoint
    """What serves everything but the public API: web, or a sign-in in front of it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which requests for a host go where, with which headers."""

    name: str
    prefixes: Sequence[str] = ()
    """Path prefixes, each a whole segment with or without a slash at the end. None means all other paths."""
    backend: Endpoint | None = None
    """The Service. None refuses the requests."""
    seconds: int = REQUEST_SECONDS
    """The time limit of a request."""
    remove_from_request: Sequence[str] = ()
    """Headers, in lower case, as all others."""
    remove_from_response: Sequence[str] = ()
    set_in_response: Mapping[str, str] = field(default_factory=dict)
    """Headers that replace those of the backend."""
    add_to_response: Mapping[str, str] = field(default_factory=dict)
    """Headers in addition to those of the backend."""


@dataclass(frozen=True, kw_only=True)
class PublicHost:
    """A host and its rules, in order. Their prefixes do not overlap, except with the rule for all other paths."""

    name: str
    """Name of the objects."""
    host: str
    rules: Sequence[Rule]

    def rule(self, name: str) -> Rule | None:
        """The rule with a name."""
        return next((rule for rule in self.rules if rule.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Routes:
    """The public hosts, and the Services behind them."""

    tls: bool
    """Whether the public route uses TLS. Browsers then get headers that require https."""
    hosts: Sequence[PublicHost]

    @property
    def names(self) -> Sequence[str]:
        """All public host names."""
        return [one.host for one in self.hosts]


def public_routes(
    settings: Settings, servers: Servers, store: ObjectStoreConnection, *, tls: bool, bucket_host: str | None
) -> Routes:
    """The host of the UI, and the host of the buckets if there is one.

    The signature of a signed link includes the host, so the store must be reachable under that host. By default, that
    is the host of the UI, whose content security policy allows pages to upload to no other (web/next.config.mjs).
    """
    closed = Rule(name="internal", prefixes=INTERNAL_PATHS)
    files = [_files(store, tls=tls)] if store.served_buckets else []
    pages = [_pages(servers.pages, tls=tls)]
    if servers.pages != servers.api:
        api = replace(_pages(servers.api, tls=tls), name="api", prefixes=[PUBLIC_API])
        pages = [api, *pages]
    if bucket_host:
        hosts = [
            PublicHost(name="langfuse", host=settings.host, rules=[closed, *pages]),
            PublicHost(name="langfuse-buckets", host=bucket_host, rules=files),
        ]
    else:
        hosts = [PublicHost(name="langfuse", host=settings.host, rules=[closed, *files, *pages])]
    return Routes(tls=tls, hosts=hosts)


def _files(store: ObjectStoreConnection, *, tls: bool) -> Rule:
    """Files are inert in browsers, and requests carry no credentials of the user.

    The store needs only the query of a signed link.
    """
    return Rule(
        name="buckets",
        prefixes=[f"/{bucket}/" for bucket in store.served_buckets],
        backend=store.endpoint,
        seconds=FILE_SECONDS,
        remove_from_request=["cookie", "authorization"],
        remove_from_response=["set-cookie"],
        set_in_response={
            "content-security-policy": FILE_POLICY,
            "x-content-type-options": "nosniff",
            **_https_only(tls=tls),
        },
    )


def _pages(web: Endpoint, *, tls: bool) -> Rule:
    """The UI and the API.

    `upgrade-insecure-requests` is added to Langfuse's own policy and does not replace it: browsers apply both. The
    image has it only if LANGFUSE_CSP_ENFORCE_HTTPS was set when it was built (web/next.config.mjs).
    """
    return Rule(
        name="web",
        backend=web,
        set_in_response=_https_only(tls=tls),
        add_to_response={"content-security-policy": "upgrade-insecure-requests"} if tls else {},
    )


def _https_only(*, tls: bool) -> dict[str, str]:
    return {"strict-transport-security": f"max-age={HTTPS_ONLY_SECONDS}"} if tls else {}
