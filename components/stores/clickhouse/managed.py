"""ClickHouse servers that this stack runs, with their Keepers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pulumi

from components.kubernetes.files import read_config, read_scripts, run_script, scripts_mount
from components.kubernetes.objects import Scope, config_map, service, service_account
from components.kubernetes.pods import (
    TMP,
    Container,
    Mount,
    Probe,
    container,
    exec_probe,
    http_probe,
    pod,
    secret_names,
    tcp_probe,
)
from components.kubernetes.stateful_sets import VOLUME, stateful_set, volume_claims
from components.kubernetes.variables import Environment, PodField
from components.schema import images
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedClickHouse
from components.stores.clickhouse.cluster import NATIVE_PORT, backups_configuration, cluster_configuration
from components.stores.clickhouse.files import configuration_mount
from components.stores.clickhouse.keeper import CLIENT_PORT, RAFT_PORT, Keeper
from components.stores.clickhouse.keeper import METRICS_PORT as KEEPER_METRICS_PORT
from components.stores.clickhouse.memory import query_memory_configuration, server_memory_configuration
from components.stores.clickhouse.mode import HTTP_CLIENTS, JOBS, ClickHouseMode
from components.stores.connections import ClickHouseConnection, Endpoint, ObjectStoreConnection
from components.stores.contract import RESTORE_CLICKHOUSE, Flow, Scrape, SecretRefs, StoreContext

SCRIPTS = Path(__file__).parent / "scripts"
FILES = Path(__file__).parent / "config"

HTTP_PORT = 8123
INTERSERVER_PORT = 9009
METRICS_PORT = 9363
CONFIG_PATH = "/etc/clickhouse"

APPLICATION_USER = "langfuse"
BACKUP_USER = "backup"
RESTORE_USER = "restore"

START_SECONDS = 1800
"""Time to load the parts of every table when the server starts."""

CATCH_UP_SECONDS = 1800
"""After this time a replica serves reads although it still lacks rows: an entry of its queue may be stuck forever."""

READ_ONLY_SECONDS = 300
"""After this time a replica serves reads although it can't reach Keeper."""

MAX_DELAY_SECONDS = 30
"""Maximum delay of a replica when it starts to serve."""

GRACE_SECONDS = 120
"""Time for running queries and merges to finish after SIGTERM."""


PORTS: Mapping[str, int] = {"http-clickhouse": HTTP_PORT, "tcp-clickhouse": NATIVE_PORT}
"""Ports of clients."""

REPLICA_PORTS: Mapping[str, int] = {"http-replicas": INTERSERVER_PORT}
"""Ports of other replicas."""


