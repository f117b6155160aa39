"""Drills: CronJobs that restore the newest set into servers of their own, and compare it with its manifest.

Each server runs in the pod of its drill and listens at no address that others can reach. A drill has the keys that read
backups and write verdicts, and no password of a server in use; its network rules lead to the object store only.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.backups.component import client_environment, client_volume, copy_client
from components.backups.steps import SCRIPTS, WORK, step, step_scripts, steps_pod
from components.kubernetes.files import read_config, read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options, config_map
from components.kubernetes.pods import TMP, Container, Mount, container
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.stores import ExternalPostgres, ManagedClickHouse
from components.schema.values import quantity_value
from components.stores.clickhouse.cluster import NATIVE_PORT, backups_configuration
from components.stores.clickhouse.files import configuration_mount
from components.stores.clickhouse.memory import server_memory_configuration
from components.stores.clients import CLIENT_SCRIPTS, bucket_client_environment
from components.stores.connections import ObjectStoreConnection
from components.stores.contract import DRILL_CLICKHOUSE, DRILL_POSTGRES
from components.stores.postgres.managed import INITIALIZE, SOCKET_PATH, initdb_arguments
from components.stores.postgres.managed import SCRIPTS as POSTGRES_SCRIPTS
from components.stores.postgres.mode import DATABASE, ROLE

CONFIG = Path(__file__).parent / "config"

DATA_PATH = "/data"
CLICKHOUSE_DATA_PATH = "/var/lib/clickhouse"
CONFIG_PATH = "/etc/clickhouse"

DEADLINE_SECONDS = 24 * 3600
"""2 TB at 25 MB/s."""

WAIT_SECONDS = 300
GRACE_SECONDS = 60
"""Time to stop the server and to delete the data."""

KEEP_VOLUME_SECONDS = 24 * 3600
"""How long a finished run is kept if its pod has a volume of its own, which is deleted with the pod."""

POSTGRES_MEMORY = "1Gi"
"""For the server, pg_restore and the object store's client (`drill-postgres.sh` has the settings of the server)."""

MOST_CLICKHOUSE_MEMORY = "4Gi"
"""A restore copies files, and a check reads them in blocks."""

EXTERNAL_STORAGE = "20Gi"
"""The volume for the database of an external server, if `backups.drillStorage` does not say otherwise."""


