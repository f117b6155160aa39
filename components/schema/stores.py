"""Stores: run by the stack, highly available, or brought along. The mode decides which keys there are."""

from typing import Annotated, Literal

from pydantic import Field

from components.schema import images
from components.schema.base import Model, Resources
from components.schema.values import BucketName, ByteQuantity, Host, HttpUrl, Name, Pem, Port, StoreVersion


class ManagedPostgres(Model):
    """One Postgres that the stack runs."""

    mode: Literal["managed"]
    version: StoreVersion = Field(
        default=images.POSTGRES.tag,
        description="Postgres release, as its image is tagged. Its major release is chosen once.",
    )
    storage: ByteQuantity = Field(description="Size of the volume. It can grow.")
    resources: Resources


class CloudNativePgPostgres(Model):
    """A cluster of Postgres servers, run by the CloudNativePG operator."""

    mode: Literal["cloudnativepg"]
    version: StoreVersion = Field(
        default=images.POSTGRES.tag, description="Postgres release. Its major release is chosen once."
    )
    instances: int = Field(default=3, ge=1, le=9, description="Servers: one primary, the rest follow it.")
    storage: ByteQuantity = Field(description="Size of each volume. It can grow.")
    resources: Resources


class ExternalPostgres(Model):
    """A Postgres that is there already."""

    mode: Literal["external"]
    version: StoreVersion | None = Field(
        default=None,
        description="Its release: checked against what Langfuse needs, and the client that dumps it is of the same. "
        "Without it that is the newest, whose dumps an older server may not take back.",
    )
    host: Host = Field(description="Host of the server, or of the pooler in front of it.")
    port: Port = Field(default=5432, description="Its port.")
    direct_host: Host | None = Field(
        default=None, description="Host for migrations, past a pooler; `host` if not given."
    )
    direct_port: Port | None = Field(default=None, description="Port for migrations; `port` if not given.")
    pooler: bool = Field(default=False, description="Whether `host` is a pooler in transaction mode, like PgBouncer.")
    database: Name = Field(default="langfuse", description="Name of the database.")
    username: Name = Field(default="langfuse", description="Role that owns the database.")
    tls: Literal["disable", "require", "verify"] = Field(
        default="verify", description="`require` encrypts, `verify` also checks the server's certificate."
    )
    ca: Pem | None = Field(default=None, description="Certificates of a private authority, PEM.")


Postgres = Annotated[ManagedPostgres | CloudNativePgPostgres | ExternalPostgres, Field(discriminator="mode")]


class ManagedClickHouse(Model):
    """A ClickHouse cluster of one shard that the stack runs, with its Keepers."""

    mode: Literal["managed"]
    version: StoreVersion = Field(
        default=images.CLICKHOUSE.tag,
        description="ClickHouse release, as its image is tagged. 26.8 and newer need Langfuse 4.28.0 (or 3.225.7).",
    )
    replicas: Literal[1, 3] = Field(default=1, description="Servers that hold all of the data each.")
    keepers: Literal[1, 3] = Field(
        default=1, description="Keepers; three go on when one is lost. Never fewer than there were."
    )
    storage: ByteQuantity = Field(description="Size of each server's volume. It can grow.")
    keeper_storage: ByteQuantity = Field(description="Size of each Keeper's volume.")
    resources: Resources
    keeper_resources: Resources


class ExternalClickHouse(Model):
    """A ClickHouse that is there already, ClickHouse Cloud included."""

    mode: Literal["external"]
    version: StoreVersion | None = Field(
        default=None,
        description="Its release; checked at preview against what Langfuse needs. The running server is checked before "
        "each migration.",
    )
    host: Host = Field(description="Host of the server.")
    http_port: Port = Field(default=8443, description="Port of the HTTP interface.")
    native_port: Port = Field(default=9440, description="Port of the native protocol, for migrations.")
    tls: bool = Field(default=True, description="Whether both ports speak TLS.")
    database: Name = Field(default="default", description="Name of the database.")
    username: Name = Field(default="default", description="User that owns the tables.")
    clustered: bool = Field(
        default=False,
        description="Whether it is a cluster named `default`; false for ClickHouse Cloud. Chosen once.",
    )
    memory: ByteQuantity = Field(default="16Gi", description="Memory of the server: large aggregations spill at half.")


