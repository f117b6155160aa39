"""An external Redis or Valkey: a single server, a cluster, or servers with Sentinels."""

from collections.abc import Sequence

from components.schema.stores import ExternalRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import Flow, SecretRefs
from components.stores.redis.mode import RedisMode


class ExternalRedisMode(RedisMode[ExternalRedis]):
    """Connects to servers that this stack does not run."""

    def connection(self, refs: SecretRefs) -> RedisConnection:
        """The configured server, or the nodes of the configured topology."""
        config, servers = self.config, self._servers
        return RedisConnection(
            endpoint=servers[0],
            nodes=() if config.topology == "single" else servers,
            topology=config.topology,
            master_name=config.master_name,
            username=config.username,
            password=refs["redis_password"],
            ca_path=self.ca_path,
        )

    @property
    def _servers(self) -> Sequence[Endpoint]:
        """The single server, the nodes of the cluster, or the Sentinels. Keys of another topology have no effect."""
        config = self.config
        if config.topology == "single":
            return [Endpoint(host=config.host or "", port=config.port, tls=config.tls)]
        parts = (node.rpartition(":") for node in config.nodes)
        return [Endpoint(host=host, port=int(port), tls=config.tls) for host, _, port in parts]

    def flows(self) -> Sequence[Flow]:
        """Flows to the servers. Sentinels and nodes name further servers, with addresses that are not configured.

        The servers that Sentinels name listen at `port`, the nodes of a cluster at the ports of the configured nodes.
        """
        config, servers = self.config, self._servers
        named = {"single": set[int](), "cluster": {node.port for node in servers}, "sentinel": {config.port}}
        ports = sorted(named[config.topology])
        application = [one for one in self.clients if one not in self.exporter]
        found = [Flow(purpose=self.name, endpoints=servers, ports=ports, clients=application)]
        if self.exporter:  # it connects to the configured addresses only
            found.append(Flow(purpose="redis-metrics", endpoints=servers, clients=self.exporter))
        return found

    @property
    def ca(self) -> str | None:
        """The configured CA bundle, or the private CAs of the network."""
        return self.config.ca or (self.settings.network.ca if self.config.tls else None)
