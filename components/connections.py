"""What a store hands on to whoever uses it: addresses and references to credentials, never a password."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


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
        """The endpoint as an http or https URL."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """One key of a Kubernetes Secret in the stack's namespace."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class PodField:
    """A field of the pod itself, for example `metadata.name`."""

    path: str


Environment = Mapping[str, str | SecretRef | PodField]
"""Environment variables of a container by name. Order counts: `$(NAME)` refers to one that stands before."""


@dataclass(frozen=True, kw_only=True)
class PostgresConnection:
    """Postgres, as Langfuse, the migrations and the backups reach it."""

    endpoint: Endpoint
    database: str
    username: str
    password: SecretRef


@dataclass(frozen=True, kw_only=True)
class ClickHouseConnection:
    """ClickHouse: HTTP for the application, the native protocol for migrations and backups."""

    http: Endpoint
    native: Endpoint
    username: str
    password: SecretRef
    database: str = "default"
    clustered: bool = True
    """Chosen once: there is no way from unclustered to clustered tables."""


@dataclass(frozen=True, kw_only=True)
class RedisConnection:
    """Valkey or Redis."""

    endpoint: Endpoint
    password: SecretRef


Purpose = Literal["events", "media", "exports", "backups"]
PURPOSES: tuple[Purpose, ...] = ("events", "media", "exports", "backups")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket and the only credentials that can use it."""

    name: str
    access_key_id: SecretRef
    secret_access_key: SecretRef


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConnection:
    """S3: one bucket and one user per purpose."""

    endpoint: Endpoint
    """Reached from inside the cluster."""
    region: str
    force_path_style: bool
    buckets: Mapping[Purpose, Bucket]
