"""Environment variables for the stores' own command-line clients: addresses and credentials."""

from pathlib import Path

from components.kubernetes.variables import Environment
from components.schema.base import Resources
from components.stores.connections import Bucket, ClickHouseConnection, ObjectStoreConnection, PostgresConnection

CLIENT_SCRIPTS = Path(__file__).parent / "scripts"

CLICKHOUSE_CLIENT_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi")
"""For scripts that use ClickHouse's client, which is the same program as the server."""

_OBJECT_STORE_CLIENT_BOUNDS: Environment = {"GOMAXPROCS": "2", "GOMEMLIMIT": "200MiB"}
"""MinIO's client starts a worker for each core of the node, and adds as many again every four seconds. It ignores the
limits of a cgroup v2 (cmd/parallel-manager.go). Measured with `mc mirror` of 3.6 GB: 415 MiB on 8 cores and
493 MiB on 64 without these bounds, 234 and 256 MiB with them."""


STORE_WAIT_SECONDS = 180
"""How long scripts repeat a request while the object store does not answer, for example because its pod restarts."""


def postgres_environment(connection: PostgresConnection, *, ca_bundle: str) -> Environment:
    """The environment of programs that use libpq. They connect to the server itself and bypass a pooler.

    Args:
        connection: The server.
        ca_bundle: Path in the container of a bundle with public CA certificates. The image of Postgres has none: its
            Dockerfile removes the package at the end.
    """
    return {
        "PGHOST": connection.server.host,
        "PGPORT": str(connection.server.port),
        "PGUSER": connection.username,
        "PGDATABASE": connection.database,
        "PGPASSWORD": connection.password,
        "PGCONNECT_TIMEOUT": "5",
        **_postgres_tls(connection, ca_bundle),
    }


def _postgres_tls(connection: PostgresConnection, ca_bundle: str) -> Environment:
    """The TLS variables of libpq. `verify` also compares the host name with the certificate."""
    if connection.tls is None:
        return {}
    if connection.tls == "verify":
        return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": connection.ca_path or ca_bundle}
    return {"PGSSLMODE": connection.tls}


def clickhouse_environment(connection: ClickHouseConnection) -> Environment:
    """The environment of clickhouse-client, which reads its user and password there (programs/client/Client.cpp)."""
    return {
        "CLICKHOUSE_HOST": connection.native.host,
        "CLICKHOUSE_PORT": str(connection.native.port),
        "CLICKHOUSE_USER": connection.username,
        "CLICKHOUSE_PASSWORD": connection.password,
        "CLICKHOUSE_DATABASE": connection.database,
        "CLICKHOUSE_CLUSTERED": "true" if connection.clustered else "false",
        "CLICKHOUSE_TLS": "true" if connection.native.tls else "false",
        "HOME": "/tmp",  # noqa: S108  # the pod's own
    }


def object_store_environment(connection: ObjectStoreConnection, folder: str) -> Environment:
    """The environment of MinIO's client: the URL of the store, and a folder that the client can write to."""
    return {
        **_OBJECT_STORE_CLIENT_BOUNDS,
        "STORE_URL": connection.endpoint.http_url,
        "MC_CONFIG_DIR": folder,
        "MC_DISABLE_PAGER": "1",
        "MC_NO_COLOR": "1",
    }


def bucket_client_environment(connection: ObjectStoreConnection, bucket: Bucket) -> Environment:
    """The environment of scripts that use one bucket, with the S3 client in Langfuse's image or with rclone."""
    return {
        "STORE_WAIT_SECONDS": str(STORE_WAIT_SECONDS),
        "STORE_URL": connection.endpoint.http_url,
        "REGION": connection.region,
        "FORCE_PATH_STYLE": "true" if connection.force_path_style else "false",
        "ENCRYPTION": connection.encryption,
        **({"KMS_KEY_ID": connection.kms_key_id} if connection.kms_key_id else {}),
        "BUCKET": bucket.name,
        **bucket.keys(""),
    }
