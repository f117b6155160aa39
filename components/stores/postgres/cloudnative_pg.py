"""Postgres as a cluster that the CloudNativePG operator runs (cloudnative-pg.io).

The operator, its Barman Cloud plugin and cert-manager must be installed in the cluster. Without them the API server
does not know the kind `Cluster` of postgresql.cnpg.io/v1 or `ObjectStore` of barmancloud.cnpg.io/v1, and the update
fails with an error that says so.
"""

from collections.abc import Mapping, Sequence

import pulumi
from pydantic import JsonValue

from components.kubernetes.objects import Scope, custom_resource
from components.kubernetes.pods import JOB_RESOURCES, requirements
from components.kubernetes.rollouts import PLACEMENT_SECONDS, await_options
from components.kubernetes.stateful_sets import same_users
from components.schema import images
from components.schema.requests import Pods, Requests
from components.schema.schedules import with_seconds
from components.schema.stores import CloudNativePgPostgres
from components.stores.connections import ObjectStoreConnection, PostgresConnection
from components.stores.contract import Flow, OperatorPods, Scrape, SecretRefs, StoreContext
from components.stores.postgres.mode import (
    BUILTIN_LOCALE,
    DATABASE,
    PORT,
    ROLE,
    PostgresMode,
    connections_in_memory,
    in_cluster_connection,
    log_megabytes,
    max_connections,
    memory_megabytes,
)
from components.stores.postgres.pool import pool_size
from components.stores.postgres.release import major, same_major_release

API_VERSION = "postgresql.cnpg.io/v1"
OBJECT_STORE_API_VERSION = "barmancloud.cnpg.io/v1"
PLUGIN = "barman-cloud.cloudnative-pg.io"

METRICS_PORT = 9187
"""Where each server publishes metrics; its port is called `metrics` (cloudnative-pg.io/docs, Monitoring)."""

STATUS_PORT = 8000
"""Where the operator queries the state of each server."""

CLUSTER_LABEL = "cnpg.io/cluster"
"""Label of the operator's pods. Its value is the name of the cluster."""

ROLE_LABEL = "cnpg.io/instanceRole"
"""`primary` or `replica` (cloudnative-pg.io/docs, Labels and annotations)."""

