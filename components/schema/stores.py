"""The stores: managed by the stack, by an operator, or external. The mode decides which keys exist."""

from typing import Annotated, Literal

from pydantic import Field

from components.schema import images
from components.schema.base import Model, Resources
from components.schema.values import BucketName, ByteQuantity, HttpUrl, Name, Pem, Port, ServerHost, StoreVersion


class FormerPostgres(Model):
    """The server before an upgrade, and its volume."""

    version: StoreVersion = Field(description="Its release.")
    volume: int | None = Field(default=None, description="Its `volume`.")


class ManagedPostgres(Model):
    """A single Postgres server that the stack manages."""

    mode: Literal["managed"]
    version: StoreVersion = Field(
        default=images.POSTGRES.tag,
        description="Postgres release: the tag of the image. `python -m operations upgrade-postgres` changes the major "
        "release.",
    )
    storage: ByteQuantity = Field(description="Size of the volume. It can be increased.")
    resources: Resources
    volume: int | None = Field(
        default=None,
        description="The major release that `upgrade-postgres` created the volume for. Default: the volume of the "
        "first deployment. Do not set it by hand.",
    )
    upgrade_to: StoreVersion | None = Field(
        default=None,
        description="The release that `upgrade-postgres` copies the database to, until it has done so.",
    )
    former: FormerPostgres | None = Field(
        default=None,
        description="The server before the last upgrade. Its volume is kept while `upgrade-postgres` has not removed "
        "this key.",
    )


class CloudNativePgPostgres(Model):
    """A cluster of Postgres servers that the CloudNativePG operator manages."""

    mode: Literal["cloudnativepg"]
    version: StoreVersion = Field(
        default=images.POSTGRES.tag, description="Postgres release. The major release cannot be changed later."
    )
    instances: int = Field(default=3, ge=1, le=9, description="Number of servers: one primary and its replicas.")
    storage: ByteQuantity = Field(description="Size of each volume. It can be increased.")
    resources: Resources


class ExternalPostgres(Model):
    """An external Postgres server."""

    mode: Literal["external"]
    version: StoreVersion | None = Field(
        default=None,
        description="Release of the server. It is checked against the releases that Langfuse supports, and dumps use a "
        "client of this release. Default: a client of the newest release, whose dumps an older server may not accept.",
    )
    host: ServerHost = Field(description="Host of the server, or of a pooler in front of it.")
    port: Port = Field(default=5432, description="Port of `host`.")
    direct_host: ServerHost | None = Field(
        default=None, description="Host for migrations, which must bypass a pooler. Default: `host`."
    )
    direct_port: Port | None = Field(default=None, description="Port for migrations. Default: `port`.")
    pooler: bool = Field(
        default=False, description="Whether `host` is a pooler in transaction mode, for example PgBouncer."
    )
    connections: int = Field(
        default=100,
        ge=20,
        le=10000,
        description="Number of connections that this installation may open: `max_connections` of the server, or of the "
        "pooler in front of it (`max_client_conn`), without those of other clients. The pools of web and worker "
        "follow from it. Default: that of Postgres.",
    )
    database: Name = Field(default="langfuse", description="Name of the database.")
    username: Name = Field(default="langfuse", description="Role that owns the database.")
    tls: Literal["disable", "require", "verify"] = Field(
        default="verify",
        description="`require` encrypts connections. `verify` also verifies the certificate of the server.",
    )
    ca: Pem | None = Field(default=None, description="CA certificates of a private CA, in PEM format.")


Postgres = Annotated[ManagedPostgres | CloudNativePgPostgres | ExternalPostgres, Field(discriminator="mode")]


class ManagedClickHouse(Model):
    """A ClickHouse cluster with one shard, and its Keepers, that the stack manages."""

    mode: Literal["managed"]
    version: StoreVersion = Field(
        default=images.CLICKHOUSE.tag,
        description="ClickHouse release: the tag of the image. 26.8 and newer require Langfuse 4.28.0 (or 3.225.7).",
    )
    replicas: Literal[1, 3] = Field(default=1, description="Number of servers. Each holds all of the data.")
    keepers: Literal[1, 3] = Field(
        default=1, description="Number of Keepers. Three continue if one is lost. It cannot be decreased later."
    )
    storage: ByteQuantity = Field(description="Size of each server's volume. It can be increased.")
    keeper_storage: ByteQuantity = Field(description="Size of each Keeper's volume.")
    resources: Resources
    keeper_resources: Resources


class ExternalClickHouse(Model):
    """An external ClickHouse server, cluster or ClickHouse Cloud service."""

    mode: Literal["external"]
    version: StoreVersion | None = Field(
        default=None,
        description="Release of the server. A preview checks it against the releases that Langfuse supports. The "
        "running server is checked before each migration.",
    )
    host: ServerHost = Field(description="Host of the server.")
    http_port: Port = Field(default=8443, description="Port of the HTTP interface.")
    native_port: Port = Field(default=9440, description="Port of the native protocol, for migrations.")
    tls: bool = Field(default=True, description="Whether both ports use TLS.")
    database: Name = Field(default="default", description="Name of the database.")
    username: Name = Field(default="default", description="User that owns the tables.")
    clustered: bool = Field(
        default=False,
        description="Whether the server is part of a cluster named `default`. `false` for ClickHouse Cloud. It cannot "
        "be changed later.",
    )
    memory: ByteQuantity = Field(
        default="16Gi", description="Memory of the server. Large aggregations spill to disk at three tenths of it."
    )


