"""The environment variables of web, worker and their Jobs: a pure function of connections and settings.

Every name is one that the application reads: packages/shared/src/env.ts, web/src/env.mjs, worker/src/env.ts and both
entrypoint.sh at v4.16.0, and what later releases added (`data/langfuse-env-4.json`). `HOSTNAME`, `PORT` and
`KEEP_ALIVE_TIMEOUT` are read by Next's standalone server, `NODE_OPTIONS` by Node. Passwords stand in no variable: a
Secret is referred to, and `$(NAME)` is filled in by the kubelet.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from components.application.extra_env import Program, extra_environment, names
from components.application.outbound import mail_environment, target_environment
from components.application.sign_in import sign_in_environment
from components.application.store_variables import postgres_url, redis_environment
from components.kubernetes.variables import Environment, SecretRef
from components.schema.application import Ingestion, Workload
from components.schema.environment import Settings
from components.schema.values import quantity_value
from components.stores.connections import (
    Bucket,
    ClickHouseConnection,
    ObjectStoreConnection,
    PostgresConnection,
    RedisConnection,
)
from components.stores.versions import query_environment

WEB_PORT = 3000
WORKER_PORT = 3030

KEEP_ALIVE_MILLISECONDS = 620_000
"""Longer than a load balancer keeps an idle connection (600 s: Google Cloud), so that it is never the server that
closes one on which a request is under way."""

FILE_NAME_BYTES = 255
"""MinIO keeps a segment of an object's key as a file name, which Linux limits (limits.h, NAME_MAX)."""


Refs = Mapping[str, SecretRef]
"""Where pods read a credential, by its id in `components/credentials/registry.py`."""


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
        "CLICKHOUSE_MIGRATION_SSL": _flag(clickhouse.native.tls),
        "CLICKHOUSE_MIGRATION_URL": f"clickhouse://{clickhouse.native.authority}",
        "DIRECT_URL": postgres_url(postgres, direct=True),
    }


def web_environment(settings: Settings, stores: Stores, refs: Refs) -> Environment:
    """For web: serves the UI and the API. It never migrates and makes no first organization."""
    return {
        **migration_environment(stores.postgres, stores.clickhouse),
        **_application(settings, stores, refs, settings.web),
        **_media(settings, stores.object_store, "web"),
        **sign_in_environment(settings, refs),
        # v3's web leaves exports to the worker altogether.
        **(_exports(settings, stores.object_store) if settings.version.startswith("4.") else {}),
        **({"ADMIN_API_KEY": refs["admin_api_key"]} if "admin_api_key" in refs else {}),
        "NEXTAUTH_SECRET": refs["nextauth_secret"],
        "KEEP_ALIVE_TIMEOUT": str(KEEP_ALIVE_MILLISECONDS),
        "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED": "true",
        "LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED": "true",
        "PORT": str(WEB_PORT),
        "TELEMETRY_ENABLED": _flag(settings.application.telemetry),
        **extra_environment(settings, "web"),
    }


def first_start_environment(settings: Settings, stores: Stores, refs: Refs) -> Environment:
    """For the one web server that makes what `firstStart` names: that of web, and what it has to make.

    It makes what is missing at every start (web/src/initialize.ts). It only talks to itself.
    """
    start = settings.first_start
    days = start.project_retention_days
    return {
        "LANGFUSE_INIT_ORG_ID": settings.organization_id,
        "LANGFUSE_INIT_ORG_NAME": start.organization,
        "LANGFUSE_INIT_PROJECT_ID": settings.project_id,
        "LANGFUSE_INIT_PROJECT_NAME": start.project,
        "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": refs["public_key"],
        "LANGFUSE_INIT_PROJECT_SECRET_KEY": refs["secret_key"],
        "LANGFUSE_INIT_USER_EMAIL": start.owner_email,
        "LANGFUSE_INIT_USER_NAME": start.owner_name,
        "LANGFUSE_INIT_USER_PASSWORD": refs["user_password"],
        **({"LANGFUSE_INIT_PROJECT_RETENTION": str(days)} if days else {}),
        **web_environment(settings, stores, refs),
        "HOSTNAME": "127.0.0.1",
        "TELEMETRY_ENABLED": "false",
    }


def worker_environment(settings: Settings, stores: Stores, refs: Refs) -> Environment:
    """For worker: takes jobs from the queues, writes to ClickHouse; runs background migrations only."""
    return {
        **_databases(stores.postgres, stores.clickhouse),
        **_application(settings, stores, refs, settings.worker),
        **_media(settings, stores.object_store, "worker"),
        **_exports(settings, stores.object_store),
        **_encryption("BATCH_EXPORT", stores.object_store),  # web reads no such variable: it writes no exports
        **_event_migration(settings.ingestion),
        "LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY": str(settings.worker.concurrency),
        "LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY": str(settings.worker.otel_concurrency),
        "LANGFUSE_S3_BATCH_EXPORT_ENABLED": "true",
        "PORT": str(WORKER_PORT),
        **extra_environment(settings, "worker"),
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
        "DATABASE_URL": postgres_url(postgres),
    }


