"""Connections to stores: addresses and references to credentials, never a password."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from components.kubernetes.variables import Environment, SecretRef
from components.schema import images
from components.schema.purposes import Purpose

DEFAULT_PORTS: Mapping[str, int] = {
    "http": 80,
    "https": 443,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "clickhouse": 9000,
    "smtp": 587,
    "smtps": 465,
    **dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080),
}
"""The port of a URL without one, by its scheme. Those of mail are nodemailer's, which Langfuse uses; that of SOCKS
proxies is registered at IANA."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An address where a server listens."""

    host: str
    """A DNS name or an IP address. IPv6 addresses have no brackets here."""
    port: int
    tls: bool = False
    protocol: Literal["TCP", "UDP"] = "TCP"

    @classmethod
    def of_url(cls, url: str) -> "Endpoint":
        """The endpoint of a URL.

        Raises:
            ValueError: The URL has no host or no valid port, or its scheme has no default port.
        """
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        if not parts.hostname or port is None:
            raise ValueError("is not a URL with a host and a known port")
        return cls(host=parts.hostname, port=port, tls=parts.scheme == "https")

    @property
    def url_host(self) -> str:
        """The host as it is written in a URL: IPv6 addresses in brackets (RFC 3986)."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"{self.url_host}:{self.port}"

    @property
    def http_url(self) -> str:
        """The http or https URL. The scheme's default port is omitted, as in the host name that S3 signs."""
        scheme, default_port = ("https", 443) if self.tls else ("http", 80)
        return f"{scheme}://{self.url_host if self.port == default_port else self.authority}"


@dataclass(frozen=True, kw_only=True)
class PostgresConnection:
    """How Langfuse, the migrations and the backups connect to Postgres."""

    endpoint: Endpoint
    database: str
    username: str
    password: SecretRef
    version: str
    """The release of the server, and of the clients in Jobs."""
    pool: int
    """The number of connections that each pod of the application may open (`pool.py`)."""
    direct: Endpoint | None = None
    """The server behind a pooler, for migrations and backups. None without a pooler."""
    pooler: bool = False
    """Whether `endpoint` is a pooler in transaction mode."""
    tls: Literal["disable", "require", "verify"] | None = None
    """`require` encrypts, `verify` also checks the certificate. None uses TLS if the server offers it."""
    ca_path: str | None = None
    """Path of the CA bundle that verifies the server's certificate. None uses the public CA certificates."""

    @property
    def server(self) -> Endpoint:
        """The server itself, not its pooler."""
        return self.direct or self.endpoint


@dataclass(frozen=True, kw_only=True)
class ClickHouseConnection:
    """How clients connect to ClickHouse: the application by HTTP, migrations and backups by the native protocol."""

    http: Endpoint
    native: Endpoint
    """For migrations it is always the same replica: golang-migrate reads back the version that it has just written, and
    another replica might not have it yet."""
    username: str
    password: SecretRef
    memory: str
    """The memory of a server: large aggregations of the application spill to disk at a part of it."""
    database: str = "default"
    clustered: bool = True
    """Whether tables are replicated. It can't change later: there is no conversion between the two kinds of tables."""
    client_version: str = images.CLICKHOUSE.tag
    """Release of the clients in Jobs, which is that of the server."""


@dataclass(frozen=True, kw_only=True)
class RedisConnection:
    """How clients connect to Valkey or Redis."""

    endpoint: Endpoint
    """A single server, or the first node of another topology."""
    password: SecretRef
    topology: Literal["single", "cluster", "sentinel"] = "single"
    nodes: Sequence[Endpoint] = ()
    """Nodes of a cluster, or Sentinels."""
    master_name: str | None = None
    """The name under which the Sentinels monitor the primary."""
    sentinel_password: SecretRef | None = None
    username: str | None = None
    ca_path: str | None = None
    """Path of the CA bundle that verifies the servers' certificates. None uses the public CA certificates."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket and the keys of its user. There are no keys if pods use their identity."""

    name: str
    access_key_id: SecretRef | None = None
    secret_access_key: SecretRef | None = None

    def keys(self, prefix: str) -> Environment:
        """The keys as environment variables with a prefix."""
        if self.access_key_id is None or self.secret_access_key is None:
            return {}
        return {f"{prefix}ACCESS_KEY_ID": self.access_key_id, f"{prefix}SECRET_ACCESS_KEY": self.secret_access_key}


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConnection:
    """How clients connect to an object store. Each purpose has a bucket and a user."""

    endpoint: Endpoint
    """The address inside the cluster."""
    region: str
    force_path_style: bool
    buckets: Mapping[Purpose, Bucket]
    prune: Bucket | None = None
    """The bucket of backups with keys that can delete, but not write. None if this stack does not remove old sets."""
    verify: Bucket | None = None
    """The bucket of backups with keys that read it and write verdicts. None to use those that write backups."""
    public_url: str | None = None
    """The URL of an external store for browsers and SDKs. None if the buckets are served by the public route."""
    encryption: Literal["none", "AES256", "aws:kms"] = "none"
    kms_key_id: str | None = None
    identity: Mapping[str, str] | None = None
    """Annotations of service accounts that give pods an identity in the cloud. None if there are keys."""

    @property
    def served_buckets(self) -> Sequence[str]:
        """Buckets that browsers and SDKs reach through the public route."""
        return [] if self.public_url else [self.buckets[purpose].name for purpose in ("media", "exports")]

    @property
    def read_backups(self) -> Bucket:
        """The bucket of backups for Jobs that verify and restore. No keys of theirs can delete."""
        return self.verify or self.buckets["backups"]

    @property
    def account_annotations(self) -> Mapping[str, str]:
        """Annotations for the service accounts of the bucket's clients."""
        return self.identity or {}

    @property
    def reader_annotations(self) -> Mapping[str, str]:
        """Annotations for the service accounts of Jobs that use `read_backups`: none if there are keys."""
        return self.account_annotations if self.read_backups.access_key_id is None else {}

    def bucket_url(self, purpose: Purpose) -> str:
        """The URL of a bucket, in path style or with the bucket in the host name."""
        bucket = self.buckets[purpose].name
        if self.force_path_style:
            return f"{self.endpoint.http_url}/{bucket}/"
        scheme, authority = self.endpoint.http_url.split("://")
        return f"{scheme}://{bucket}.{authority}/"


@dataclass(frozen=True, kw_only=True)
class Connections:
    """How clients connect to the four stores of an installation."""

    postgres: PostgresConnection
    clickhouse: ClickHouseConnection
    redis: RedisConnection
    object_store: ObjectStoreConnection
