"""Which configuration key sets a variable of Langfuse.

A key of a store depends on its mode: `REDIS_SENTINEL_PASSWORD` is a credential of a managed Redis, and nothing sets it
for an external one. Only the keys that exist in the configured mode are named.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic.alias_generators import to_camel

from components.schema.environment import Settings
from components.schema.sign_in import Providers

PROGRAM: Final = "the program itself"
INSTANCE: Final = "instance"
IMAGE: Final = "the build of the image"
DESCRIPTIONS: Final = frozenset({PROGRAM, IMAGE})
"""What sets a variable that no key sets."""

_ALWAYS: Final[Mapping[str, str]] = {
    r"DATABASE_PASSWORD": "credentials.values.postgresPassword",
    r"CLICKHOUSE_PASSWORD": "credentials.values.clickhousePassword",
    r"CLICKHOUSE_DISABLE_LAZY_MATERIALIZATION": "clickhouse.version",
    r"REDIS_AUTH": "credentials.values.redisPassword",
    r"REDIS_KEY_PREFIX": INSTANCE,
    r"LANGFUSE_S3_(EVENT_KEY_MAX_SEGMENT_BYTES|BATCH_EXPORT_ENABLED)": PROGRAM,
    r"LANGFUSE_INIT_(ORG|PROJECT)_ID": INSTANCE,
    r"LANGFUSE_INIT_ORG_NAME": "firstStart.organization",
    r"LANGFUSE_INIT_PROJECT_NAME": "firstStart.project",
    r"LANGFUSE_INIT_PROJECT_PUBLIC_KEY": "credentials.values.publicKey",
    r"LANGFUSE_INIT_PROJECT_SECRET_KEY": "credentials.values.secretKey",
    r"LANGFUSE_INIT_PROJECT_RETENTION": "firstStart.projectRetentionDays",
    r"LANGFUSE_INIT_USER_EMAIL": "firstStart.ownerEmail",
    r"LANGFUSE_INIT_USER_NAME": "firstStart.ownerName",
    r"LANGFUSE_INIT_USER_PASSWORD": "credentials.values.userPassword",
    r"AUTH_DISABLE_SIGNUP": "signIn.signUp",
    r"AUTH_DISABLE_USERNAME_PASSWORD": "signIn.password",
    r"AUTH_EMAIL_VERIFICATION_REQUIRED": "signIn.emailVerification",
    r"AUTH_SESSION_MAX_AGE": "signIn.sessionMinutes",
    r"AUTH_DOMAINS_WITH_SSO_ENFORCEMENT": "signIn.ssoDomains",
    r"LANGFUSE_ALLOWED_ORGANIZATION_CREATORS": "signIn.organizationCreators",
    r"LANGFUSE_DEFAULT_ORG_(ID|ROLE)": "signIn.defaultOrganizationRole",
    r"LANGFUSE_DEFAULT_PROJECT_(ID|ROLE)": "signIn.defaultProjectRole",
    r"EMAIL_FROM_ADDRESS": "mail.sender",
    r"SMTP_CONNECTION_URL": "mail.smtpUrl",
    r"LANGFUSE_EE_LICENSE_KEY": "license.key",
    r"LANGFUSE_MIGRATION_V4_(WRITE_MODE|NATIVE_OTEL_BEHAVIOUR|ALLOW_PREVIEW_OPT_IN)": "ingestion.phase",
    r"LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL": "ingestion.phase",
    r"NEXTAUTH_SECRET": "credentials.values.nextauthSecret",
    r"SALT": "credentials.values.salt",
    r"ENCRYPTION_KEY": "credentials.values.encryptionKey",
    r"ADMIN_API_KEY": "credentials.values.adminApiKey",
    r"NEXTAUTH_URL": "host",
    r"NEXTAUTH_COOKIE_NAME_SUFFIX": INSTANCE,
    r"LANGFUSE_LOG_FORMAT": "application.logFormat",
    r"LANGFUSE_LOG_LEVEL": "application.logLevel",
    r"TELEMETRY_ENABLED": "application.telemetry",
    r"NODE_OPTIONS": "web.resources.memory and langfuse:worker.resources.memory",
    r"LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY": "worker.concurrency",
    r"LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY": "worker.otelConcurrency",
    r"HOSTNAME|KEEP_ALIVE_TIMEOUT|PORT|LANGFUSE_AUTO_.*_MIGRATION_DISABLED": PROGRAM,
    r"NODE_ENV|NEXT_PUBLIC_.*|LANGFUSE_CSP_ENFORCE_HTTPS": IMAGE,
}
"""A regular expression of names, and the configuration key or a description of what sets them."""

_EXTERNAL_POSTGRES: Final[Mapping[str, str]] = {
    r"DATABASE_(URL|HOST)": "postgres.host",
    r"DATABASE_NAME": "postgres.database",
    r"DATABASE_USERNAME": "postgres.username",
    r"DATABASE_ARGS": "postgres.tls",
    r"DIRECT_URL": "postgres.directHost",
}
_EXTERNAL_CLICKHOUSE: Final[Mapping[str, str]] = {
    r"CLICKHOUSE_CLUSTER_(ENABLED|NAME)": "clickhouse.clustered",
    r"CLICKHOUSE_DB": "clickhouse.database",
    r"CLICKHOUSE_(MIGRATION_)?URL": "clickhouse.host",
    r"CLICKHOUSE_MIGRATION_SSL": "clickhouse.tls",
    r"CLICKHOUSE_USER": "clickhouse.username",
    r"CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY": "clickhouse.memory",
}
_EXTERNAL_REDIS: Final[Mapping[str, str]] = {
    r"REDIS_(CONNECTION_STRING|HOST)": "redis.host",
    r"REDIS_PORT": "redis.port",
    r"REDIS_USERNAME": "redis.username",
    r"REDIS_(CLUSTER|SENTINEL)_ENABLED": "redis.topology",
    r"REDIS_(CLUSTER|SENTINEL)_NODES": "redis.nodes",
    r"REDIS_SENTINEL_MASTER_NAME": "redis.masterName",
    r"REDIS_(SENTINEL_)?TLS_ENABLED": "redis.tls",
    r"REDIS_TLS_CA_PATH": "redis.ca",
}

_MANAGED_CLICKHOUSE: Final[Mapping[str, str]] = {
    r"CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY": "clickhouse.resources.memory"
}
_MANAGED_REDIS: Final[Mapping[str, str]] = {r"REDIS_SENTINEL_PASSWORD": "credentials.values.redisPassword"}
"""For stores that the stack runs. Everything else that connects to them follows from the mode."""

_TARGETS: Final[Mapping[str, str]] = {
    "LLM_CONNECTION": "llm",
    "WEBHOOK": "webhook",
    "BLOB_STORAGE_ENDPOINT": "blobStorage",
    "SSO_DISCOVERY": "ssoDiscovery",
}
_TARGET_LISTS: Final[Mapping[str, str]] = {"HOST": "hosts", "IPS": "ips", "IP_SEGMENTS": "ranges"}
_PURPOSES: Final[Mapping[str, str]] = {"EVENT_UPLOAD": "events", "MEDIA_UPLOAD": "media", "BATCH_EXPORT": "exports"}


def owner(name: str, settings: Settings) -> str | None:
    """The configuration key that sets a variable in these settings, or a description; None if nothing sets it."""
    for keys in (_ALWAYS, *_of_modes(settings)):
        for pattern, key in keys.items():
            if re.fullmatch(pattern, name):
                return key
    return (
        _pools(name, settings)
        or _network(name, settings)
        or _target(name)
        or _provider(name)
        or _bucket(name, settings)
    )


def _pools(name: str, settings: Settings) -> str | None:
    """Variables by which workers of a pool process their queues."""
    return "worker.pools" if settings.worker.pools and re.fullmatch(r"QUEUE_CONSUMER_.+_IS_ENABLED", name) else None


def _network(name: str, settings: Settings) -> str | None:
    """Variables that other people set in `extraEnv`, unless a key does."""
    network, monitoring = settings.network, settings.monitoring
    if monitoring and name in {"DD_DOGSTATSD_HOST", "DD_DOGSTATSD_PORT"}:
        return "monitoring"
    if monitoring and monitoring.traces and name in {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACE_SAMPLING_RATIO"}:
        return "monitoring.traces"
    if network.proxy and name in {"HTTPS_PROXY", "AUTH_HTTPS_PROXY", "NO_PROXY"}:
        return "network.proxy"
    return "network.ca" if network.ca and name in {"NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR"} else None


def _of_modes(settings: Settings) -> Sequence[Mapping[str, str]]:
    """The tables of Postgres, ClickHouse and Redis in their modes."""
    stores: Sequence[tuple[str, str, Mapping[str, str], Mapping[str, str]]] = (
        (settings.postgres.mode, "postgres", _EXTERNAL_POSTGRES, {}),
        (settings.clickhouse.mode, "clickhouse", _EXTERNAL_CLICKHOUSE, _MANAGED_CLICKHOUSE),
        (settings.redis.mode, "redis", _EXTERNAL_REDIS, _MANAGED_REDIS),
    )
    return [
        external
        if mode == "external"
        else {**managed, **dict.fromkeys(external.keys() - managed.keys(), f"{name}.mode")}
        for mode, name, external, managed in stores
    ]


def _target(name: str) -> str | None:
    match = re.fullmatch(rf"LANGFUSE_({'|'.join(_TARGETS)})_WHITELISTED_({'|'.join(_TARGET_LISTS)})", name)
    return f"allowedTargets.{_TARGETS[match[1]]}.{_TARGET_LISTS[match[2]]}" if match else None


def _provider(name: str) -> str | None:
    """`signIn.providers.google.clientId` for `AUTH_GOOGLE_CLIENT_ID`."""
    for provider, field in Providers.model_fields.items():
        prefix = f"AUTH_{provider.upper()}_"
        model = next((one for one in getattr(field.annotation, "__args__", ()) if one is not type(None)), None)
        for key in getattr(model, "model_fields", ()):
            if name == f"{prefix}{key.upper()}":
                return f"signIn.providers.{to_camel(provider)}.{to_camel(key)}"
    return None


def _bucket(name: str, settings: Settings) -> str | None:
    match = re.fullmatch(rf"LANGFUSE_S3_({'|'.join(_PURPOSES)})_(?!PREFIX)([A-Z_]+)", name)
    if match is None:
        return None
    purpose, what, store = _PURPOSES[match[1]], match[2], settings.object_store
    if what in {"ACCESS_KEY_ID", "SECRET_ACCESS_KEY"}:
        if store.mode == "external" and store.identity == "workload":
            return "objectStore.identity"
        return f"credentials.values.{to_camel(f'object_store_{purpose}_{what.lower()}')}"
    is_public = what == "EXTERNAL_ENDPOINT" or (what == "ENDPOINT" and purpose == "media")
    if store.mode == "external":
        keys = {
            "BUCKET": f"objectStore.buckets.{purpose}",
            "ENDPOINT": "objectStore.publicEndpoint" if is_public else "objectStore.endpoint",
            "EXTERNAL_ENDPOINT": "objectStore.publicEndpoint",
            "INTERNAL_ENDPOINT": "objectStore.endpoint",
            "FORCE_PATH_STYLE": "objectStore.forcePathStyle",
            "REGION": "objectStore.region",
            "SSE": "objectStore.encryption",
            "SSE_KMS_KEY_ID": "objectStore.kmsKeyId",
        }
        return keys.get(what)
    if is_public:
        return "ingress.bucketHost"
    return INSTANCE if what == "BUCKET" else "objectStore.mode"
