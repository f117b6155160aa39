"""The environment in which the stores' own command-line clients find a store and their password."""

from components.connections import ClickHouseConnection, Endpoint, Environment, PostgresConnection
from components.settings import Resources

CLICKHOUSE_CLIENT_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi")
"""For scripts that use ClickHouse's client, which is the server's program."""


def postgres_environment(connection: PostgresConnection) -> Environment:
    """For libpq's programs."""
    return {
        "PGHOST": connection.endpoint.host,
        "PGPORT": str(connection.endpoint.port),
        "PGUSER": connection.username,
        "PGDATABASE": connection.database,
        "PGPASSWORD": connection.password,
        "PGCONNECT_TIMEOUT": "5",
    }


def clickhouse_environment(connection: ClickHouseConnection) -> Environment:
    """For clickhouse-client, which reads user and password there (programs/client/Client.cpp)."""
    return {
        "CLICKHOUSE_HOST": connection.native.host,
        "CLICKHOUSE_PORT": str(connection.native.port),
        "CLICKHOUSE_USER": connection.username,
        "CLICKHOUSE_PASSWORD": connection.password,
        "CLICKHOUSE_DATABASE": connection.database,
        "HOME": "/tmp",  # noqa: S108  # the pod's own
    }


def object_store_environment(endpoint: Endpoint, folder: str) -> Environment:
    """For MinIO's client: where the store is, and a folder that it may write to."""
    return {
        "STORE_URL": endpoint.http_url,
        "MC_CONFIG_DIR": folder,
        "MC_DISABLE_PAGER": "1",
        "MC_NO_COLOR": "1",
    }