ClickHouse = Annotated[ManagedClickHouse | ExternalClickHouse, Field(discriminator="mode")]


class ManagedRedis(Model):
    """One Valkey that the stack runs."""

    mode: Literal["managed"]
    version: StoreVersion = Field(default=images.VALKEY.tag, description="Valkey release, as its image is tagged.")
    storage: ByteQuantity = Field(description="Size of the volume: at least twice the memory, for AOF rewrites.")
    resources: Resources


class SentinelRedis(Model):
    """Three Valkeys that the stack runs, watched by three Sentinels that promote another when one is lost."""

    mode: Literal["sentinel"]
    version: StoreVersion = Field(default=images.VALKEY.tag, description="Valkey release, as its image is tagged.")
    storage: ByteQuantity = Field(description="Size of each volume: at least twice the memory, for AOF rewrites.")
    resources: Resources


class ExternalRedis(Model):
    """A Redis or Valkey that is there already. It must not evict keys and should keep an append-only file."""

    mode: Literal["external"]
    topology: Literal["single", "cluster", "sentinel"] = Field(default="single", description="How clients connect.")
    version: StoreVersion | None = Field(default=None, description="Its release; checked against what Langfuse needs.")
    host: Host | None = Field(default=None, description="Host of a single server.")
    port: Port = Field(default=6379, description="Port of a single server.")
    nodes: list[str] = Field(default=[], description="`host:port` of each cluster node or Sentinel.")
    master_name: Name | None = Field(default=None, description="Name of the primary that the Sentinels watch.")
    username: Name | None = Field(default=None, description="ACL user; the default user if not given.")
    tls: bool = Field(default=True, description="Whether connections are encrypted.")
    ca: Pem | None = Field(default=None, description="Certificates of a private authority, PEM.")


Redis = Annotated[ManagedRedis | SentinelRedis | ExternalRedis, Field(discriminator="mode")]


class Retention(Model):
    """Days that objects are kept. Media is kept for ever: Langfuse would not upload a file again that it has seen."""

    events_days: int = Field(default=30, ge=1, description="Raw events.")
    exports_days: int = Field(default=7, ge=1, description="Batch exports.")


class ManagedObjectStore(Retention):
    """MinIO that the stack runs. It encrypts what it keeps, by `credentials.values.objectStoreEncryptionKey`."""

    mode: Literal["managed"]
    version: StoreVersion = Field(default=images.MINIO.tag, description="MinIO release, as its image is tagged.")
    nodes: Literal[1, 4] = Field(default=1, description="Servers; four go on when one is lost.")
    storage: ByteQuantity = Field(description="Size of each server's volume.")
    resources: Resources


class Buckets(Model):
    """Names of the buckets."""

    events: BucketName
    media: BucketName
    exports: BucketName
    backups: BucketName


class ExternalObjectStore(Retention):
    """S3 or a store that speaks it."""

    mode: Literal["external"]
    endpoint: HttpUrl | None = Field(default=None, description="URL of the store; AWS if not given.")
    public_endpoint: HttpUrl | None = Field(
        default=None, description="URL that browsers and SDKs reach, for signed links; `endpoint` if not given."
    )
    region: Name = Field(description="Region of the buckets.")
    force_path_style: bool = Field(default=False, description="Whether the bucket stands in the path, not in the host.")
    buckets: Buckets
    manage_buckets: bool = Field(
        default=False, description="Whether the stack makes the buckets and keeps their rules."
    )
    encryption: Literal["none", "AES256", "aws:kms"] = Field(default="AES256", description="At rest, of new objects.")
    kms_key_id: str | None = Field(default=None, description="Key of `aws:kms`; the account's own if not given.")
    versioning: bool = Field(default=True, description="Whether managed buckets keep replaced objects for a while.")
    public_access_block: bool = Field(
        default=True, description="Whether managed buckets can't be made public; false for stores without this."
    )
    identity: Literal["keys", "workload"] = Field(
        default="keys",
        description="`workload`: the pods' service accounts stand for the credentials (IRSA and its like).",
    )
    identity_annotations: dict[str, str] = Field(
        default={}, description="Annotations of the service accounts, such as `eks.amazonaws.com/role-arn`."
    )


ObjectStore = Annotated[ManagedObjectStore | ExternalObjectStore, Field(discriminator="mode")]