class Drills(pulumi.ComponentResource):
    """A CronJob for each database that a Job of this stack backs up."""

    def __init__(self, name: str, context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            opts: Options of the component.
        """
        super().__init__("langfuse:index:Drills", name, {}, opts)
        child = child_options(self, opts)
        _postgres(context, child)
        if isinstance(context.settings.clickhouse, ManagedClickHouse):
            _clickhouse(context, context.settings.clickhouse, child)
        self.register_outputs({})


def postgres_storage(settings: Settings) -> str:
    """The size of the volume that takes the restored database of Postgres."""
    postgres = settings.postgres
    own = EXTERNAL_STORAGE if isinstance(postgres, ExternalPostgres) else postgres.storage
    return settings.backups.drill_storage or own


def clickhouse_memory(config: ManagedClickHouse) -> str:
    """The memory of the server of the drill: that of the server in use, up to a limit."""
    return min(config.resources.memory, MOST_CLICKHOUSE_MEMORY, key=quantity_value)


def _volume(settings: Settings, path: str, storage: str) -> Mount:
    """Where the restored data is.

    Without a StorageClass, it is a directory on the node, which is deleted when the pod ends. The class of the stores
    may retain the volumes of every run, so it is not used.
    """
    if settings.backups.drill_storage_class is None:
        return Mount.scratch("data", path, size=storage)
    return Mount.ephemeral("data", path, size=storage, storage_class=settings.backups.drill_storage_class)


def _resources(settings: Settings, memory: str, storage: str) -> Resources:
    """What the server may use. A directory on the node counts as ephemeral storage of the container."""
    is_on_node = settings.backups.drill_storage_class is None
    on_node = math.ceil(quantity_value(storage) / 1024**3) if is_on_node else 0
    return Resources(cpu="100m", cpu_limit="2", memory=memory, ephemeral_storage=f"{on_node + 1}Gi")


def _postgres(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    settings, object_store, refs = context.settings, context.stores.object_store, context.refs
    postgres, bucket = context.stores.postgres, object_store.read_backups
    scope, scripts = _scope(context, DRILL_POSTGRES, postgres.version, opts, _postgres_scripts())
    storage = postgres_storage(settings)
    mounts = [
        scripts,
        client_volume(),
        Mount.scratch("run", SOCKET_PATH),
        _volume(settings, DATA_PATH, storage),
        TMP,
        WORK,
    ]
    restore = container(
        "restore",
        images.postgres(postgres.version),
        command=run_script("drill-postgres.sh"),
        resources=_resources(settings, POSTGRES_MEMORY, storage),
        mounts=mounts,
        env={
            **client_environment(object_store, bucket),
            "WORK_DIR": WORK.path,
            "PGDATA": f"{DATA_PATH}/pgdata",
            "PGHOST": SOCKET_PATH,
            "POSTGRES_INITDB_ARGS": initdb_arguments(postgres.version),
            "APPLICATION_ROLE": ROLE,  # that of an external server may be called postgres
            "APPLICATION_DATABASE": DATABASE,
            "PUBLIC_KEY": refs["public_key"],
            "TZ": "UTC",
        },
    )
    keys: Environment = {
        "ENCRYPTION_KEY": refs["encryption_key"],
        "SALT": refs["salt"],
        "SECRET_KEY": refs["secret_key"],
    }
    begin, judge = _steps(context, "postgres", postgres.version, scripts)
    steps = [copy_client(scripts, mounts[1]), begin, restore, step("keys", context, "check-keys.js", [scripts], keys)]
    _cron_job(context, scope, [*steps, judge], mounts)


def _postgres_scripts() -> dict[str, str]:
    return {
        **read_scripts(SCRIPTS, "copy-client.sh", "drill-postgres.sh", "rclone-remotes.sh"),
        **read_scripts(CLIENT_SCRIPTS, "copy-ca-bundle.sh"),
        **read_scripts(POSTGRES_SCRIPTS, *INITIALIZE),
        **step_scripts("begin-drill.js", "fingerprint-keys.js", "check-keys.js", "judge-drill.js"),
    }


def _clickhouse(context: ApplicationContext, config: ManagedClickHouse, opts: pulumi.ResourceOptions) -> None:
    settings, object_store = context.settings, context.stores.object_store
    image, bucket = images.clickhouse(config.version), object_store.read_backups
    files = {**read_scripts(SCRIPTS, "drill-clickhouse.sh"), **step_scripts("begin-drill.js", "judge-drill.js")}
    scope, scripts = _scope(context, DRILL_CLICKHOUSE, image.tag, opts, files)
    memory = clickhouse_memory(config)
    mounts = [
        scripts,
        _configuration(scope, object_store, memory),
        _volume(settings, CLICKHOUSE_DATA_PATH, config.storage),
        TMP,
        WORK,
    ]
    restore = container(
        "restore",
        image,
        command=run_script("drill-clickhouse.sh"),
        resources=_resources(settings, memory, config.storage),
        mounts=mounts,
        env={
            "BACKUPS_URL": object_store.bucket_url("backups"),
            **bucket.keys("BACKUPS_"),
            "CONFIG_FILE": f"{CONFIG_PATH}/config.xml",
            "DATA_DIR": CLICKHOUSE_DATA_PATH,
            "WORK_DIR": WORK.path,
            "CLICKHOUSE_HOST": "127.0.0.1",
            "CLICKHOUSE_PORT": str(NATIVE_PORT),
            "CLICKHOUSE_DATABASE": "default",
            # Signals reach the server itself, not a supervisor process.
            "CLICKHOUSE_WATCHDOG_ENABLE": "0",
            "WAIT_SECONDS": str(WAIT_SECONDS),
            "HOME": TMP.path,
            "TZ": "UTC",
        },
    )
    begin, judge = _steps(context, "clickhouse", config.version, scripts)
    _cron_job(context, scope, [begin, restore, judge], mounts)


def _configuration(scope: Scope, object_store: ObjectStoreConnection, memory: str) -> Mount:
    has_keys = object_store.read_backups.access_key_id is not None
    backups = replace(object_store, identity=None) if has_keys else object_store
    files = {
        "config.xml": read_config(CONFIG / "clickhouse.xml"),
        "users.xml": read_config(CONFIG / "users.xml"),
        "backups.xml": backups_configuration(backups),
        "memory.xml": server_memory_configuration(memory),
    }
    paths = {"config.xml": "config.xml", "users.xml": "users.xml"}
    added = {name: f"config.d/{name}" for name in ("backups.xml", "memory.xml")}
    return configuration_mount(config_map(scope, "config", files).metadata.name, CONFIG_PATH, {**paths, **added})


def _scope(
    context: ApplicationContext, name: str, version: str, opts: pulumi.ResourceOptions, files: dict[str, str]
) -> tuple[Scope, Mount]:
    scope = Scope(context.installation.workload(name, component="restore-drill", version=version), opts)
    return scope, scripts_mount(scope, files)


def _steps(context: ApplicationContext, store: str, server: str, scripts: Mount) -> tuple[Container, Container]:
    """The steps before and after the restore. The rules and the verdict need Node."""
    object_store = context.stores.object_store
    bucket = bucket_client_environment(object_store, object_store.read_backups)
    begin = {"STORE": store, "SERVER": server, "SET_ID": "", **bucket}
    return (
        step("begin", context, "begin-drill.js", [scripts], begin),
        step("judge", context, "judge-drill.js", [scripts], {"STORE": store, **bucket}),
    )


def _cron_job(
    context: ApplicationContext, scope: Scope, containers: Sequence[Container], mounts: Sequence[Mount]
) -> None:
    """The CronJob. The last container writes the verdict."""
    settings, annotations = context.settings.backups, context.stores.object_store.reader_annotations
    template = steps_pod(context, scope, containers, mounts, annotations, grace_seconds=GRACE_SECONDS)
    kept = {} if settings.drill_storage_class is None else {"keep_seconds": KEEP_VOLUME_SECONDS}
    cron_job(scope, template, settings.drill_schedule, deadline_seconds=DEADLINE_SECONDS, checks=True, **kept)
