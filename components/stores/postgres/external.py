"""An external Postgres, with or without a pooler in front of it."""

from collections.abc import Sequence

from components.schema import images
from components.schema.stores import ExternalPostgres
from components.stores.connections import Endpoint, PostgresConnection
from components.stores.contract import Flow, Refs
from components.stores.postgres.mode import CLIENTS, PostgresMode


class External(PostgresMode[ExternalPostgres]):
    """Connects to a server that this stack does not run."""

    def connection(self, refs: Refs) -> PostgresConnection:
        """The configured server. Migrations and backups bypass its pooler, if the configuration names one."""
        own = self.own
        has_direct = own.direct_host is not None or own.direct_port is not None
        direct = Endpoint(host=own.direct_host or own.host, port=own.direct_port or own.port)
        return PostgresConnection(
            endpoint=Endpoint(host=own.host, port=own.port),
            direct=direct if has_direct else None,
            pooler=own.pooler,
            database=own.database,
            username=own.username,
            password=refs["postgres_password"],
            version=own.version or images.NEWEST_POSTGRES,
            psql_command=f"psql --host {direct.host} --port {direct.port} --username {own.username} "
            f"--dbname {own.database}",
            tls=own.tls,
            ca_path=self.ca_path,
        )

    def flows(self) -> Sequence[Flow]:
        """To the server and to its pooler."""
        ports = sorted({self.own.port, self.own.direct_port or self.own.port})
        return [Flow(purpose=self.name, server=None, ports=ports, clients=CLIENTS)]

    @property
    def ca(self) -> str | None:
        """The configured CA bundle."""
        return self.own.ca
