"""What a store hands on to whoever uses it: addresses and references to credentials, never a password."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.kubernetes.variables import Environment, SecretRef
from components.schema import images
from components.schema.purposes import Purpose


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a store listens."""

    host: str
    port: int
    tls: bool = False

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """The endpoint as an http or https URL; a scheme's own port is left out, as in the host that S3 signs."""
        scheme, own = ("https", 443) if self.tls else ("http", 80)
        return f"{scheme}://{self.host if self.port == own else self.authority}"


@dataclass(frozen=True, kw_only=True)
class PostgresConnection:
    """Postgres, as Langfuse, the migrations and the backups reach it."""

    endpoint: Endpoint
    database: str
    username: str
    password: SecretRef
    version: str
    """Its release: the clients in Jobs are of the same."""
    psql_command: str
    """How a person reaches the database with psql, for the repairs that checks print."""
    direct: Endpoint | None = None
    """Past a pooler, for migrations and backups; `endpoint` if there is none."""
    pooler: bool = False
    """Whether `endpoint` is a pooler in transaction mode."""
    tls: Literal["disable", "require", "verify"] | None = None
    """`require` encrypts, `verify` also checks the certificate; None takes what the server offers."""
    ca_path: str | None = None
    """The file of certificates that its own is checked against; the system's if not given."""

    @property
    def server(self) -> Endpoint:
        """The server itself."""
        return self.direct or self.endpoint


@dataclass(frozen=True, kw_only=True)
class ClickHouseConnection:
    """ClickHouse: HTTP for the application, the native protocol for migrations and backups."""

    http: Endpoint
    native: Endpoint
    """Of one and the same replica for migrations: golang-migrate reads the version that it has just written, and
    another replica might not have it yet."""
    username: str
    password: SecretRef
    database: str = "default"
    clustered: bool = True
    """Chosen once: there is no way from unclustered to clustered tables."""
    client_version: str = images.CLICKHOUSE.tag
    """Release of the clients in Jobs: the server's own."""


@dataclass(frozen=True, kw_only=True)
class RedisConnection:
    """Valkey or Redis."""

    endpoint: Endpoint
    """A single server; in other topologies the first node."""
    password: SecretRef
    topology: Literal["single", "cluster", "sentinel"] = "single"
    nodes: Sequence[Endpoint] = ()
    """Nodes of a cluster, or Sentinels."""
    master_name: str | None = None
    """Name of the primary that the Sentinels watch."""
    sentinel_password: SecretRef | None = None
    username: str | None = None
    ca_path: str | None = None
    """The file of certificates that the servers' are checked against; the system's if not given."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket and the only credentials that can use it; none where the pod's identity stands for them."""

    name: str
    access_key_id: SecretRef | None = None
    secret_access_key: SecretRef | None = None

    def keys(self, prefix: str) -> Environment:
        """The credentials as environment variables with a prefix."""
        if self.access_key_id is None or self.secret_access_key is None:
            return {}
        return {f"{prefix}ACCESS_KEY_ID": self.access_key_id, f"{prefix}SECRET_ACCESS_KEY": self.secret_access_key}


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConnection:
    """S3: one bucket and one user per purpose."""

    endpoint: Endpoint
    """Reached from inside the cluster."""
    region: str
    force_path_style: bool
    buckets: Mapping[Purpose, Bucket]
    public_url: str | None = None
    """Where browsers and SDKs reach a store outside; None where the buckets are served under the UI's own host."""
    encryption: Literal["none", "AES256", "aws:kms"] = "none"
    kms_key_id: str | None = None
    identity: Mapping[str, str] | None = None
    """Annotations of the service accounts that stand for the credentials; None where there are keys."""

    @property
    def served_buckets(self) -> Sequence[str]:
        """Buckets that browsers and SDKs reach under the UI's own host."""
        return [] if self.public_url else [self.buckets[purpose].name for purpose in ("media", "exports")]

    @property
    def account_annotations(self) -> Mapping[str, str]:
        """What the service account of whoever uses a bucket is given."""
        return self.identity or {}

    def bucket_url(self, purpose: Purpose) -> str:
        """The URL of a bucket, by path or by host."""
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
