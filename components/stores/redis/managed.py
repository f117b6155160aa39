"""Redis as a single Valkey that this stack runs."""

from collections.abc import Sequence

import pulumi

from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.objects import Scope, service, service_account, volume_claim
from components.kubernetes.pods import Container, Mount, container, exec_probe, pod, secret_names, tcp_probe
from components.kubernetes.stateful_sets import stateful_set
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import Flow, SecretRefs, StoreContext
from components.stores.redis.passwords import PASSWORD_SCRIPTS, PASSWORD_VARIABLE, ValkeyMode
from components.stores.redis.valkey import (
    CONFIGURATION,
    GRACE_SECONDS,
    PORT,
    SCRIPTS,
    START_SECONDS,
    USERS,
    configuration_mount,
    ping_probe,
)

SCRIPT_NAMES = ("start-valkey.sh", "check-valkey.sh", *PASSWORD_SCRIPTS)


class ManagedRedisMode(ValkeyMode[ManagedRedis]):
    """One server with an append-only file on a volume."""

    def connection(self, refs: SecretRefs) -> RedisConnection:
        """The Service of the server."""
        return RedisConnection(endpoint=self.members()[0], password=refs["redis_password"])

    def members(self) -> Sequence[Endpoint]:
        """The Service of the server."""
        return [Endpoint(host="langfuse-redis", port=PORT)]

    def flows(self) -> Sequence[Flow]:
        """Flows from the application."""
        clients = [*self.clients, *self.password_clients]
        return [Flow(purpose=self.name, server=self.name, ports=[PORT], clients=clients)]

    def pods(self) -> Sequence[Pods]:
        """One pod."""
        return [Pods(name=self.name, replicas=1, each=Requests.of(self.config.resources, self.config.storage))]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """A StatefulSet whose startup probe fails as long as the server could lose jobs."""
        image = images.valkey(self.config.version)
        scope = Scope(self.installation.workload(self.name, component="queue", version=image.tag), opts)
        account = service_account(scope)
        service(scope, {"tcp-redis": PORT})
        governing = service(scope, {"tcp-redis": PORT}, headless=True)
        claim = volume_claim(scope, self.config.storage)
        mounts = [
            Mount.claim("data", claim.metadata.name, "/data"),
            configuration_mount(scope, self.config.resources),
            scripts_mount(scope, read_scripts(SCRIPTS, *SCRIPT_NAMES)),
        ]
        environment: Environment = {PASSWORD_VARIABLE: context.refs["redis_password"], "USERS_FILE": USERS}
        template = pod(
            scope.workload,
            [_server(self.config, mounts, environment)],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        return [stateful_set(scope, template, governing=governing)]


def _server(config: ManagedRedis, mounts: Sequence[Mount], environment: Environment) -> Container:
    return container(
        "valkey",
        images.valkey(config.version),
        command=[*run_script("start-valkey.sh"), CONFIGURATION],
        resources=config.resources,
        mounts=mounts,
        env=environment,
        ports={"tcp-redis": PORT},
        startup=exec_probe(run_script("check-valkey.sh"), period=5, failures=START_SECONDS // 5),
        readiness=ping_probe(PORT, period=10),
        liveness=tcp_probe(PORT, period=20, failures=6),
    )
