"""The exporters: their containers, and the queues whose lengths they read. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from components.application.own_metrics import (
    EXPORTER_RESOURCES,
    POSTGRES_EXPORTER,
    REDIS_EXPORTER,
    STATSD_EXPORTER,
    STATSD_PORT,
)
from components.application.queue_scaling import BULL_QUEUES, job_key
from components.kubernetes.pods import Container, Mount, container, http_probe
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.environment import Settings
from components.stores.connections import Endpoint, PostgresConnection, RedisConnection

CONFIG = Path(__file__).parent / "config"
MAPPING = "statsd-mapping.yml"
MAPPING_PATH = "/etc/statsd-exporter"

QUEUES = (
    *(queue.name for queues in BULL_QUEUES.values() for queue in queues),
    *("event-propagation-queue", "create-eval-queue", "batch-export-queue", "batch-action-queue"),
    *("trace-delete", "score-delete", "project-delete", "dataset-delete-queue", "data-retention-processing-queue"),
    "blobstorage-integration-processing-queue",
)
"""Queues that a self-hosted installation uses (QueueName in packages/shared/src/server/queues.ts). A queue with shards
has further ones, whose lengths only the workers report (`langfuse_queue_depth`)."""


def queue_keys(settings: Settings, connection: RedisConnection) -> Sequence[str]:
    """The keys whose lengths the exporter reads: jobs that wait, and jobs that failed for good.

    Each is named, because a search for keys would read all of them each time.
    """
    return [job_key(settings, connection, queue, state) for queue in QUEUES for state in ("wait", "failed")]


def statsd_container(mapping: Mount) -> Container:
    """Receives the metrics of web and worker."""
    return container(
        STATSD_EXPORTER.name,
        images.STATSD_EXPORTER,
        resources=EXPORTER_RESOURCES,
        mounts=[mapping],
        args=[
            f"--statsd.listen-udp=:{STATSD_PORT}",
            "--statsd.listen-tcp=",
            f"--statsd.mapping-config={MAPPING_PATH}/{MAPPING}",
            f"--web.listen-address=:{STATSD_EXPORTER.port}",
        ],
        ports={STATSD_EXPORTER.port_name: STATSD_EXPORTER.port, "udp-statsd": STATSD_PORT},
        startup=http_probe("/-/ready", STATSD_EXPORTER.port, period=2, failures=60),
        readiness=http_probe("/-/ready", STATSD_EXPORTER.port, period=10, failures=3),
        liveness=http_probe("/-/healthy", STATSD_EXPORTER.port, period=20, failures=6),
    )


def redis_environment(connection: RedisConnection) -> Environment:
    """The variables of the exporter of Redis. Prometheus names the server in each request (`redis_endpoints`).

    It uses the password of the application: an own user would have to be kept through rotations and failovers.
    """
    return {
        "REDIS_ADDR": "",
        **({"REDIS_USER": connection.username} if connection.username else {}),
        "REDIS_PASSWORD": connection.password,
        "REDIS_EXPORTER_CONNECTION_TIMEOUT": "5s",
        "REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES": "true",
        "REDIS_EXPORTER_INCL_SYSTEM_METRICS": "true",
        "REDIS_EXPORTER_IS_CLUSTER": "true" if connection.topology == "cluster" else "false",
        "REDIS_EXPORTER_REDIS_ONLY_METRICS": "true",
        "REDIS_EXPORTER_WEB_LISTEN_ADDRESS": f":{REDIS_EXPORTER.port}",
        **({"REDIS_EXPORTER_TLS_CA_CERT_FILE": connection.ca_path} if connection.ca_path else {}),
    }


def redis_container(environment: Environment, mounts: Sequence[Mount]) -> Container:
    """Reads the state of Redis and the lengths of queues."""
    return container(
        REDIS_EXPORTER.name,
        images.REDIS_EXPORTER,
        resources=EXPORTER_RESOURCES,
        mounts=mounts,
        env=environment,
        ports={REDIS_EXPORTER.port_name: REDIS_EXPORTER.port},
        startup=http_probe("/health", REDIS_EXPORTER.port, period=2, failures=60),
        readiness=http_probe("/health", REDIS_EXPORTER.port, period=10, failures=3),
        liveness=http_probe("/health", REDIS_EXPORTER.port, period=20, failures=6),
    )


def redis_requests(
    settings: Settings, connection: RedisConnection, servers: Sequence[Endpoint], sentinels: Sequence[Endpoint]
) -> Iterator[tuple[str, Mapping[str, list[str]]]]:
    """Address and parameters of each request to the exporter: one for each server, and one for each Sentinel."""
    keys = ",".join(f"db0={quote(key, safe=':')}" for key in queue_keys(settings, connection))
    for one in [*servers, *sentinels]:
        scheme = "rediss" if one.tls else "redis"
        own = {} if one in sentinels else {"check-single-keys": [keys]}
        yield one.authority, {"target": [f"{scheme}://{one.authority}"], **own}


def postgres_environment(connection: PostgresConnection) -> Environment:
    """The variables of the exporter of Postgres. It bypasses a pooler (exporter/datasource.go)."""
    mode = {None: "disable", "verify": "verify-full"}.get(connection.tls, connection.tls)
    ca = f"&sslrootcert={connection.ca_path}" if connection.ca_path and connection.tls == "verify" else ""
    return {
        "DATA_SOURCE_URI": f"{connection.server.authority}/{connection.database}?sslmode={mode}&connect_timeout=5{ca}",
        "DATA_SOURCE_USER": connection.username,
        "DATA_SOURCE_PASS": connection.password,
    }


def postgres_container(environment: Environment, mounts: Sequence[Mount]) -> Container:
    """Reads the statistics of Postgres."""
    port = POSTGRES_EXPORTER.port
    return container(
        POSTGRES_EXPORTER.name,
        images.POSTGRES_EXPORTER,
        resources=EXPORTER_RESOURCES,
        mounts=mounts,
        env=environment,
        args=[
            f"--web.listen-address=:{port}",
            "--collector.long_running_transactions",
            "--no-collector.stat_user_tables",
            "--no-collector.statio_user_tables",
        ],
        ports={POSTGRES_EXPORTER.port_name: port},
        startup=http_probe("/", port, period=2, failures=60),
        readiness=http_probe("/", port, period=10, failures=3),
        liveness=http_probe("/", port, period=20, failures=6),
    )
