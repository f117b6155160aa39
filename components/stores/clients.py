"""The environment in which the stores' own command-line clients find a store and their password."""

from pathlib import Path

from components.kubernetes.variables import Environment
from components.schema.base import Resources
from components.stores.connections import ClickHouseConnection, ObjectStoreConnection, PostgresConnection

CLIENT_SCRIPTS = Path(__file__).parent / "scripts"

CLICKHOUSE_CLIENT_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi")
"""For scripts that use ClickHouse's client, which is the server's program."""

OBJECT_STORE_CLIENT_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi")
"""For scripts that use MinIO's client to copy objects."""

_OBJECT_STORE_CLIENT_BOUNDS: Environment = {"GOMAXPROCS": "2", "GOMEMLIMIT": "200MiB"}
"""MinIO's client starts a worker for each core of the node, whatever the container may use, adds as many again every
four seconds, and knows no limit of a cgroup v2 (cmd/parallel-manager.go). Measured with `mc mirror` of 3.6 GB: without
these bounds 415 MiB on 8 cores and 493 MiB on 64, with them 234 and 256 MiB."""


def postgres_environment(connection: PostgresConnection, *, authorities: str) -> Environment:
    """For libpq's programs, past a pooler.

    Args:
        connection: Where the server is.
        authorities: File with the certificates of public authorities, in the container. Postgres' own image has none:
            its Dockerfile removes the package once it is built.
    """
    return {
        "PGHOST": connection.server.host,
        "PGPORT": str(connection.server.port),
        "PGUSER": connection.username,
        "PGDATABASE": connection.database,
        "PGPASSWORD": connection.password,
        "PGCONNECT_TIMEOUT": "5",
        **_postgres_tls(connection, authorities),
    }


def _postgres_tls(connection: PostgresConnection, authorities: str) -> Environment:
    """`verify` also compares the host's name."""
    if connection.tls is None:
        return {}
    if connection.tls == "verify":
        return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": connection.ca_path or authorities}
    return {"PGSSLMODE": connection.tls}


def clickhouse_environment(connection: ClickHouseConnection) -> Environment:
    """For clickhouse-client, which reads user and password there (programs/client/Client.cpp)."""
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
    """For MinIO's client: where the store is, and a folder that it may write to.

    Where the pod's identity stands for keys, it trades the token that the cloud mounts for keys there
    (mc: cmd/client.go).
    """
    sts = f"https://sts.{connection.region}.amazonaws.com{'.cn' if connection.region.startswith('cn-') else ''}"
    return {
        **({} if connection.identity is None else {"MC_STS_ENDPOINT_store": sts}),
        **_OBJECT_STORE_CLIENT_BOUNDS,
        "STORE_URL": connection.endpoint.http_url,
        "MC_CONFIG_DIR": folder,
        "MC_DISABLE_PAGER": "1",
        "MC_NO_COLOR": "1",
    }
