"""Postgres as a cluster that the CloudNativePG operator runs (cloudnative-pg.io).

The operator, its Barman Cloud plugin and cert-manager are the cluster's: without them the API server knows no
`Cluster` of postgresql.cnpg.io/v1 or no `ObjectStore` of barmancloud.cnpg.io/v1, and the update ends with saying so.
"""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
from pydantic import JsonValue

from components.kubernetes.installation import Installation
from components.kubernetes.pods import JOB_RESOURCES, requirements
from components.kubernetes.variables import SecretRef
from components.schema import images
from components.schema.schedules import with_seconds
from components.schema.stores import CloudNativePgPostgres
from components.stores.connections import ObjectStoreConnection
from components.stores.postgres.release import major, same_major_release
from components.stores.postgres.server import BUILTIN_LOCALE, DATABASE, ROLE, memory_megabytes

API_VERSION = "postgresql.cnpg.io/v1"
OBJECT_STORE_API_VERSION = "barmancloud.cnpg.io/v1"
PLUGIN = "barman-cloud.cloudnative-pg.io"

OPERATOR_NAMESPACE = "cnpg-system"
"""Where the operator's own manifest puts it."""

STATUS_PORT = 8000
"""Where the operator asks each server for its state."""

CLUSTER_LABEL = "cnpg.io/cluster"
"""The label of the operator's pods whose value is the cluster's name."""

ROLE_LABEL = "cnpg.io/instanceRole"
"""`primary` or `replica` (cloudnative-pg.io/docs, Labels and annotations)."""

OUTSIDE_MESH: Mapping[str, JsonValue] = {"istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "false"}
"""The operator and its plugin reach the servers from outside any mesh; everything that they say is encrypted by TLS of
their own (istio.io/latest/docs/reference/config/labels)."""

ARCHIVE_FOLDER = "cloudnative-pg"
"""In the backups bucket, beside the dumps."""

WAIT_UNTIL_READY = {"pulumi.com/waitFor": "condition=Ready"}


def postgres_cluster(  # a cluster has this many independent parts
    installation: Installation,
    settings: CloudNativePgPostgres,
    password: SecretRef,
    object_store: ObjectStoreConnection,
    schedule: str,
    child: pulumi.ResourceOptions,
) -> k8s.apiextensions.CustomResource:
    """A primary and its followers; the operator promotes another, and gives them a PodDisruptionBudget.

    The log goes to the backups bucket at least every five minutes, the operator's default, beside base backups on the
    schedule of the dumps. Nothing there is deleted by the keys that write it: the bucket's lifecycle rule does.

    Args:
        installation: Gives the namespace, and whether data is protected.
        settings: How many servers of which size.
        password: In a Secret that has the role's name under `username`, where the operator reads both.
        object_store: For the archive of the log and for base backups.
        schedule: Of base backups: cron, UTC, five fields.
        child: Resource options.
    """
    workload = installation.workload("postgres", component="database", version=settings.version)
    name = workload.resource_name
    archive = k8s.apiextensions.CustomResource(
        f"{name}-archive",
        api_version=OBJECT_STORE_API_VERSION,
        kind="ObjectStore",
        metadata=installation.metadata(workload, name=name),
        spec=archive_spec(object_store),
        opts=child,
    )
    cluster = k8s.apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind="Cluster",
        metadata=installation.metadata(workload, name=name, annotations=WAIT_UNTIL_READY),
        spec=cluster_spec(installation, name, settings, password, object_store.account_annotations),
        opts=pulumi.ResourceOptions.merge(
            installation.stateful(child), pulumi.ResourceOptions(depends_on=[archive], hooks=same_major_release())
        ),
    )
    k8s.apiextensions.CustomResource(
        f"{name}-backup",
        api_version=API_VERSION,
        kind="ScheduledBackup",
        metadata=installation.metadata(workload, name=name),
        spec={
            "backupOwnerReference": "self",
            "cluster": {"name": name},
            "immediate": True,
            "method": "plugin",
            "pluginConfiguration": {"name": PLUGIN},
            "schedule": with_seconds(schedule),
        },
        opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[cluster])),
    )
    return cluster


def cluster_psql_command(installation: Installation) -> str:
    """How a person reaches the primary: the operator labels it, and may promote another at any time."""
    kubectl = f"kubectl --namespace {installation.namespace}"
    selector = f"{CLUSTER_LABEL}=langfuse-postgres,{ROLE_LABEL}=primary"
    primary = f"$({kubectl} get pod --output name --selector {selector})"
    return f"{kubectl} exec {primary} --container postgres -- psql --dbname {DATABASE}"


def cluster_spec(
    installation: Installation,
    name: str,
    settings: CloudNativePgPostgres,
    password: SecretRef,
    identity: Mapping[str, str],
) -> dict[str, object]:
    """The specification of the cluster. The operator makes its pods restricted, with a read-only root file system."""
    locale = (
        {"localeProvider": "builtin", "builtinLocale": "C.UTF-8"}
        if major(settings.version) >= BUILTIN_LOCALE
        else {"localeCollate": "C.UTF-8", "localeCType": "C.UTF-8"}
    )
    return {
        "bootstrap": {
            "initdb": {
                "database": DATABASE,
                "owner": ROLE,
                "secret": {"name": password.name},
                "dataChecksums": True,
                "encoding": "UTF8",
                **locale,
            }
        },
        "enablePDB": True,
        "enableSuperuserAccess": False,
        "inheritedMetadata": {"labels": OUTSIDE_MESH},
        "imageName": images.cloudnative_pg(settings.version),
        "instances": settings.instances,
        "plugins": [{"name": PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": name}}],
        "postgresql": {"parameters": parameters(settings)},
        "primaryUpdateStrategy": "unsupervised",
        "resources": {**requirements(settings.resources)},
        "seccompProfile": {"type": "RuntimeDefault"},
        "serviceAccountTemplate": {"metadata": {"annotations": {**identity}}},
        "storage": {
            "size": settings.storage,
            "resizeInUseVolumes": True,
            **({"storageClass": installation.storage_class} if installation.storage_class else {}),
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {CLUSTER_LABEL: name}},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }


def archive_spec(store: ObjectStoreConnection) -> dict[str, object]:
    """Where the log and base backups go. The plugin names the folder below after the cluster."""
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
    """What differs from the operator's own for the same reasons as in `config/postgresql.conf`."""
    memory = memory_megabytes(settings.resources)
    return {
        "shared_buffers": f"{memory['shared_buffers_mb']}MB",
        "effective_cache_size": f"{memory['effective_cache_mb']}MB",
        "maintenance_work_mem": f"{memory['maintenance_work_mb']}MB",
        "log_lock_waits": "on",
        "log_min_duration_statement": "5s",
        "max_connections": "200",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "10min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "wal_compression": "on",
    }
