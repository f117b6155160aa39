"""An external Postgres, with or without a pooler in front of it."""

from collections.abc import Sequence

from components.schema import images
from components.schema.stores import ExternalPostgres
from components.stores.connections import Endpoint, PostgresConnection
from components.stores.contract import Flow, SecretRefs
from components.stores.postgres.mode import PostgresMode
from components.stores.postgres.pool import pool_size


class ExternalPostgresMode(PostgresMode[ExternalPostgres]):
    """Connects to a server that this stack does not run."""

    def connection(self, refs: SecretRefs) -> PostgresConnection:
        """The configured server. Migrations and backups bypass its pooler, if the configuration names one."""
        config, direct = self.config, self._direct
        return PostgresConnection(
            endpoint=self._endpoint,
            direct=direct if config.direct_host or config.direct_port else None,
            pooler=config.pooler,
            database=config.database,
            username=config.username,
            password=refs["postgres_password"],
            pool=pool_size(self.settings, config.connections),
            version=config.version or images.NEWEST_POSTGRES,
            tls=config.tls,
            ca_path=self.ca_path,
        )

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(host=self.config.host, port=self.config.port)

    @property
    def _direct(self) -> Endpoint:
        """The server behind a pooler. Without a pooler, it is the same."""
        config = self.config
        return Endpoint(host=config.direct_host or config.host, port=config.direct_port or config.port)

    def flows(self) -> Sequence[Flow]:
        """Flows to the server and to its pooler."""
        return [Flow(purpose=self.name, endpoints=[self._endpoint, self._direct], clients=self.clients)]

    @property
    def ca(self) -> str | None:
        """The configured CA bundle, or the private CAs of the network."""
        return self.config.ca or (self.settings.network.ca if self.config.tls == "verify" else None)
