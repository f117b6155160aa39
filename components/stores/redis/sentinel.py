"""Redis as three Valkeys that this stack runs, each with a Sentinel that watches them all."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import pulumi

from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.installation import Workload
from components.kubernetes.objects import Scope, service, service_account
from components.kubernetes.pods import Container, Mount, container, exec_probe, pod, secret_names, tcp_probe
from components.kubernetes.stateful_sets import VOLUME, stateful_set, volume_claims
from components.kubernetes.variables import Environment, PodField
from components.schema import images
from components.schema.base import Resources
from components.schema.requests import Pods, Requests
from components.schema.stores import SentinelRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import Flow, SecretRefs, StoreContext
from components.stores.redis.passwords import MASTER_NAME, PASSWORD_SCRIPTS, ValkeyMode
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

SENTINEL_PORT = 26379

REPLICAS = 3
"""Number of servers, and of Sentinels. When one is lost, two of three are still a majority."""

QUORUM = 2

DOWN_AFTER_MILLISECONDS = 5000
"""How long a server must be silent to count as lost. A faster restart triggers no failover."""

SENTINEL_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="64Mi", ephemeral_storage="64Mi")

HAND_OVER_SECONDS = 45
"""How long a stopping primary tries to have a replica promoted. It takes a second or two, but a Sentinel that was
delayed does nothing for 30 s."""

PAUSE_SECONDS = 5
"""How long writes wait at most for replicas to catch up. Then they wait up to three times as long for the new primary
and for clients to connect to it. Clients of web wait for about ten seconds or more."""

FIND_PRIMARY_SECONDS = 20
"""How long a starting server waits for the Sentinels of other pods to name the primary. A new pod may reach no other
pod for a moment, until its network policies and its DNS name are in effect."""

SENTINEL_FIND_PRIMARY_SECONDS = 5
"""The same for a Sentinel. It is shorter because the servers wait for the Sentinels after all three have stopped."""

RUNNING_CONFIGURATION = "/run/valkey/valkey.conf"
"""A writable copy: after a failover, Sentinel makes a server rewrite its configuration. A ConfigMap is read-only."""

STATE = "/data/sentinel.conf"
"""The state of a Sentinel, on the volume of the data. After all have stopped, each still knows the primary."""

MEMBER_GRACE_SECONDS = HAND_OVER_SECONDS + 4 * PAUSE_SECONDS + GRACE_SECONDS
"""The longest handover, and then the time of a single server."""

SCRIPT_NAMES = (
    "find-primary.sh",
    *("start-valkey-member.sh", "check-valkey.sh", "check-valkey-member.sh", "hand-over-primary.sh"),
    *("start-sentinel.sh", "check-sentinel.sh"),
    *("choose-password.sh", *PASSWORD_SCRIPTS),
)


class SentinelRedisMode(ValkeyMode[SentinelRedis]):
    """A primary and two replicas. Sentinels promote a replica when the primary is lost."""

    @property
    def workload(self) -> Workload:
        """The workload that servers and Sentinels belong to."""
        return self.installation.workload(self.name, component="queue", version=images.valkey(self.config.version).tag)

    def connection(self, refs: SecretRefs) -> RedisConnection:
        """The Sentinels, which know the primary."""
        sentinels = self.sentinels()
        return RedisConnection(
            endpoint=sentinels[0],
            nodes=sentinels,
            topology="sentinel",
            master_name=MASTER_NAME,
            password=refs["redis_password"],
            sentinel_password=refs["redis_password"],
        )

    def flows(self) -> Sequence[Flow]:
        """Flows from the application, and between the pods."""
        clients = [*self.clients, self.name, *self.password_clients]
        return [Flow(purpose=self.name, server=self.name, ports=[PORT, SENTINEL_PORT], clients=clients)]

    def pods(self) -> Sequence[Pods]:
        """Three pods with a server and a Sentinel each."""
        return [
            Pods(name=self.name, replicas=REPLICAS, each=Requests.of(self.config.resources, self.config.storage)),
            Pods(name="sentinel", replicas=REPLICAS, sidecar_of=self.name, each=Requests.of(SENTINEL_RESOURCES)),
        ]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """A StatefulSet whose pods start in parallel. Each of them first queries the Sentinels for the primary."""
        scope = Scope(self.workload, opts)
        account = service_account(scope)
        governing = service(scope, {"tcp-redis": PORT, "tcp-sentinel": SENTINEL_PORT}, headless=True)
        volumes = volume_claims(scope, scope.workload.pod_names(REPLICAS), self.config.storage)
        data = Mount.template(VOLUME, "/data")
        configuration = configuration_mount(scope, self.config.resources)
        scripts = scripts_mount(scope, read_scripts(SCRIPTS, *SCRIPT_NAMES))
        mounts = [data, configuration, Mount.scratch("run", str(PurePosixPath(RUNNING_CONFIGURATION).parent)), scripts]
        environment = self.environment(context.refs)
        template = pod(
            scope.workload,
            [_server(self.config, environment, mounts), _sentinel(self.config, environment, [data, scripts])],
            fs_group=images.VALKEY.uid,
            mounts=mounts,
            grace_seconds=MEMBER_GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        return [stateful_set(scope, template, governing=governing, volumes=volumes)]

    def members(self) -> Sequence[Endpoint]:
        """The three servers."""
        return self._endpoints(PORT)

    def sentinels(self) -> Sequence[Endpoint]:
        """Their Sentinels."""
        return self._endpoints(SENTINEL_PORT)

    def environment(self, refs: SecretRefs) -> Environment:
        """The environment of the scripts of servers and Sentinels."""
        first = self.members()[0]
        host = f"$(POD_NAME).{first.host.partition('.')[2]}"
        return {
            "POD_NAME": PodField(path="metadata.name"),
            **self.password_environment(refs),
            "USERS_FILE": USERS,
            "FIRST_PRIMARY": first.authority,
            "MEMBER": f"{host}:{PORT}",
            "OWN_SENTINEL": f"{host}:{SENTINEL_PORT}",
            "SENTINEL_STATE": STATE,
            "QUORUM": str(QUORUM),
            "DOWN_AFTER_MILLISECONDS": str(DOWN_AFTER_MILLISECONDS),
        }

    def _endpoints(self, port: int) -> Sequence[Endpoint]:
        return [Endpoint(host=host, port=port) for host in self.workload.host_names(REPLICAS)]


def _server(config: SentinelRedis, environment: Environment, mounts: Sequence[Mount]) -> Container:
    """The server. It is ready once it has the data, so an update waits for that before it replaces the next pod.

    A primary hands over before it stops, and then waits for nothing: its replicas have the same data.
    """
    return container(
        "valkey",
        images.valkey(config.version),
        command=[
            *run_script("start-valkey-member.sh"),
            CONFIGURATION,
            RUNNING_CONFIGURATION,
            str(FIND_PRIMARY_SECONDS),
        ],
        resources=config.resources,
        mounts=mounts,
        env=environment,
        ports={"tcp-redis": PORT},
        startup=exec_probe(run_script("check-valkey.sh"), period=5, failures=START_SECONDS // 5),
        readiness=exec_probe([*run_script("check-valkey-member.sh"), str(PORT)], period=5, failures=3),
        liveness=tcp_probe(PORT, period=20, failures=6),
        pre_stop=[*run_script("hand-over-primary.sh"), str(PORT), str(HAND_OVER_SECONDS), str(PAUSE_SECONDS)],
    )


def _sentinel(config: SentinelRedis, environment: Environment, mounts: Sequence[Mount]) -> Container:
    """The Sentinel. It has started once it could promote a server, and the other pods reach this one.

    An update waits for that before it replaces the next pod.
    """
    return container(
        "sentinel",
        images.valkey(config.version),
        command=[*run_script("start-sentinel.sh"), str(SENTINEL_PORT), str(SENTINEL_FIND_PRIMARY_SECONDS)],
        resources=SENTINEL_RESOURCES,
        mounts=mounts,
        env=environment,
        ports={"tcp-sentinel": SENTINEL_PORT},
        startup=exec_probe(
            [*run_script("check-sentinel.sh"), str(SENTINEL_PORT)], period=5, failures=START_SECONDS // 5, timeout=10
        ),
        readiness=ping_probe(SENTINEL_PORT, period=10),
        liveness=tcp_probe(SENTINEL_PORT, period=20, failures=6),
    )
