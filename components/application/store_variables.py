"""The variables by which web, worker and the migrations find Postgres and Redis, in whichever mode they are run."""

from collections.abc import Mapping
from urllib.parse import urlencode

from components.kubernetes.variables import Environment
from components.stores.connections import PostgresConnection, RedisConnection

_PRISMA_TLS: Mapping[str | None, Mapping[str, str]] = {
    None: {},
    "disable": {"sslmode": "disable"},
    "require": {"sslmode": "require", "sslaccept": "accept_invalid_certs"},
    "verify": {"sslmode": "require", "sslaccept": "strict"},
}
"""Prisma's own names (prisma.io/docs/orm/core-concepts/supported-databases/postgresql): it checks no certificate
without `strict`, and has no `verify-full`."""


def postgres_url(postgres: PostgresConnection, *, direct: bool = False) -> str:
    """The URL for Prisma, which the kubelet fills the password into.

    Args:
        postgres: The server.
        direct: Past a pooler: migrations take a lock for their session, which a pooler hands on to others.
    """
    parameters = dict(_PRISMA_TLS[postgres.tls])
    if postgres.tls == "verify" and postgres.ca_path:
        parameters["sslcert"] = postgres.ca_path
    if postgres.pooler and not direct:
        parameters["pgbouncer"] = "true"  # no prepared statements: the next transaction may be on another connection
    endpoint = postgres.server if direct else postgres.endpoint
    query = f"?{urlencode(parameters, safe='/')}" if parameters else ""
    user = f"{postgres.username}:$(DATABASE_PASSWORD)"
    return f"postgresql://{user}@{endpoint.authority}/{postgres.database}{query}"


def redis_environment(redis: RedisConnection) -> Environment:
    """How both programs connect (packages/shared/src/server/redis/redis.ts)."""
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
