"""An external ClickHouse, for example ClickHouse Cloud."""

from collections.abc import Collection, Sequence

from components.schema import images
from components.schema.stores import ExternalClickHouse
from components.schema.values import release
from components.stores.clickhouse.mode import HTTP_CLIENTS, JOBS, ClickHouseMode
from components.stores.connections import ClickHouseConnection, Endpoint
from components.stores.contract import Flow, SecretRefs


class ExternalClickHouseMode(ClickHouseMode[ExternalClickHouse]):
    """Connects to a server that this stack does not run."""

    backed_up_by = "provider"

    def connection(self, refs: SecretRefs) -> ClickHouseConnection:
        """The configured server."""
        config = self.config
        return ClickHouseConnection(
            http=self._http,
            native=self._native,
            username=config.username,
            password=refs["clickhouse_password"],
            memory=config.memory,
            database=config.database,
            clustered=config.clustered,
            client_version=client_version(config.version),
        )

    def backup_connection(self, refs: SecretRefs) -> None:
        """None: the provider backs up."""

    @property
    def _http(self) -> Endpoint:
        return Endpoint(host=self.config.host, port=self.config.http_port, tls=self.config.tls)

    @property
    def _native(self) -> Endpoint:
        return Endpoint(host=self.config.host, port=self.config.native_port, tls=self.config.tls)

    def flows(self) -> Sequence[Flow]:
        """Flows by HTTP from the application, and by the native protocol from Jobs."""
        return [
            Flow(purpose=self.name, endpoints=[self._http], clients=[*HTTP_CLIENTS, *self.before_upgrade]),
            Flow(purpose=f"{self.name}-native", endpoints=[self._native], clients=JOBS),
        ]

    def credentials(self) -> Collection[str]:
        """The password of the configured user."""
        return ["clickhouse_password"]


def client_version(server: str | None) -> str:
    """The release of the client: of the server's release line, since builds of ClickHouse Cloud have no image."""
    return ".".join(map(str, release(server)[:2])) if server else images.CLICKHOUSE.tag
