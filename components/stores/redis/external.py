"""An external Redis or Valkey: a single server, a cluster, or servers with Sentinels."""

from collections.abc import Sequence

from components.schema.stores import ExternalRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import Flow, SecretRefs
from components.stores.redis.mode import CLIENTS, RedisMode


class ExternalRedisMode(RedisMode[ExternalRedis]):
    """Connects to servers that this stack does not run."""

    def connection(self, refs: SecretRefs) -> RedisConnection:
        """The configured server, or the nodes of the configured topology."""
        config = self.config
        nodes = [
            Endpoint(host=host, port=int(port), tls=config.tls)
            for host, _, port in (node.rpartition(":") for node in config.nodes)
        ]
        single = config.topology == "single"
        return RedisConnection(
            endpoint=Endpoint(host=config.host or "", port=config.port, tls=config.tls) if single else nodes[0],
            nodes=() if single else nodes,
            topology=config.topology,
            master_name=config.master_name,
            username=config.username,
            password=refs["redis_password"],
            ca_path=self.ca_path,
        )

    def flows(self) -> Sequence[Flow]:
        """Flows to every configured port. Sentinels name the servers, which listen at `port`."""
        ports = {int(node.rpartition(":")[2]) for node in self.config.nodes} or {self.config.port}
        if self.config.topology == "sentinel":
            ports.add(self.config.port)
        return [Flow(purpose=self.name, server=None, ports=sorted(ports), clients=CLIENTS)]

    @property
    def ca(self) -> str | None:
        """The configured CA bundle."""
        return self.config.ca