ClickHouse = Annotated[ManagedClickHouse | ExternalClickHouse, Field(discriminator="mode")]


class ManagedRedis(Model):
    """A single Valkey server that the stack manages."""

    mode: Literal["managed"]
    version: StoreVersion = Field(default=images.VALKEY.tag, description="Valkey release: the tag of the image.")
    storage: ByteQuantity = Field(
        description="Size of the volume: at least twice the memory, for rewrites of the append-only file."
    )
    resources: Resources


class SentinelRedis(Model):
    """Three Valkey servers that the stack manages, and three Sentinels that promote a replica if the primary fails."""

    mode: Literal["sentinel"]
    version: StoreVersion = Field(default=images.VALKEY.tag, description="Valkey release: the tag of the image.")
    storage: ByteQuantity = Field(
        description="Size of each volume: at least twice the memory, for rewrites of the append-only file."
    )
    resources: Resources


class ExternalRedis(Model):
    """An external Redis or Valkey. It must not evict keys, and should have an append-only file."""

    mode: Literal["external"]
    topology: Literal["single", "cluster", "sentinel"] = Field(default="single", description="How clients connect.")
    version: StoreVersion | None = Field(
        default=None, description="Release of the server. It is checked against the releases that Langfuse supports."
    )
    host: ServerHost | None = Field(default=None, description="Host of a single server.")
    port: Port = Field(default=6379, description="Port of a single server.")
    nodes: list[str] = Field(default=[], description="`host:port` of each cluster node or Sentinel.")
    master_name: Name | None = Field(default=None, description="Name of the primary that the Sentinels monitor.")
    username: Name | None = Field(default=None, description="ACL user. Default: the default user of the server.")
    tls: bool = Field(default=True, description="Whether connections are encrypted.")
    ca: Pem | None = Field(default=None, description="CA certificates of a private CA, in PEM format.")


Redis = Annotated[ManagedRedis | SentinelRedis | ExternalRedis, Field(discriminator="mode")]


class Retention(Model):
    """Retention of objects. Media never expires: Langfuse does not upload a file again that it has seen before."""

    events_days: int = Field(default=30, ge=1, description="Number of days for which raw events are kept.")
    exports_days: int = Field(default=7, ge=1, description="Number of days for which batch exports are kept.")


class ManagedObjectStore(Retention):
    """A MinIO that the stack manages. It encrypts objects with `credentials.values.objectStoreEncryptionKey`."""

    mode: Literal["managed"]
    version: StoreVersion = Field(default=images.MINIO.tag, description="MinIO release: the tag of the image.")
    nodes: Literal[1, 4] = Field(default=1, description="Number of servers. Four continue if one is lost.")
    storage: ByteQuantity = Field(description="Size of each server's volume.")
    resources: Resources


class Buckets(Model):
    """Names of the buckets."""

    events: BucketName
    media: BucketName
    exports: BucketName
    backups: BucketName


class ExternalObjectStore(Retention):
    """S3 or an S3-compatible store."""

    mode: Literal["external"]
    endpoint: HttpUrl | None = Field(default=None, description="URL of the store. Default: AWS.")
    public_endpoint: HttpUrl | None = Field(
        default=None, description="URL in signed links, which browsers and SDKs must reach. Default: `endpoint`."
    )
    region: Name = Field(description="Region of the buckets.")
    force_path_style: bool = Field(
        default=False, description="Whether URLs have the bucket in the path instead of the host."
    )
    buckets: Buckets
    manage_buckets: bool = Field(
        default=False, description="Whether the stack creates the buckets and manages their lifecycle rules."
    )
    encryption: Literal["none", "AES256", "aws:kms"] = Field(
        default="AES256", description="Encryption at rest of new objects."
    )
    kms_key_id: str | None = Field(default=None, description="KMS key for `aws:kms`. Default: the key of the account.")
    versioning: bool = Field(
        default=True, description="Whether managed buckets are versioned: replaced objects are kept for a while."
    )
    public_access_block: bool = Field(
        default=True,
        description="Whether public access to managed buckets is blocked. `false` for stores without this feature.",
    )
    identity: Literal["keys", "workload"] = Field(
        default="keys",
        description="How pods authenticate. `keys`: access keys; `workload`: the service accounts of the pods, as with "
        "IRSA.",
    )
    identity_annotations: dict[str, str] = Field(
        default={}, description="Annotations of the service accounts, for example `eks.amazonaws.com/role-arn`."
    )


ObjectStore = Annotated[ManagedObjectStore | ExternalObjectStore, Field(discriminator="mode")]