def _application(settings: Settings, stores: Stores, refs: Refs, workload: Workload) -> Environment:
    store = stores.object_store
    return {
        **redis_environment(stores.redis),
        "SALT": refs["salt"],
        "ENCRYPTION_KEY": refs["encryption_key"],
        **({"LANGFUSE_EE_LICENSE_KEY": refs["license_key"]} if settings.license else {}),
        **mail_environment(settings, refs),
        **target_environment(settings.allowed_targets),
        **_write_mode(settings.ingestion),
        **_bucket("EVENT_UPLOAD", store, store.buckets["events"], store.endpoint.http_url),
        **_encryption("EVENT_UPLOAD", store),
        **query_environment(settings.clickhouse.version),
        # Spill before the memory is used up: upstream's default of 32 GB is more than the server has.
        "CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY": str(_half(_clickhouse_memory(settings))),
        # Kubernetes sets it to the pod's name, and the servers would listen on that alone.
        "HOSTNAME": "0.0.0.0",  # noqa: S104
        "LANGFUSE_LOG_FORMAT": settings.application.log_format,
        "LANGFUSE_LOG_LEVEL": settings.application.log_level,
        "LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES": str(FILE_NAME_BYTES),
        "NEXTAUTH_URL": settings.public_url,
        "NODE_OPTIONS": f"--max-old-space-size={_heap_mebibytes(workload)}",
        "REDIS_KEY_PREFIX": f"{settings.instance}:",
    }


def _write_mode(ingestion: Ingestion) -> Environment:
    """For web and worker: which tables are written, and who sees the new ones. Unset, the version's defaults hold."""
    return _given(
        LANGFUSE_MIGRATION_V4_WRITE_MODE=ingestion.write_mode,
        LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN=ingestion.preview_opt_in,
    )


def _event_migration(ingestion: Ingestion) -> Environment:
    """For worker alone."""
    return _given(
        LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR=ingestion.otel_behaviour,
        LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL=ingestion.historic_backfill,
    )


def _given(**variables: str | bool | None) -> Environment:
    return {
        name: _flag(value) if isinstance(value, bool) else value
        for name, value in variables.items()
        if value is not None
    }


def _exports(settings: Settings, store: ObjectStoreConnection) -> Environment:
    return {
        **_bucket("BATCH_EXPORT", store, store.buckets["exports"], store.endpoint.http_url),
        "LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT": _public_endpoint(settings, store),
    }


def _media(settings: Settings, store: ObjectStoreConnection, program: Program) -> Environment:
    """Web signs links for browsers and SDKs, so it is given the public address.

    The worker reads and deletes, also where pods can't reach the public host: it is given the store's own address.
    Newer releases of web use that too for what they read themselves (langfuse-docs#3682).
    """
    inner = store.endpoint.http_url
    internal = "LANGFUSE_S3_MEDIA_UPLOAD_INTERNAL_ENDPOINT"
    bucket = store.buckets["media"]
    return {
        **_bucket("MEDIA_UPLOAD", store, bucket, _public_endpoint(settings, store) if program == "web" else inner),
        **({internal: inner} if program == "web" and internal in names(settings.version, program) else {}),
        **_encryption("MEDIA_UPLOAD", store),
    }


def _public_endpoint(settings: Settings, store: ObjectStoreConnection) -> str:
    """Signed links are followed by browsers and SDKs; without a route to managed buckets only by pods."""
    return store.public_url or settings.bucket_url or store.endpoint.http_url


def _bucket(use: str, store: ObjectStoreConnection, bucket: Bucket, endpoint: str) -> Environment:
    prefix = f"LANGFUSE_S3_{use}"
    return {
        **bucket.keys(f"{prefix}_"),
        f"{prefix}_BUCKET": bucket.name,
        f"{prefix}_ENDPOINT": endpoint,
        f"{prefix}_FORCE_PATH_STYLE": _flag(store.force_path_style),
        f"{prefix}_REGION": store.region,
    }


def _encryption(use: str, store: ObjectStoreConnection) -> Environment:
    """How objects that a program writes are encrypted."""
    prefix = f"LANGFUSE_S3_{use}"
    return {
        **({} if store.encryption == "none" else {f"{prefix}_SSE": store.encryption}),
        **({f"{prefix}_SSE_KMS_KEY_ID": store.kms_key_id} if store.kms_key_id else {}),
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _clickhouse_memory(settings: Settings) -> str:
    store = settings.clickhouse
    return store.memory if store.mode == "external" else store.resources.memory


def _half(memory: str) -> int:
    return int(quantity_value(memory) / 2)


def _heap_mebibytes(workload: Workload) -> int:
    """Three quarters of the memory limit: the rest is for buffers and native code."""
    return int(quantity_value(workload.resources.memory) * 3 / 4 / 1024**2)
