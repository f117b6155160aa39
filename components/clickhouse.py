"""ClickHouse: traces, observations and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components import images
from components.clickhouse_files import FromEnv, configuration_mount, document
from components.connections import (
    ClickHouseConnection,
    Endpoint,
    Environment,
    ObjectStoreConnection,
    PodField,
    SecretRef,
)
from components.files import config
from components.installation import Installation, child_options, config_map, service, service_account
from components.keeper import Keeper, KeeperArgs
from components.pods import Mount, container, http_probe, pod, tcp_probe
from components.replicas import (
    VOLUME,
    claim_template,
    host_names,
    pod_names,
    stateful_set_options,
    volume_claims,
)
from components.settings import ClickHouse as ClickHouseSettings

HTTP_PORT = 8123
NATIVE_PORT = 9000
INTERSERVER_PORT = 9009
METRICS_PORT = 9363
CONFIG_PATH = "/etc/clickhouse"

APPLICATION_USER = "langfuse"
BACKUP_USER = "backup"

START_SECONDS = 1800
"""Time to load the parts of every table at start."""

GRACE_SECONDS = 120
"""Time for running queries and merges to end after SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class ClickHouseArgs:
    """What ClickHouse needs."""

    installation: Installation
    settings: ClickHouseSettings
    password: SecretRef
    backup_password: SecretRef
    interserver_password: SecretRef
    """With which replicas trust each other."""
    backups: ObjectStoreConnection
    annotations: Mapping[str, pulumi.Input[str]]
    replicas: int = 1
    keepers: int = 1

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {
            "version": images.CLICKHOUSE.tag,
            "replicas": self.replicas,
            "keepers": self.keepers,
            **self.settings.model_dump(),
        }


class ClickHouse(pulumi.ComponentResource):
    """A cluster named `default` of one shard, with its Keepers.

    It is a cluster even with one replica: Langfuse's tables are made replicated or not when they are made, and there
    is no way from one to the other. A second shard would hide a part of the data, since Langfuse makes no Distributed
    tables.
    """

    connection: ClickHouseConnection
    backup_connection: ClickHouseConnection
    """For a user that can back up and can neither read nor write rows."""
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: ClickHouseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:ClickHouse", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        image = images.CLICKHOUSE
        workload = installation.workload("clickhouse", component="analytics", version=image.tag)
        keeper = Keeper(
            f"{name}-keeper",
            KeeperArgs(
                installation=installation,
                storage=args.settings.keeper_storage,
                resources=args.settings.keeper_resources,
                replicas=args.keepers,
            ),
            child,
        )
        account = service_account(installation, workload, child)
        ports = {"http-clickhouse": HTTP_PORT, "tcp-clickhouse": NATIVE_PORT}
        between = {"http-replicas": INTERSERVER_PORT}
        service(installation, workload, ports, child)
        governing = service(installation, workload, {**ports, **between}, child, headless=True)
        claims = volume_claims(installation, workload, pod_names(workload, args.replicas), args.settings.storage, child)
        hosts = host_names(installation, workload, args.replicas)
        files = {
            "config.xml": config("clickhouse/config.xml"),
            "users.xml": config("clickhouse/users.xml"),
            "cluster.xml": cluster_configuration(hosts, keeper.endpoints),
        }
        configuration = config_map(installation, workload, "config", files, child)
        mounts = [
            Mount.template(VOLUME, "/var/lib/clickhouse"),
            configuration_mount(
                configuration.metadata.name, CONFIG_PATH, main=["config.xml", "users.xml"], added=["cluster.xml"]
            ),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
        ]
        server = k8s.apps.v1.StatefulSet(
            workload.resource_name,
            metadata=installation.metadata(workload, name=workload.resource_name),
            spec={
                "persistent_volume_claim_retention_policy": {"when_deleted": "Retain", "when_scaled": "Retain"},
                "pod_management_policy": "Parallel",
                "replicas": args.replicas,
                "revision_history_limit": 3,
                "selector": {"match_labels": workload.selector},
                "service_name": governing.metadata.name,
                "template": pod(
                    workload,
                    [
                        container(
                            "clickhouse",
                            image,
                            command=["clickhouse-server", f"--config-file={CONFIG_PATH}/config.xml"],
                            resources=args.settings.resources,
                            mounts=mounts,
                            env=server_environment(args),
                            ports={**ports, **between, "http-metrics": METRICS_PORT},
                            startup=http_probe("/ping", HTTP_PORT, period=5, failures=START_SECONDS // 5),
                            readiness=http_probe("/ping", HTTP_PORT, period=10, failures=3),
                            liveness=tcp_probe(NATIVE_PORT, period=20, failures=6),
                        )
                    ],
                    fs_group=image.uid,
                    mounts=mounts,
                    grace_seconds=GRACE_SECONDS,
                    service_account=account.metadata.name,
                    annotations=args.annotations,
                ),
                "volume_claim_templates": [claim_template(workload, args.settings.storage)],
            },
            opts=stateful_set_options(installation, child, claims),
        )
        self.connection = ClickHouseConnection(
            http=Endpoint(host=workload.resource_name, port=HTTP_PORT),
            native=Endpoint(host=workload.resource_name, port=NATIVE_PORT),
            username=APPLICATION_USER,
            password=args.password,
        )
        self.backup_connection = replace(self.connection, username=BACKUP_USER, password=args.backup_password)
        self.ready = [server, *keeper.ready]
        self.register_outputs({"address": self.connection.http.authority})


def server_environment(args: ClickHouseArgs) -> Environment:
    """What `config/clickhouse/*.xml` takes from the environment."""
    bucket = args.backups.buckets["backups"]
    return {
        "CLICKHOUSE_PASSWORD": args.password,
        "BACKUP_PASSWORD": args.backup_password,
        "INTERSERVER_PASSWORD": args.interserver_password,
        "BACKUPS_ACCESS_KEY_ID": bucket.access_key_id,
        "BACKUPS_SECRET_ACCESS_KEY": bucket.secret_access_key,
        "BACKUPS_URL": f"{args.backups.endpoint.http_url}/{bucket.name}/",
        "POD_NAME": PodField(path="metadata.name"),
        # The process itself gets the signals, not a supervisor above it.
        "CLICKHOUSE_WATCHDOG_ENABLE": "0",
        "TZ": "UTC",
    }


def cluster_configuration(replicas: Sequence[str], keepers: Sequence[Endpoint]) -> str:
    """cluster.xml: the replicas of the only shard, and the Keepers.

    With a secret, replicas run each other's queries as the user who asked.
    """
    return document(
        "clickhouse",
        {
            "remote_servers": {
                "default": {
                    "secret": FromEnv(variable="INTERSERVER_PASSWORD"),
                    "shard": {
                        "internal_replication": "true",
                        "replica": [{"host": host, "port": NATIVE_PORT} for host in replicas],
                    },
                }
            },
            "zookeeper": {"node": [{"host": keeper.host, "port": keeper.port} for keeper in keepers]},
        },
    )
