"""ClickHouse: traces, observations and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi

from components.kubernetes.files import config, read_scripts
from components.kubernetes.installation import (
    Installation,
    child_options,
    config_map,
    service,
    service_account,
)
from components.kubernetes.jobs import run_script, scripts_mount, wait_at_most
from components.kubernetes.pods import Container, Mount, Probe, container, exec_probe, http_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import (
    VOLUME,
    host_names,
    pod_names,
    stateful_set,
    volume_claims,
)
from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema import images
from components.schema.stores import ClickHouse as ClickHouseSettings
from components.schema.stores import ExternalClickHouse, ManagedClickHouse
from components.schema.values import release
from components.stores.clickhouse.cluster import NATIVE_PORT, backups_configuration, cluster_configuration
from components.stores.clickhouse.files import configuration_mount
from components.stores.clickhouse.keeper import Keeper, KeeperArgs
from components.stores.connections import ClickHouseConnection, Endpoint, ObjectStoreConnection

SCRIPTS = Path(__file__).parent / "scripts"
FILES = Path(__file__).parent / "config"

HTTP_PORT = 8123
INTERSERVER_PORT = 9009
METRICS_PORT = 9363
CONFIG_PATH = "/etc/clickhouse"

APPLICATION_USER = "langfuse"
BACKUP_USER = "backup"

START_SECONDS = 1800
"""Time to load the parts of every table at start."""

CATCH_UP_SECONDS = 1800
"""After this time a replica serves reads although it still lacks rows: an entry of its queue may be stuck for good."""

READ_ONLY_SECONDS = 300
"""After this time a replica serves reads although it can't reach Keeper."""

MAX_DELAY_SECONDS = 30
"""How far behind the others a replica may be when it starts to serve."""

UPDATE_MINUTES = 45
"""How long an update waits for replicas, which restart one at a time and each catch up first."""

