"""An external Postgres, with or without a pooler in front of it."""

from collections.abc import Sequence

from components.schema import images
from components.schema.stores import ExternalPostgres
from components.stores.connections import Endpoint, PostgresConnection
from components.stores.contract import Flow, SecretRefs
from components.stores.postgres.mode import CLIENTS, PostgresMode
from components.stores.postgres.pool import pool_size


class ExternalPostgresMode(PostgresMode[ExternalPostgres]):
    """Connects to a server that this stack does not run."""

    def connection(self, refs: SecretRefs) -> PostgresConnection:
        """The configured server. Migrations and backups bypass its pooler, if the configuration names one."""
        config = self.config
        has_direct = config.direct_host is not None or config.direct_port is not None
        direct = Endpoint(host=config.direct_host or config.host, port=config.direct_port or config.port)
        return PostgresConnection(
            endpoint=Endpoint(host=config.host, port=config.port),
            direct=direct if has_direct else None,
            pooler=config.pooler,
            database=config.database,
            username=config.username,
            password=refs["postgres_password"],
            pool=pool_size(self.settings, config.connections),
            version=config.version or images.NEWEST_POSTGRES,
            psql_command=f"psql --host {direct.host} --port {direct.port} --username {config.username} "
            f"--dbname {config.database}",
            tls=config.tls,
            ca_path=self.ca_path,
        )

    def flows(self) -> Sequence[Flow]:
        """Flows to the server and to its pooler."""
        ports = sorted({self.config.port, self.config.direct_port or self.config.port})
        return [Flow(purpose=self.name, server=None, ports=ports, clients=CLIENTS)]

    @property
    def ca(self) -> str | None:
        """The configured CA bundle."""
        return self.config.ca
