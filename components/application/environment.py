"""The environment variables of web, worker and their Jobs: a pure function of connections and settings.

Langfuse reads each of these variables: packages/shared/src/env.ts, web/src/env.mjs, worker/src/env.ts and both
entrypoint.sh at v4.16.0, and what later releases added (`data/langfuse-env-4.json`). Next's standalone server reads
`HOSTNAME`, `PORT` and `KEEP_ALIVE_TIMEOUT`; Node reads `NODE_OPTIONS`. No variable contains a password: it refers to a
Secret, and the kubelet expands `$(NAME)`.
"""

from components.application.extra_env import extra_environment
from components.application.outbound import (
    mail_environment,
    proxy_environment,
    sign_in_proxy_environment,
    target_environment,
)
from components.application.own_metrics import own_metrics_environment
from components.application.phases import phase_environment
from components.application.queues import pool_environment, queue_environment
from components.application.sign_in import sign_in_environment
from components.application.store_variables import (
    database_environment,
    event_environment,
    export_environment,
    media_environment,
    postgres_url,
    redis_environment,
)
from components.credentials.sources import client_key
from components.kubernetes.variables import Environment, text
from components.schema.environment import Settings
from components.schema.values import quantity_value
from components.schema.workloads import Workload
from components.stores.clickhouse.memory import SPILL_PERCENT, share
from components.stores.connections import (
    ClickHouseConnection,
    Connections,
    PostgresConnection,
)
from components.stores.contract import SecretRefs
from components.stores.versions import query_environment

WEB_PORT = 3000
WORKER_PORT = 3030

KEEP_ALIVE_MILLISECONDS = 620_000
"""Longer than the time for which a load balancer keeps an idle connection (600 s: Google Cloud). The server therefore
never closes a connection on which a request is arriving."""

FILE_NAME_BYTES = 255
"""MinIO stores a segment of an object's key as a file name, whose length Linux limits (limits.h, NAME_MAX)."""


def migration_environment(postgres: PostgresConnection, clickhouse: ClickHouseConnection) -> Environment:
    """For the Job that migrates both schemas: only the two databases."""
    return {
        **database_environment(postgres, clickhouse),
        "CLICKHOUSE_MIGRATION_SSL": text(clickhouse.native.tls),
        "CLICKHOUSE_MIGRATION_URL": f"clickhouse://{clickhouse.native.authority}",
        "DIRECT_URL": postgres_url(postgres, direct=True),
    }


def web_environment(settings: Settings, stores: Connections, refs: SecretRefs, workload: str = "web") -> Environment:
    """For web, which serves the UI and the API. It runs no migrations and does not create the first organization."""
    return {
        **migration_environment(stores.postgres, stores.clickhouse),
        **_shared_environment(settings, stores, refs, settings.web_deployments[workload]),
        **media_environment(settings, stores.object_store, "web"),
        **phase_environment(settings, "web"),
        **sign_in_environment(settings, refs),
        **sign_in_proxy_environment(settings),
        **export_environment(settings, stores.object_store, "web"),
        **({"ADMIN_API_KEY": refs["admin_api_key"]} if "admin_api_key" in refs else {}),
        "NEXTAUTH_SECRET": refs["nextauth_secret"],
        "KEEP_ALIVE_TIMEOUT": str(KEEP_ALIVE_MILLISECONDS),
        "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED": "true",
        "LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED": "true",
        "PORT": str(WEB_PORT),
        "TELEMETRY_ENABLED": text(settings.application.telemetry),
        **extra_environment(settings, "web"),
    }


