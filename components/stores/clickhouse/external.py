"""An external ClickHouse, for example ClickHouse Cloud."""

from collections.abc import Collection, Sequence

from components.schema import images
from components.schema.stores import ExternalClickHouse
from components.schema.values import release
from components.stores.clickhouse.mode import JOBS, ClickHouseMode
from components.stores.connections import ClickHouseConnection, Endpoint
from components.stores.contract import SERVERS, Flow, Refs


class External(ClickHouseMode[ExternalClickHouse]):
    """Connects to a server that this stack does not run."""

    backed_up_by = "provider"

    def connection(self, refs: Refs) -> ClickHouseConnection:
        """The configured server."""
        own = self.own
        return ClickHouseConnection(
            http=Endpoint(host=own.host, port=own.http_port, tls=own.tls),
            native=Endpoint(host=own.host, port=own.native_port, tls=own.tls),
            username=own.username,
            password=refs["clickhouse_password"],
            database=own.database,
            clustered=own.clustered,
            client_version=client_version(own.version),
        )

    def backup_connection(self, refs: Refs) -> None:
        """None: the provider backs up."""

    def flows(self) -> Sequence[Flow]:
        """HTTP from the application, the native protocol from Jobs."""
        return [
            Flow(purpose=self.name, server=None, ports=[self.own.http_port], clients=SERVERS),
            Flow(purpose=f"{self.name}-native", server=None, ports=[self.own.native_port], clients=JOBS),
        ]

    def credentials(self) -> Collection[str]:
        """The password of the configured user."""
        return ["clickhouse_password"]


def client_version(server: str | None) -> str:
    """The release of the client: of the server's release line, since builds of ClickHouse Cloud have no image."""
    return ".".join(map(str, release(server)[:2])) if server else images.CLICKHOUSE.tag
