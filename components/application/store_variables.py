"""Environment variables with which web, worker and the migrations connect to the four stores."""

from collections.abc import Mapping
from urllib.parse import urlencode

from components.application.extra_env import Program, names
from components.kubernetes.variables import Environment, text
from components.schema.environment import Settings
from components.stores.connections import (
    Bucket,
    ClickHouseConnection,
    ObjectStoreConnection,
    PostgresConnection,
    RedisConnection,
)

_PRISMA_TLS: Mapping[str | None, Mapping[str, str]] = {
    None: {},
    "disable": {"sslmode": "disable"},
    "require": {"sslmode": "require", "sslaccept": "accept_invalid_certs"},
    "verify": {"sslmode": "require", "sslaccept": "strict"},
}
"""Prisma's own parameters (prisma.io/docs/orm/core-concepts/supported-databases/postgresql). Without `strict` it
verifies no certificate, and it has no `verify-full`."""

_INTERNAL_MEDIA_ENDPOINT = "LANGFUSE_S3_MEDIA_UPLOAD_INTERNAL_ENDPOINT"


def postgres_url(postgres: PostgresConnection, *, direct: bool = False) -> str:
    """The URL for Prisma. The kubelet inserts the password.

    Args:
        postgres: The server.
        direct: Whether to bypass a pooler. A migration holds a lock for its session, which a pooler gives to other
            clients.
    """
    parameters = dict(_PRISMA_TLS[postgres.tls])
    if postgres.tls == "verify" and postgres.ca_path:
        parameters["sslcert"] = postgres.ca_path
    if postgres.pooler and not direct:
        parameters["pgbouncer"] = "true"  # no prepared statements: the next transaction may use another connection
    if not direct:
        parameters["connection_limit"] = str(postgres.pool)
    endpoint = postgres.server if direct else postgres.endpoint
    query = f"?{urlencode(parameters, safe='/')}" if parameters else ""
    user = f"{postgres.username}:$(DATABASE_PASSWORD)"
    return f"postgresql://{user}@{endpoint.authority}/{postgres.database}{query}"


def database_environment(postgres: PostgresConnection, clickhouse: ClickHouseConnection) -> Environment:
    """For web, worker and the migrations: both databases."""
    return {
        # DATABASE_URL refers to this variable, so it must come first.
        "DATABASE_PASSWORD": postgres.password,
        "CLICKHOUSE_PASSWORD": clickhouse.password,
        "CLICKHOUSE_CLUSTER_ENABLED": text(clickhouse.clustered),
        "CLICKHOUSE_DB": clickhouse.database,
        "CLICKHOUSE_URL": clickhouse.http.http_url,
        "CLICKHOUSE_USER": clickhouse.username,
        "DATABASE_URL": postgres_url(postgres),
    }


def redis_environment(redis: RedisConnection) -> Environment:
    """For web and worker (packages/shared/src/server/redis/redis.ts)."""
    nodes = ",".join(node.authority for node in redis.nodes)
    variables: dict[str, Environment] = {
        "single": {"REDIS_HOST": redis.endpoint.host, "REDIS_PORT": str(redis.endpoint.port)},
        "cluster": {"REDIS_CLUSTER_ENABLED": "true", "REDIS_CLUSTER_NODES": nodes},
        "sentinel": {
            "REDIS_SENTINEL_ENABLED": "true",
            "REDIS_SENTINEL_NODES": nodes,
            "REDIS_SENTINEL_MASTER_NAME": redis.master_name or "",
            **({"REDIS_SENTINEL_PASSWORD": redis.sentinel_password} if redis.sentinel_password else {}),
            **({"REDIS_SENTINEL_TLS_ENABLED": "true"} if redis.endpoint.tls else {}),
        },
    }
    return {
        "REDIS_AUTH": redis.password,
        **variables[redis.topology],
        **({"REDIS_USERNAME": redis.username} if redis.username else {}),
        **({"REDIS_TLS_ENABLED": "true"} if redis.endpoint.tls else {}),
        **({"REDIS_TLS_CA_PATH": redis.ca_path} if redis.ca_path else {}),
    }


def event_environment(store: ObjectStoreConnection) -> Environment:
    """For web and worker: the bucket of raw events."""
    return {
        **_bucket("EVENT_UPLOAD", store, store.buckets["events"], store.endpoint.http_url),
        **_encryption("EVENT_UPLOAD", store),
    }


def media_environment(settings: Settings, store: ObjectStoreConnection, program: Program) -> Environment:
    """For web and worker: the bucket of media.

    Web signs links for browsers and SDKs, so it needs the public address. The worker reads and deletes media, also
    where pods cannot reach the public host, so it needs the address inside the cluster. Newer releases of web use that
    address too for what they read themselves (langfuse-docs#3682).
    """
    internal = store.endpoint.http_url
    endpoint = _public_endpoint(settings, store) if program == "web" else internal
    reads_internally = program == "web" and _INTERNAL_MEDIA_ENDPOINT in names(settings.version, program)
    return {
        **_bucket("MEDIA_UPLOAD", store, store.buckets["media"], endpoint),
        **({_INTERNAL_MEDIA_ENDPOINT: internal} if reads_internally else {}),
        **_encryption("MEDIA_UPLOAD", store),
    }


def export_environment(settings: Settings, store: ObjectStoreConnection, program: Program) -> Environment:
    """For web and worker: the bucket of batch exports. Web of version 3 reads none of these variables."""
    if program == "web" and settings.version.startswith("3."):
        return {}
    return {
        **_bucket("BATCH_EXPORT", store, store.buckets["exports"], store.endpoint.http_url),
        "LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT": _public_endpoint(settings, store),
        **(_encryption("BATCH_EXPORT", store) if program == "worker" else {}),  # web writes no exports
    }


def _public_endpoint(settings: Settings, store: ObjectStoreConnection) -> str:
    """The address in signed links, which browsers and SDKs open. Without a public route, only pods can open them."""
    return store.public_url or settings.bucket_url or store.endpoint.http_url


def _bucket(use: str, store: ObjectStoreConnection, bucket: Bucket, endpoint: str) -> Environment:
    prefix = f"LANGFUSE_S3_{use}"
    return {
        **bucket.keys(f"{prefix}_"),
        f"{prefix}_BUCKET": bucket.name,
        f"{prefix}_ENDPOINT": endpoint,
        f"{prefix}_FORCE_PATH_STYLE": text(store.force_path_style),
        f"{prefix}_REGION": store.region,
    }


def _encryption(use: str, store: ObjectStoreConnection) -> Environment:
    """How new objects are encrypted."""
    prefix = f"LANGFUSE_S3_{use}"
    return {
        **({} if store.encryption == "none" else {f"{prefix}_SSE": store.encryption}),
        **({f"{prefix}_SSE_KMS_KEY_ID": store.kms_key_id} if store.kms_key_id else {}),
    }
