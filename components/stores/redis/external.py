"""An external Redis or Valkey: a single server, a cluster, or servers with Sentinels."""

from collections.abc import Sequence

from components.schema.stores import ExternalRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import SERVERS, Flow, Refs
from components.stores.redis.mode import RedisMode


class External(RedisMode[ExternalRedis]):
    """Connects to servers that this stack does not run."""

    def connection(self, refs: Refs) -> RedisConnection:
        """The configured server, or the nodes of the configured topology."""
        own = self.own
        nodes = [
            Endpoint(host=host, port=int(port), tls=own.tls)
            for host, _, port in (node.rpartition(":") for node in own.nodes)
        ]
        single = own.topology == "single"
        return RedisConnection(
            endpoint=Endpoint(host=own.host or "", port=own.port, tls=own.tls) if single else nodes[0],
            nodes=() if single else nodes,
            topology=own.topology,
            master_name=own.master_name,
            username=own.username,
            password=refs["redis_password"],
            ca_path=self.ca_path,
        )

    def flows(self) -> Sequence[Flow]:
        """To every configured port. Sentinels name the servers, which listen at `port`."""
        ports = {int(node.rpartition(":")[2]) for node in self.own.nodes} or {self.own.port}
        if self.own.topology == "sentinel":
            ports.add(self.own.port)
        return [Flow(purpose=self.name, server=None, ports=sorted(ports), clients=SERVERS)]

    @property
    def ca(self) -> str | None:
        """The configured CA bundle."""
        return self.own.ca
