"""The environment variables of web, worker and the migration: a pure function of connections and settings.

Every name is one that the application reads: packages/shared/src/env.ts, web/src/env.mjs, worker/src/env.ts and both
entrypoint.sh at v4.16.0. `HOSTNAME`, `PORT` and `KEEP_ALIVE_TIMEOUT` are read by Next's standalone server,
`NODE_OPTIONS` by Node. Passwords stand in no variable: a Secret is referred to, and `$(NAME)` is filled in by the
kubelet.
"""

from dataclasses import dataclass

from components.connections import (
    Bucket,
    ClickHouseConnection,
    Environment,
    ObjectStoreConnection,
    PostgresConnection,
    RedisConnection,
    SecretRef,
)
from components.settings import Settings, Workload
from components.values import quantity_value

WEB_PORT = 3000
WORKER_PORT = 3030

KEEP_ALIVE_MILLISECONDS = 620_000
"""Longer than a load balancer keeps an idle connection (600 s: Google Cloud), so that it is never the server that
closes one on which a request is under way."""

FILE_NAME_BYTES = 255
"""MinIO keeps a segment of an object's key as a file name, which Linux limits (limits.h, NAME_MAX)."""


@dataclass(frozen=True, kw_only=True)
class ApplicationSecrets:
    """References to what web and worker keep to themselves."""

    nextauth_secret: SecretRef
    salt: SecretRef
    encryption_key: SecretRef
    user_password: SecretRef
    public_key: SecretRef
    secret_key: SecretRef


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The four stores of an installation."""

    postgres: PostgresConnection
    clickhouse: ClickHouseConnection
    redis: RedisConnection
    object_store: ObjectStoreConnection


def migration_environment(postgres: PostgresConnection, clickhouse: ClickHouseConnection) -> Environment:
    """For the one process that migrates both schemas: it sees nothing but the two databases."""
    return {
        **_databases(postgres, clickhouse),
        "CLICKHOUSE_MIGRATION_URL": f"clickhouse://{clickhouse.native.authority}",
        "DIRECT_URL": _postgres_url(postgres),
    }


def web_environment(settings: Settings, stores: Stores, secrets: ApplicationSecrets) -> Environment:
    """For web: serves the UI and the API, never migrates."""
    start = settings.first_start
    return {
        **migration_environment(stores.postgres, stores.clickhouse),
        **_application(settings, stores, secrets, settings.web),
        # v3's web leaves exports to the worker altogether.
        **(_exports(settings, stores.object_store) if settings.version.startswith("4.") else {}),
        "NEXTAUTH_SECRET": secrets.nextauth_secret,
        "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": secrets.public_key,
        "LANGFUSE_INIT_PROJECT_SECRET_KEY": secrets.secret_key,
        "LANGFUSE_INIT_USER_PASSWORD": secrets.user_password,
        "AUTH_DISABLE_SIGNUP": _flag(not settings.application.sign_up),
        "KEEP_ALIVE_TIMEOUT": str(KEEP_ALIVE_MILLISECONDS),
        "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED": "true",
        "LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED": "true",
        "LANGFUSE_CSP_ENFORCE_HTTPS": _flag(settings.ingress.tls),
        "LANGFUSE_INIT_ORG_ID": settings.instance,
        "LANGFUSE_INIT_ORG_NAME": start.organization,
        "LANGFUSE_INIT_PROJECT_ID": f"{settings.instance}-project",
        "LANGFUSE_INIT_PROJECT_NAME": start.project,
        "LANGFUSE_INIT_USER_EMAIL": start.owner_email,
        "LANGFUSE_INIT_USER_NAME": start.owner_name,
        "PORT": str(WEB_PORT),
        "TELEMETRY_ENABLED": _flag(settings.application.telemetry),
    }


def worker_environment(settings: Settings, stores: Stores, secrets: ApplicationSecrets) -> Environment:
    """For worker: takes jobs from the queues, writes to ClickHouse; runs background migrations only."""
    return {
        **_databases(stores.postgres, stores.clickhouse),
        **_application(settings, stores, secrets, settings.worker),
        **_exports(settings, stores.object_store),
        "LANGFUSE_S3_BATCH_EXPORT_ENABLED": "true",
        "PORT": str(WORKER_PORT),
    }


def _databases(postgres: PostgresConnection, clickhouse: ClickHouseConnection) -> Environment:
    return {
        # DATABASE_URL refers to it, so it stands before.
        "DATABASE_PASSWORD": postgres.password,
        "CLICKHOUSE_PASSWORD": clickhouse.password,
        "CLICKHOUSE_CLUSTER_ENABLED": _flag(clickhouse.clustered),
        "CLICKHOUSE_DB": clickhouse.database,
        "CLICKHOUSE_URL": clickhouse.http.http_url,
        "CLICKHOUSE_USER": clickhouse.username,
        "DATABASE_URL": _postgres_url(postgres),
    }


def _postgres_url(postgres: PostgresConnection) -> str:
    return f"postgresql://{postgres.username}:$(DATABASE_PASSWORD)@{postgres.endpoint.authority}/{postgres.database}"


def _application(settings: Settings, stores: Stores, secrets: ApplicationSecrets, workload: Workload) -> Environment:
    store = stores.object_store
    return {
        "REDIS_AUTH": stores.redis.password,
        "SALT": secrets.salt,
        "ENCRYPTION_KEY": secrets.encryption_key,
        **_bucket("EVENT_UPLOAD", store, store.buckets["events"], store.endpoint.http_url),
        **_bucket("MEDIA_UPLOAD", store, store.buckets["media"], _public_endpoint(settings, store)),
        # Spill before the memory is used up: upstream's default of 32 GB is more than the server has.
        "CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY": str(_half(settings.clickhouse.resources.memory)),
        # Kubernetes sets it to the pod's name, and the servers would listen on that alone.
        "HOSTNAME": "0.0.0.0",  # noqa: S104
        "LANGFUSE_LOG_LEVEL": settings.application.log_level,
        "LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES": str(FILE_NAME_BYTES),
        "NEXTAUTH_URL": settings.public_url,
        "NODE_OPTIONS": f"--max-old-space-size={_heap_mebibytes(workload)}",
        "REDIS_HOST": stores.redis.endpoint.host,
        "REDIS_PORT": str(stores.redis.endpoint.port),
    }


def _exports(settings: Settings, store: ObjectStoreConnection) -> Environment:
    return {
        **_bucket("BATCH_EXPORT", store, store.buckets["exports"], store.endpoint.http_url),
        "LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT": _public_endpoint(settings, store),
    }


def _public_endpoint(settings: Settings, store: ObjectStoreConnection) -> str:
    """Signed links are followed by browsers and SDKs, which reach the buckets under the UI's own host."""
    return store.endpoint.http_url if settings.ingress.kind == "none" else settings.public_url


def _bucket(use: str, store: ObjectStoreConnection, bucket: Bucket, endpoint: str) -> Environment:
    prefix = f"LANGFUSE_S3_{use}"
    return {
        f"{prefix}_ACCESS_KEY_ID": bucket.access_key_id,
        f"{prefix}_SECRET_ACCESS_KEY": bucket.secret_access_key,
        f"{prefix}_BUCKET": bucket.name,
        f"{prefix}_ENDPOINT": endpoint,
        f"{prefix}_FORCE_PATH_STYLE": _flag(store.force_path_style),
        f"{prefix}_REGION": store.region,
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _half(memory: str) -> int:
    return int(quantity_value(memory) / 2)


def _heap_mebibytes(workload: Workload) -> int:
    """Three quarters of the memory limit: the rest is for buffers and native code."""
    return int(quantity_value(workload.resources.memory) * 3 / 4 / 1024**2)
