"""Redis as a single Valkey that this stack runs."""

from collections.abc import Sequence
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_config, read_scripts, run_script, scripts_mount
from components.kubernetes.objects import Scope, config_map, service, service_account, volume_claim
from components.kubernetes.pods import Container, Mount, container, exec_probe, pod, secret_names, tcp_probe
from components.kubernetes.stateful_sets import stateful_set
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedRedis
from components.schema.values import quantity_value
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import SERVERS, Flow, Refs, StoreContext
from components.stores.redis.mode import RedisMode

SCRIPTS = Path(__file__).parent / "scripts"
CONFIG = Path(__file__).parent / "config"

PORT = 6379
CONFIGURATION = "/etc/valkey/valkey.conf"
PASSWORD_FILE = "/run/valkey/password.conf"  # noqa: S105  # a path

START_SECONDS = 900
"""Time to load the append-only file at start."""

GRACE_SECONDS = 60
"""Time to flush the append-only file after SIGTERM."""


class Managed(RedisMode[ManagedRedis]):
    """One server with an append-only file on a volume."""

    def connection(self, refs: Refs) -> RedisConnection:
        """The server by the name of its Service."""
        return RedisConnection(endpoint=Endpoint(host="langfuse-redis", port=PORT), password=refs["redis_password"])

    def flows(self) -> Sequence[Flow]:
        """From the application alone."""
        return [Flow(purpose=self.name, server=self.name, ports=[PORT], clients=SERVERS)]

    def pods(self) -> Sequence[Pods]:
        """One pod."""
        return [Pods(name=self.name, replicas=1, each=Requests.of(self.own.resources, self.own.storage))]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """A StatefulSet whose startup probe fails as long as the server could lose jobs."""
        image = images.valkey(self.own.version)
        scope = Scope(self.installation.workload(self.name, component="queue", version=image.tag), opts)
        account = service_account(scope)
        service(scope, {"tcp-redis": PORT})
        governing = service(scope, {"tcp-redis": PORT}, headless=True)
        claim = volume_claim(scope, self.own.storage)
        mounts = [
            Mount.claim("data", claim.metadata.name, "/data"),
            *configuration_mounts(scope, self.own.resources),
            scripts_mount(scope, read_scripts(SCRIPTS, "start-valkey.sh", "check-valkey.sh")),
        ]
        # The name that valkey-cli reads: Valkey keeps Redis' for compatibility.
        environment: Environment = {"REDISCLI_AUTH": context.refs["redis_password"]}
        template = pod(
            scope.workload,
            [_server(self.own, mounts, environment)],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksums(secret_names(environment)),
        )
        return [stateful_set(scope, template, governing=governing)]


def _server(own: ManagedRedis, mounts: Sequence[Mount], environment: Environment) -> Container:
    return container(
        "valkey",
        images.valkey(own.version),
        command=[*run_script("start-valkey.sh"), CONFIGURATION, PASSWORD_FILE],
        resources=own.resources,
        mounts=mounts,
        env=environment,
        ports={"tcp-redis": PORT},
        startup=exec_probe(run_script("check-valkey.sh"), period=5, failures=START_SECONDS // 5),
        readiness=ping_probe(PORT, period=10),
        liveness=tcp_probe(PORT, period=20, failures=6),
    )


def configuration_mounts(scope: Scope, resources: Resources) -> Sequence[Mount]:
    """The configuration file, and a directory for the files that scripts write when the server starts."""
    configuration = config_map(scope, "config", {"valkey.conf": valkey_configuration(resources)})
    return [
        Mount.config("config", configuration.metadata.name, "/etc/valkey"),
        Mount.scratch("run", "/run/valkey"),
    ]


def valkey_configuration(resources: Resources) -> str:
    """valkey.conf. Data gets three quarters of the memory; the rest is for copies during AOF rewrites."""
    return read_config(CONFIG / "valkey.conf", maxmemory_bytes=int(quantity_value(resources.memory) * 3 / 4))


def ping_probe(port: int, *, period: int) -> k8s.core.v1.ProbeArgsDict:
    """Whether a server or a Sentinel answers PING."""
    return exec_probe(["/bin/sh", "-c", f'[ "$(valkey-cli -p {port} PING)" = PONG ]'], period=period, failures=3)