GRACE_SECONDS = 120
"""Time for running queries and merges to end after SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class ClickHouseArgs:
    """What ClickHouse needs."""

    installation: Installation
    settings: ClickHouseSettings
    refs: Mapping[str, SecretRef]
    """Passwords by credential id; those of backups and between replicas only for servers of ours."""
    backups: ObjectStoreConnection
    annotations: Mapping[str, pulumi.Input[str]]

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class ClickHouse(pulumi.ComponentResource):
    """Servers of ours, or the address of one that is there already: then there is nothing to make.

    Ours are a cluster `default` of one shard, even with one replica: Langfuse's tables are made replicated or not when
    they are made, and there is no way from one to the other. A second shard would hide a part of the data, since
    Langfuse makes no Distributed tables.
    """

    connection: ClickHouseConnection
    backup_connection: ClickHouseConnection | None
    """For a user that can back up and can neither read nor write rows; None where others see to backups."""
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: ClickHouseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:ClickHouse", name, args.visible(), opts)
        self._args = args
        self._child = child_options(self, opts)
        if isinstance(args.settings, ExternalClickHouse):
            self.connection = external_connection(args.settings, args.refs["clickhouse_password"])
            self.backup_connection = None
            self.ready = []
        else:
            self._servers(name, args.settings)
        self.register_outputs({"address": self.connection.http.authority})

    def _servers(self, name: str, settings: ManagedClickHouse) -> None:
        args, child, installation = self._args, self._child, self._args.installation
        image = images.clickhouse(settings.version)
        workload = installation.workload("clickhouse", component="analytics", version=image.tag)
        keeper = Keeper(f"{name}-keeper", KeeperArgs(installation=installation, settings=settings), child)
        account = service_account(installation, workload, child, args.backups.account_annotations)
        ports = {"http-clickhouse": HTTP_PORT, "tcp-clickhouse": NATIVE_PORT}
        between = {"http-replicas": INTERSERVER_PORT}
        service(installation, workload, ports, child)
        governing = service(installation, workload, {**ports, **between}, child, headless=True)
        volumes = volume_claims(installation, workload, pod_names(workload, settings.replicas), settings.storage, child)
        hosts = host_names(installation, workload, settings.replicas)
        files = {
            "config.xml": config(FILES / "config.xml"),
            "users.xml": config(FILES / "users.xml"),
            "cluster.xml": cluster_configuration(hosts, keeper.endpoints),
            "backups.xml": backups_configuration(args.backups),
        }
        configuration = config_map(installation, workload, "config", files, child)
        scripts = config_map(
            installation, workload, "scripts", read_scripts(SCRIPTS, "check-clickhouse-replica.sh"), child
        )
        mounts = [
            Mount.template(VOLUME, "/var/lib/clickhouse"),
            configuration_mount(
                configuration.metadata.name,
                CONFIG_PATH,
                main=["config.xml", "users.xml"],
                added=["cluster.xml", "backups.xml"],
            ),
            scripts_mount(scripts),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
        ]
        server: Container = container(
            "clickhouse",
            image,
            command=["clickhouse-server", f"--config-file={CONFIG_PATH}/config.xml"],
            resources=settings.resources,
            mounts=mounts,
            env=server_environment(args.refs, args.backups, hosts),
            ports={**ports, **between, "http-metrics": METRICS_PORT},
            startup=startup_probe(settings.replicas),
            readiness=http_probe("/ping", HTTP_PORT, period=10, failures=3),
            liveness=tcp_probe(NATIVE_PORT, period=20, failures=6),
        )
        template = pod(
            workload,
            [server],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=args.annotations,
        )
        patient = wait_at_most(child, minutes=UPDATE_MINUTES) if settings.replicas > 1 else child
        servers = stateful_set(installation, workload, template, patient, governing=governing, volumes=volumes)
        self.connection = ClickHouseConnection(
            http=Endpoint(host=workload.resource_name, port=HTTP_PORT),
            native=Endpoint(host=hosts[0], port=NATIVE_PORT),
            username=APPLICATION_USER,
            password=args.refs["clickhouse_password"],
            client_version=settings.version,
        )
        self.backup_connection = replace(
            self.connection,
            native=Endpoint(host=workload.resource_name, port=NATIVE_PORT),
            username=BACKUP_USER,
            password=args.refs["clickhouse_backup_password"],
        )
        self.ready = [servers, *keeper.ready]


def startup_probe(replicas: int) -> Probe:
    """Until it succeeds a pod gets no requests, and an update replaces no other pod.

    Of several replicas each first has to have what the others have. That is not the work of a postStart hook: while one
    runs, the kubelet publishes no address of the pod, so the pod finds neither itself nor, if they start together, the
    others (kubernetes issue 85966).
    """
    if replicas == 1:
        return http_probe("/ping", HTTP_PORT, period=5, failures=START_SECONDS // 5)
    command = run_script("check-clickhouse-replica.sh")
    return exec_probe(command, period=5, failures=(START_SECONDS + CATCH_UP_SECONDS) // 5, timeout=60)


def external_connection(settings: ExternalClickHouse, password: SecretRef) -> ClickHouseConnection:
    """How to reach a server that is there already."""
    return ClickHouseConnection(
        http=Endpoint(host=settings.host, port=settings.http_port, tls=settings.tls),
        native=Endpoint(host=settings.host, port=settings.native_port, tls=settings.tls),
        username=settings.username,
        password=password,
        database=settings.database,
        clustered=settings.clustered,
        client_version=client_version(settings.version),
    )


def client_version(server: str | None) -> str:
    """The client for a server outside: of its line, since ClickHouse Cloud's own builds have no image."""
    return ".".join(map(str, release(server)[:2])) if server else images.CLICKHOUSE.tag


def server_environment(
    refs: Mapping[str, SecretRef], backups: ObjectStoreConnection, replicas: Sequence[str]
) -> Environment:
    """What `config/*.xml`, the files beside them and the startup probe of replicas take from there."""
    return {
        "CLICKHOUSE_PASSWORD": refs["clickhouse_password"],
        "BACKUP_PASSWORD": refs["clickhouse_backup_password"],
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
        # The process itself gets the signals, not a supervisor above it.
        "CLICKHOUSE_WATCHDOG_ENABLE": "0",
        "HOME": "/tmp",  # noqa: S108  # the pod's own: the client's history
        "TZ": "UTC",
    }
