"""Redis: the job queues and a cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.kubernetes.installation import Installation, child_options
from components.kubernetes.variables import SecretRef
from components.schema.stores import ExternalRedis, ManagedRedis, SentinelRedis
from components.schema.stores import Redis as RedisSettings
from components.stores.connections import Endpoint, RedisConnection
from components.stores.redis.sentinel import MASTER_NAME, sentinel_endpoints, watched_valkeys
from components.stores.redis.valkey import PORT, valkey_server


@dataclass(frozen=True, kw_only=True)
class RedisArgs:
    """What Redis needs."""

    installation: Installation
    settings: RedisSettings
    password: SecretRef
    annotations: Mapping[str, pulumi.Input[str]]
    ca_path: str | None
    """The file of an external server's authority, in every pod that connects."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class Redis(pulumi.ComponentResource):
    """Job queue and cache: Valkey with an append-only file, never evicting, or a server that is there already.

    BullMQ loses jobs when keys are evicted, so `noeviction` is not a setting.
    """

    connection: RedisConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Redis", name, args.visible(), opts)
        child = child_options(self, opts)
        match args.settings:
            case ManagedRedis() as settings:
                self.ready = [valkey_server(args.installation, settings, args.password, args.annotations, child)]
                self.connection = RedisConnection(
                    endpoint=Endpoint(host="langfuse-redis", port=PORT), password=args.password
                )
            case SentinelRedis() as settings:
                self.ready = [watched_valkeys(args.installation, settings, args.password, args.annotations, child)]
                nodes = sentinel_endpoints(args.installation)
                self.connection = RedisConnection(
                    endpoint=nodes[0],
                    nodes=nodes,
                    topology="sentinel",
                    master_name=MASTER_NAME,
                    password=args.password,
                    sentinel_password=args.password,
                )
            case ExternalRedis() as settings:
                self.ready = []
                self.connection = external_connection(settings, args.password, args.ca_path)
        self.register_outputs({"address": self.connection.endpoint.authority})


def external_connection(settings: ExternalRedis, password: SecretRef, ca_path: str | None) -> RedisConnection:
    """How a server is reached that is there already."""
    nodes = [
        Endpoint(host=host, port=int(port), tls=settings.tls)
        for host, _, port in (node.rpartition(":") for node in settings.nodes)
    ]
    single = settings.topology == "single"
    return RedisConnection(
        endpoint=Endpoint(host=settings.host or "", port=settings.port, tls=settings.tls) if single else nodes[0],
        nodes=() if single else nodes,
        topology=settings.topology,
        master_name=settings.master_name,
        username=settings.username,
        password=password,
        ca_path=ca_path,
    )