def first_start_environment(settings: Settings, stores: Connections, refs: SecretRefs) -> Environment:
    """For the web server that creates what `firstStart` configures: the environment of web, and what to create.

    At every start it creates what is missing (web/src/initialize.ts). It listens on localhost only.
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
        **_initializing_environment(settings, stores, refs),
    }


def client_environment(settings: Settings, stores: Connections, refs: SecretRefs, name: str) -> Environment:
    """For the web server that creates the key pair of a client, and its project if that is missing.

    A key pair that exists moves if the project is another one (web/src/initialize.ts).
    """
    project = settings.clients[name].project
    project_id = project.id if project else settings.project_id
    return {
        "LANGFUSE_INIT_ORG_ID": settings.organization_id,
        "LANGFUSE_INIT_ORG_NAME": settings.first_start.organization,
        "LANGFUSE_INIT_PROJECT_ID": project_id,
        "LANGFUSE_INIT_PROJECT_NAME": settings.project_name(project_id),
        "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": refs[client_key(name, "public_key")],
        "LANGFUSE_INIT_PROJECT_SECRET_KEY": refs[client_key(name, "secret_key")],
        **_initializing_environment(settings, stores, refs),
    }


def _initializing_environment(settings: Settings, stores: Connections, refs: SecretRefs) -> Environment:
    """The environment of web, for a server that serves nobody."""
    return {**web_environment(settings, stores, refs), "HOSTNAME": "127.0.0.1", "TELEMETRY_ENABLED": "false"}


def worker_environment(
    settings: Settings, stores: Connections, refs: SecretRefs, workload: str = "worker"
) -> Environment:
    """For a Deployment of worker, which processes queues and writes to ClickHouse. It runs background migrations only.

    Variables in `extraEnv` are for every Deployment. With pools, they do not choose the queues.
    """
    own = settings.worker_deployments[workload]
    return {
        **database_environment(stores.postgres, stores.clickhouse),
        **_shared_environment(settings, stores, refs, own),
        **media_environment(settings, stores.object_store, "worker"),
        **export_environment(settings, stores.object_store, "worker"),
        **phase_environment(settings, "worker"),
        "LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY": str(own.concurrency),
        "LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY": str(own.otel_concurrency),
        "LANGFUSE_S3_BATCH_EXPORT_ENABLED": "true",
        "PORT": str(WORKER_PORT),
        **pool_environment(settings, workload),
        **extra_environment(settings, "worker"),
        **queue_environment(settings, workload),
    }


def _shared_environment(settings: Settings, stores: Connections, refs: SecretRefs, workload: Workload) -> Environment:
    """For web and worker alike, but for the heap of each."""
    return {
        **redis_environment(stores.redis),
        "SALT": refs["salt"],
        "ENCRYPTION_KEY": refs["encryption_key"],
        **({"LANGFUSE_EE_LICENSE_KEY": refs["license_key"]} if settings.license else {}),
        **mail_environment(settings, refs),
        **proxy_environment(settings),
        **target_environment(settings.allowed_targets),
        **event_environment(stores.object_store),
        **query_environment(settings.clickhouse.version),
        # Langfuse's default of 32 GB is more memory than the server has: it would never spill to disk.
        "CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY": str(share(stores.clickhouse.memory, SPILL_PERCENT)),
        # Kubernetes sets HOSTNAME to the pod's name, and the servers would listen on that address only. In a pod with
        # an IPv6 address, config/listen-on-ipv6.cjs makes it "::".
        "HOSTNAME": "0.0.0.0",  # noqa: S104
        **own_metrics_environment(settings),
        "LANGFUSE_LOG_FORMAT": settings.application.log_format,
        "LANGFUSE_LOG_LEVEL": settings.application.log_level,
        "LANGFUSE_S3_EVENT_KEY_MAX_SEGMENT_BYTES": str(FILE_NAME_BYTES),
        "NEXTAUTH_URL": settings.public_url,
        "NODE_OPTIONS": f"--max-old-space-size={heap_mebibytes(workload)}",
        "REDIS_KEY_PREFIX": redis_key_prefix(settings),
    }


def redis_key_prefix(settings: Settings) -> str:
    """The prefix of all keys in Redis, so that several installations can share a server."""
    return f"{settings.instance}:"


def heap_mebibytes(workload: Workload) -> int:
    """Three quarters of the memory limit: the rest is for buffers and native code."""
    return int(quantity_value(workload.resources.memory) * 3 / 4 / 1024**2)