class ManagedClickHouseMode(ClickHouseMode[ManagedClickHouse]):
    """A cluster `default` with a single shard, even if it has only one replica.

    Langfuse creates its tables replicated or not, and there is no way to convert them. A second shard would hide a part
    of the data, because Langfuse creates no Distributed tables.
    """

    backed_up_by = "job"

    @property
    def hosts(self) -> Sequence[str]:
        """DNS names of the replicas."""
        return self.installation.workload(self.name, component="analytics").host_names(self.config.replicas)

    def connection(self, refs: SecretRefs) -> ClickHouseConnection:
        """HTTP through the Service. The native protocol of migrations goes to the first replica."""
        return ClickHouseConnection(
            http=Endpoint(host="langfuse-clickhouse", port=HTTP_PORT),
            native=Endpoint(host=self.hosts[0], port=NATIVE_PORT),
            username=APPLICATION_USER,
            password=refs["clickhouse_password"],
            memory=self.config.resources.memory,
            client_version=self.config.version,
        )

    def backup_connection(self, refs: SecretRefs) -> ClickHouseConnection:
        """For a user that can back up, and can neither read nor write rows."""
        return replace(
            self.connection(refs),
            native=Endpoint(host="langfuse-clickhouse", port=NATIVE_PORT),
            username=BACKUP_USER,
            password=refs["clickhouse_backup_password"],
        )

    def restore_connection(self, refs: SecretRefs) -> ClickHouseConnection:
        """For a user that can drop and restore tables, and can't read rows."""
        return replace(
            self.backup_connection(refs), username=RESTORE_USER, password=refs["clickhouse_restore_password"]
        )

    def flows(self) -> Sequence[Flow]:
        """Flows to the servers and to the Keepers."""
        return [
            Flow(purpose=server, server=server, ports=[port], clients=clients)
            for server, port, clients in (
                (self.name, HTTP_PORT, [*HTTP_CLIENTS, *self.before_upgrade]),
                (self.name, NATIVE_PORT, [*JOBS, *self.before_upgrade, RESTORE_CLICKHOUSE, self.name]),
                (self.name, INTERSERVER_PORT, [self.name]),
                ("keeper", CLIENT_PORT, [self.name]),
                ("keeper", RAFT_PORT, ["keeper"]),
            )
        ]

    def scrapes(self) -> Sequence[Scrape]:
        """The metrics of servers and Keepers."""
        return [
            Scrape(server=self.name, port=METRICS_PORT, port_name="http-metrics"),
            Scrape(server="keeper", port=KEEPER_METRICS_PORT, port_name="http-metrics"),
        ]

    def credentials(self) -> Collection[str]:
        """Passwords of the application, of backups and restores, and between replicas."""
        uses = ("password", "backup_password", "restore_password", "interserver_password")
        return [f"clickhouse_{use}" for use in uses]

    def pods(self) -> Sequence[Pods]:
        """A pod for each replica and each Keeper."""
        config = self.config
        return [
            Pods(name=self.name, replicas=config.replicas, each=Requests.of(config.resources, config.storage)),
            Pods(
                name="keeper", replicas=config.keepers, each=Requests.of(config.keeper_resources, config.keeper_storage)
            ),
        ]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """Keepers and a StatefulSet of servers."""
        config = self.config
        image = images.clickhouse(config.version)
        scope = Scope(self.installation.workload(self.name, component="analytics", version=image.tag), opts)
        keeper = Keeper("clickhouse-keeper", self.installation, config, opts)
        account = service_account(scope, context.object_store.account_annotations)
        service(scope, PORTS)
        governing = service(scope, {**PORTS, **REPLICA_PORTS}, headless=True)
        volumes = volume_claims(scope, scope.workload.pod_names(config.replicas), config.storage)
        mounts = [
            Mount.template(VOLUME, "/var/lib/clickhouse"),
            self._configuration(scope, keeper, context.object_store),
            scripts_mount(scope, read_scripts(SCRIPTS, "check-clickhouse-replica.sh")),
            TMP,
        ]
        environment = server_environment(context.refs, context.object_store, self.hosts)
        template = pod(
            scope.workload,
            [_server(config, mounts, environment)],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        waits = pulumi.ResourceOptions(depends_on=[keeper.quorum])
        servers = stateful_set(scope, template, governing=governing, volumes=volumes, opts=waits)
        return [servers, *keeper.ready]

    def _configuration(self, scope: Scope, keeper: Keeper, backups: ObjectStoreConnection) -> Mount:
        files = {
            "config.xml": read_config(FILES / "config.xml"),
            "users.xml": read_config(FILES / "users.xml"),
            "cluster.xml": cluster_configuration(self.hosts, keeper.endpoints),
            "backups.xml": backups_configuration(backups),
            "memory.xml": server_memory_configuration(self.config.resources.memory),
            "queries.xml": query_memory_configuration(self.config.resources.memory),
        }
        return configuration_mount(
            config_map(scope, "config", files).metadata.name,
            CONFIG_PATH,
            {
                "config.xml": "config.xml",
                "users.xml": "users.xml",
                **{name: f"config.d/{name}" for name in ("cluster.xml", "backups.xml", "memory.xml")},
                "queries.xml": "users.d/queries.xml",
            },
        )


def _server(config: ManagedClickHouse, mounts: Sequence[Mount], environment: Environment) -> Container:
    return container(
        "clickhouse",
        images.clickhouse(config.version),
        command=["clickhouse-server", f"--config-file={CONFIG_PATH}/config.xml"],
        resources=config.resources,
        mounts=mounts,
        env=environment,
        ports={**PORTS, **REPLICA_PORTS, "http-metrics": METRICS_PORT},
        startup=startup_probe(config.replicas),
        readiness=http_probe("/ping", HTTP_PORT, period=10, failures=3),
        liveness=tcp_probe(NATIVE_PORT, period=20, failures=6),
    )


def startup_probe(replicas: int) -> Probe:
    """Until it succeeds, the pod gets no requests and an update replaces no other pod.

    With several replicas, each first catches up with the others. A postStart hook can't do this: while one runs, the
    kubelet publishes no address of the pod, so the pod finds neither itself nor, if they start together, the others
    (kubernetes issue 85966).
    """
    if replicas == 1:
        return http_probe("/ping", HTTP_PORT, period=5, failures=START_SECONDS // 5)
    command = run_script("check-clickhouse-replica.sh")
    return exec_probe(command, period=5, failures=(START_SECONDS + CATCH_UP_SECONDS) // 5, timeout=60)


def server_environment(refs: SecretRefs, backups: ObjectStoreConnection, replicas: Sequence[str]) -> Environment:
    """The variables that `config/*.xml`, the generated files and the startup probe of replicas read."""
    return {
        "CLICKHOUSE_PASSWORD": refs["clickhouse_password"],
        "BACKUP_PASSWORD": refs["clickhouse_backup_password"],
        "RESTORE_PASSWORD": refs["clickhouse_restore_password"],
        "INTERSERVER_PASSWORD": refs["clickhouse_interserver_password"],
        "BACKUPS_URL": backups.bucket_url("backups"),
        **backups.buckets["backups"].keys("BACKUPS_"),
        "POD_NAME": PodField(path="metadata.name"),
        "REPLICAS": " ".join(replicas),
        "CLICKHOUSE_DATABASE": "default",
        "CLICKHOUSE_PORT": str(NATIVE_PORT),
        "CLICKHOUSE_USER": APPLICATION_USER,
        "MAX_DELAY_SECONDS": str(MAX_DELAY_SECONDS),
        "CATCH_UP_SECONDS": str(CATCH_UP_SECONDS),
        "READ_ONLY_SECONDS": str(READ_ONLY_SECONDS),
        # Signals reach the server itself, not a supervisor process.
        "CLICKHOUSE_WATCHDOG_ENABLE": "0",
        "HOME": "/tmp",  # noqa: S108  # for the client's history
        "TZ": "UTC",
    }