OUTSIDE_MESH: Mapping[str, JsonValue] = {"istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "false"}
"""The operator and its plugin connect from outside the mesh. Their connections have TLS of their own
(istio.io/latest/docs/reference/config/labels)."""

ARCHIVE_FOLDER = "cloudnative-pg"
"""In the backups bucket, next to the dumps."""

REPLACE_SECONDS = 1200
"""Time to replace a server: it waits 180 s for clients to disconnect, shuts down, starts and catches up
(cloudnative-pg.io/docs, API reference, `smartShutdownTimeout`). The operator itself allows an hour for a start."""

WAIT_UNTIL_READY = {"pulumi.com/waitFor": "condition=Ready"}


CLUSTER = "langfuse-postgres"


class CloudNativePgMode(PostgresMode[CloudNativePgPostgres]):
    """A primary and its replicas. The operator handles failover, and creates a PodDisruptionBudget.

    The write-ahead log is archived in the backups bucket at least every five minutes, the operator's default, together
    with base backups on the schedule of the dumps. The keys that write there can't delete: the bucket's lifecycle rule
    does.
    """

    def connection(self, refs: SecretRefs) -> PostgresConnection:
        """The Service of the primary."""
        return in_cluster_connection(
            f"{CLUSTER}-rw",
            self.config.version,
            refs["postgres_password"],
            pool=pool_size(self.settings, connections_in_memory(self.config.resources)),
            tls="require",
        )

    def flows(self) -> Sequence[Flow]:
        """No flows: the network policies of the operator's pods follow from `operator_pods`."""
        return []

    def pods(self) -> Sequence[Pods]:
        """A pod for each server."""
        return [
            Pods(
                name=self.name,
                replicas=self.config.instances,
                each=Requests.of(self.config.resources, self.config.storage),
            )
        ]

    @property
    def operator_pods(self) -> OperatorPods:
        """The pods that the operator creates, for servers and for Jobs."""
        return OperatorPods(
            name=self.name,
            selector={CLUSTER_LABEL: CLUSTER},
            namespace=self.settings.cluster.operators.cloudnative_pg,
            port=PORT,
            status_port=STATUS_PORT,
            clients=self.clients,
        )

    @property
    def exporter(self) -> Sequence[str]:
        """None: the operator's servers publish their own metrics."""
        return ()

    def metrics_connection(self, refs: SecretRefs) -> None:
        """No connection: there is no exporter."""

    def scrapes(self) -> Sequence[Scrape]:
        """The metrics of every server."""
        return [Scrape(server=self.name, port=METRICS_PORT, port_name="metrics", labels={CLUSTER_LABEL: CLUSTER})]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """The cluster, its archive and its scheduled base backups.

        The operator reads name and password of the role from the Secret of the password.
        """
        scope = Scope(self.installation.workload(self.name, component="database", version=self.config.version), opts)
        archive = custom_resource(
            scope,
            OBJECT_STORE_API_VERSION,
            "ObjectStore",
            archive_spec(context.object_store),
            resource_name=f"{CLUSTER}-archive",
        )
        hooks = pulumi.ResourceOptions(depends_on=[archive], hooks=same_major_release())
        hooks = pulumi.ResourceOptions.merge(hooks, pulumi.ResourceOptions(hooks=same_users(CLUSTER)))
        cluster = custom_resource(
            scope,
            API_VERSION,
            "Cluster",
            self.cluster_spec(context),
            annotations=WAIT_UNTIL_READY,
            opts=self.installation.stateful(pulumi.ResourceOptions.merge(hooks, self._wait())),
        )
        custom_resource(
            scope,
            API_VERSION,
            "ScheduledBackup",
            scheduled_backup_spec(self.settings.backups.postgres_schedule),
            resource_name=f"{CLUSTER}-backup",
            opts=pulumi.ResourceOptions(depends_on=[cluster]),
        )
        return [cluster]

    def _wait(self) -> pulumi.ResourceOptions:
        """How long an update waits for the operator, which replaces one server at a time."""
        return await_options(self.config.instances * (PLACEMENT_SECONDS + REPLACE_SECONDS), grace=REPLACE_SECONDS)

    def cluster_spec(self, context: StoreContext) -> dict[str, object]:
        """The specification of the cluster. The operator creates restricted pods with a read-only root file system."""
        config, storage_class = self.config, self.installation.storage_class
        secrets, image = self.settings.images.pull_secrets, images.cloudnative_pg(config.version)
        uid, priority = self.settings.images.uid(image), self.installation.priority_classes.stores
        return {
            "bootstrap": {
                "initdb": {
                    "database": DATABASE,
                    "owner": ROLE,
                    "secret": {"name": context.refs["postgres_password"].name},
                    "dataChecksums": True,
                    "encoding": "UTF8",
                    **locale(config.version),
                }
            },
            "enablePDB": True,
            "enableSuperuserAccess": False,
            "inheritedMetadata": {"labels": OUTSIDE_MESH},
            "imageName": self.settings.images.reference(image),
            **({"imagePullSecrets": [{"name": name} for name in secrets]} if secrets else {}),
            "instances": config.instances,
            "plugins": [{"name": PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": CLUSTER}}],
            **({"postgresUID": uid, "postgresGID": uid} if uid else {}),
            **({"priorityClassName": priority} if priority else {}),
            "postgresql": {"parameters": parameters(config)},
            "primaryUpdateStrategy": "unsupervised",
            "resources": {**requirements(config.resources)},
            "seccompProfile": {"type": "RuntimeDefault"},
            "serviceAccountTemplate": {"metadata": {"annotations": {**context.object_store.account_annotations}}},
            "storage": {
                "size": config.storage,
                "resizeInUseVolumes": True,
                **({"storageClass": storage_class} if storage_class else {}),
            },
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {CLUSTER_LABEL: CLUSTER}},
                }
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
        }


def locale(version: str) -> dict[str, str]:
    """The locale of new databases."""
    if major(version) >= BUILTIN_LOCALE:
        return {"localeProvider": "builtin", "builtinLocale": "C.UTF-8"}
    return {"localeCollate": "C.UTF-8", "localeCType": "C.UTF-8"}


def scheduled_backup_spec(schedule: str) -> dict[str, object]:
    """Base backups on a schedule of five fields, in UTC."""
    return {
        "backupOwnerReference": "self",
        "cluster": {"name": CLUSTER},
        "immediate": True,
        "method": "plugin",
        "pluginConfiguration": {"name": PLUGIN},
        "schedule": with_seconds(schedule),
    }


def archive_spec(store: ObjectStoreConnection) -> dict[str, object]:
    """Where the log and base backups are stored. The plugin adds a folder with the name of the cluster."""
    bucket = store.buckets["backups"]
    credentials: dict[str, JsonValue] = {"inheritFromIAMRole": True}
    if bucket.access_key_id and bucket.secret_access_key:
        credentials = {
            key: {"name": ref.name, "key": ref.key}
            for key, ref in (("accessKeyId", bucket.access_key_id), ("secretAccessKey", bucket.secret_access_key))
        }
    compression: dict[str, JsonValue] = {"compression": "gzip"}
    return {
        "configuration": {
            "destinationPath": f"s3://{bucket.name}/{ARCHIVE_FOLDER}",
            "endpointURL": store.endpoint.http_url,
            "s3Credentials": credentials,
            "data": compression,
            "wal": compression,
        },
        "instanceSidecarConfiguration": {
            "env": [{"name": "AWS_REGION", "value": store.region}],
            "resources": {**requirements(JOB_RESOURCES)},
        },
    }


def parameters(settings: CloudNativePgPostgres) -> Mapping[str, str]:
    """Settings that differ from the operator's defaults, for the reasons in `config/postgresql.conf`."""
    memory = memory_megabytes(settings.resources)
    return {
        "shared_buffers": f"{memory['shared_buffers_mb']}MB",
        "effective_cache_size": f"{memory['effective_cache_mb']}MB",
        "maintenance_work_mem": f"{memory['maintenance_work_mb']}MB",
        "work_mem": "4MB",
        "log_lock_waits": "on",
        "log_min_duration_statement": "5s",
        "max_connections": str(max_connections(settings.resources)),
        "max_wal_size": f"{log_megabytes(settings.storage)}MB",
        "checkpoint_timeout": "10min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "wal_compression": "on",
    }
