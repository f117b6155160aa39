"""Backup sets: one CronJob backs up ClickHouse, and one makes sets. docs/decisions/backup-sets.md explains both."""

import math
from collections.abc import Sequence

import pulumi

from components.application.component import ApplicationContext
from components.backups.steps import SCRIPTS, WORK, keep_environment, step, step_scripts, steps_pod
from components.backups.verification import verification
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options
from components.kubernetes.pods import JOB_RESOURCES, TMP, Container, Mount, container
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.stores import ExternalPostgres
from components.schema.stores import Postgres as PostgresSettings
from components.schema.values import quantity_value
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    bucket_client_environment,
    clickhouse_environment,
    postgres_environment,
)
from components.stores.connections import Bucket, ClickHouseConnection, ObjectStoreConnection
from components.stores.contract import RETENTION
from components.stores.modes import StoreModes

WAIT_SECONDS = 300
DEADLINE_SECONDS = 6 * 3600
BUSY_SECONDS = 2 * 3600
"""How long a backup of ClickHouse waits for another one. The Job's deadline leaves time for its own."""
BUSY_PAUSE_SECONDS = 30
CLIENT_PATH = "/client"
CA_BUNDLE_PATH = f"{CLIENT_PATH}/ca-bundle.pem"
"""CA bundle of the image of the object store's client. The image of Postgres has none."""

CLIENT_VOLUME_SIZE = "256Mi"
"""rclone's official image has a program of about 80 MiB."""

MINIMUM_BYTES = 1024
"""A dump of an empty database is larger. A smaller file means that nothing was dumped."""

MOST_PARTS = 10_000
"""Parts of an object in S3. The size of a streamed dump is unknown, so the size of a part limits that of the dump."""

SMALLEST_PART_MEBIBYTES = 64
"""For dumps of up to 625 GiB. rclone holds two parts in memory (`backup-postgres.sh`)."""

DUMP_MEBIBYTES = 512
"""For pg_dump, the object store's client, and the commands that measure the stream."""


class Backups(pulumi.ComponentResource):
    """A folder in the bucket counts only with its manifest, `.complete`, which is written last.

    The keys that write can't delete, and those that delete can't write.
    """

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        opts: pulumi.ResourceOptions,
        *,
        clickhouse: ClickHouseConnection | None,
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            opts: Options of the component.
            clickhouse: For the user that backs up; None if the provider of an external server does.
        """
        settings = context.settings.backups
        super().__init__("langfuse:index:Backups", name, settings.model_dump(), opts)
        child = child_options(self, opts)
        _postgres(context, child)
        if clickhouse:
            _clickhouse(context, clickhouse, child)
        if prune := context.stores.object_store.prune:
            _retention(context, prune, child)
        verification(context, child)
        bucket = context.stores.object_store.buckets["backups"].name
        days = settings.keep.days if prune else settings.retention_days
        # For policies on the stack.
        self.register_outputs(
            {
                "bucket": bucket,
                "retentionDays": days,
                "beforeUpgrade": settings.before_upgrade,
                "providers": provided(context.settings),
            }
        )


def provided(settings: Settings) -> dict[str, str]:
    """What the configuration says about the backups of each store that its provider backs up; empty if nothing."""
    modes, said = StoreModes.of(settings), settings.backups.providers
    by = {"clickhouse": modes.clickhouse.backed_up_by, "objectStore": modes.object_store.backed_up_by}
    texts = {"clickhouse": said.clickhouse, "objectStore": said.object_store}
    return {store: text or "" for store, text in texts.items() if by[store] == "provider"}


def _postgres(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    postgres, object_store = context.stores.postgres, context.stores.object_store
    workload = context.installation.workload("backup-postgres", component="backup", version=postgres.version)
    scope = Scope(workload, opts)
    scripts = scripts_mount(scope, set_scripts())
    client = client_volume()
    mounts = [scripts, client, WORK, *context.ca_bundles]
    steps = [copy_client(scripts, client), *set_steps(context, mounts)]
    template = steps_pod(context, scope, steps, mounts, object_store.account_annotations)
    cron_job(scope, template, context.settings.backups.postgres_schedule, deadline_seconds=DEADLINE_SECONDS)


def set_scripts() -> dict[str, str]:
    """The scripts of `copy_client` and `set_steps`, as the data of a ConfigMap."""
    return {
        **read_scripts(SCRIPTS, "copy-client.sh", "backup-postgres.sh", "rclone-remotes.sh"),
        **read_scripts(CLIENT_SCRIPTS, "copy-ca-bundle.sh"),
        **step_scripts("begin-backup.js", "fingerprint-keys.js", "list-media.js", "finish-set.js"),
    }


def set_steps(context: ApplicationContext, mounts: Sequence[Mount]) -> Sequence[Container]:
    """The steps that make a set, after `copy_client`.

    Args:
        context: Settings, stores and credentials.
        mounts: All volumes, first the scripts.
    """
    scripts = mounts[0]
    return [*_begin_set(context, scripts), _dump(context, mounts), _finish_set(context, scripts)]


def client_volume() -> Mount:
    """The volume with the object store's client."""
    return Mount.scratch("client", CLIENT_PATH, size=CLIENT_VOLUME_SIZE)


def copy_client(scripts: Mount, client: Mount) -> Container:
    """The step that copies the object store's client for a container with another image."""
    return container(
        "client",
        images.RCLONE,
        command=run_script("copy-client.sh"),
        resources=JOB_RESOURCES,
        mounts=[scripts, client],
        env={"CLIENT_DIR": client.path},
    )


def client_environment(object_store: ObjectStoreConnection, bucket: Bucket) -> Environment:
    """The environment of the object store's client that `copy_client` copied, for one bucket."""
    return {
        **bucket_client_environment(object_store, bucket),
        "GOMAXPROCS": "2",
        "GOMEMLIMIT": "200MiB",
        "SSL_CERT_FILE": CA_BUNDLE_PATH,
        "CLIENT_DIR": CLIENT_PATH,
    }


def _begin_set(context: ApplicationContext, scripts: Mount) -> Sequence[Container]:
    """The steps before the dump. Each has only the keys that it needs."""
    object_store, refs = context.stores.object_store, context.refs
    begin = {"STORE": "postgres", "DATABASE": context.stores.postgres.database}
    keys = {"ENCRYPTION_KEY": refs["encryption_key"], "SALT": refs["salt"]}
    media = bucket_client_environment(object_store, object_store.buckets["media"])
    backups = bucket_client_environment(object_store, object_store.buckets["backups"])
    return [
        step("begin", context, "begin-backup.js", [scripts], {**begin, **backups}),
        step("keys", context, "fingerprint-keys.js", [scripts], keys),
        step("media", context, "list-media.js", [scripts], media),
    ]


def _finish_set(context: ApplicationContext, scripts: Mount) -> Container:
    settings, object_store = context.settings, context.stores.object_store
    environment = {
        **bucket_client_environment(object_store, object_store.buckets["backups"]),
        "INSTANCE": settings.instance,
        "LANGFUSE_VERSION": settings.version,
        "CLICKHOUSE_BACKED_UP_BY": StoreModes.of(settings).clickhouse.backed_up_by or "none",
    }
    return step("finish", context, "finish-set.js", [scripts], environment)


def part_mebibytes(postgres: PostgresSettings) -> int:
    """The size of the parts of a dump: a full volume fits."""
    full = 0 if isinstance(postgres, ExternalPostgres) else quantity_value(postgres.storage)
    return max(SMALLEST_PART_MEBIBYTES, math.ceil(full / MOST_PARTS / 1024**2))


def _dump(context: ApplicationContext, mounts: Sequence[Mount]) -> Container:
    postgres, object_store = context.stores.postgres, context.stores.object_store
    bucket, part = object_store.buckets["backups"], part_mebibytes(context.settings.postgres)
    return container(
        # Neither `dump` nor `backup`, the names of containers of earlier releases. A dry run keeps those, because
        # their fields belong to another manager, and the API server refuses two containers with the same name.
        "write-dump",
        images.postgres(postgres.version),  # pg_dump refuses a newer server
        command=run_script("backup-postgres.sh"),
        resources=Resources(cpu="100m", cpu_limit="2", memory=f"{DUMP_MEBIBYTES + 4 * part}Mi"),
        mounts=mounts,
        env={
            **postgres_environment(postgres, ca_bundle=CA_BUNDLE_PATH),
            **client_environment(object_store, bucket),
            "GOMEMLIMIT": f"{200 + 2 * part}MiB",
            "WORK_DIR": WORK.path,
            "MINIMUM_BYTES": str(MINIMUM_BYTES),
            "PART_SIZE": f"{part}Mi",
            "WAIT_SECONDS": str(WAIT_SECONDS),
        },
    )


def _clickhouse(context: ApplicationContext, clickhouse: ClickHouseConnection, opts: pulumi.ResourceOptions) -> None:
    object_store, schedule = context.stores.object_store, context.settings.backups.clickhouse_schedule
    tag = images.clickhouse(clickhouse.client_version).tag
    workload = context.installation.workload("backup-clickhouse", component="backup", version=tag)
    scope = Scope(workload, opts)
    mounts = [scripts_mount(scope, clickhouse_scripts()), TMP, WORK]
    steps = clickhouse_steps(context, clickhouse, mounts)
    template = steps_pod(context, scope, steps, mounts, object_store.account_annotations)
    cron_job(scope, template, schedule, deadline_seconds=DEADLINE_SECONDS)


def clickhouse_scripts() -> dict[str, str]:
    """The scripts of `clickhouse_steps`, as the data of a ConfigMap."""
    return {
        **read_scripts(SCRIPTS, "backup-clickhouse.sh"),
        **step_scripts("begin-backup.js", "finish-clickhouse.js"),
    }


def clickhouse_steps(
    context: ApplicationContext, clickhouse: ClickHouseConnection, mounts: Sequence[Mount]
) -> Sequence[Container]:
    """The steps that back up ClickHouse.

    Args:
        context: Settings, stores and credentials.
        clickhouse: For the user that backs up.
        mounts: First the scripts; `TMP` and `WORK`.
    """
    scripts, object_store = mounts[0], context.stores.object_store
    backups = bucket_client_environment(object_store, object_store.buckets["backups"])
    begin = {"STORE": "clickhouse", "DATABASE": clickhouse.database, **backups}
    backup = container(
        "write-backup",  # not `backup`: see `_dump`
        images.clickhouse(clickhouse.client_version),
        command=run_script("backup-clickhouse.sh"),
        resources=CLICKHOUSE_CLIENT_RESOURCES,
        mounts=mounts,
        env={
            **clickhouse_environment(clickhouse),
            "WAIT_SECONDS": str(WAIT_SECONDS),
            "BUSY_SECONDS": str(BUSY_SECONDS),
            "BUSY_PAUSE_SECONDS": str(BUSY_PAUSE_SECONDS),
            "WORK_DIR": WORK.path,
        },
    )
    return [
        step("begin", context, "begin-backup.js", [scripts], begin),
        backup,
        step("finish", context, "finish-clickhouse.js", [scripts], backups),
    ]


def _retention(context: ApplicationContext, prune: Bucket, opts: pulumi.ResourceOptions) -> None:
    """Removes sets that are not kept, with keys that no other pod has."""
    settings, object_store = context.settings.backups, context.stores.object_store
    image = images.worker(context.settings.version)
    workload = context.installation.workload(RETENTION, component="retention", version=image.tag)
    scope = Scope(workload, opts)
    scripts = scripts_mount(scope, step_scripts("prune-sets.js"))
    environment = {
        **bucket_client_environment(object_store, prune),
        **keep_environment(settings),
        "DRY_RUN": "false",
    }
    template = steps_pod(
        context, scope, [step("prune", context, "prune-sets.js", [scripts], environment)], [scripts, WORK]
    )
    cron_job(scope, template, settings.prune_schedule, deadline_seconds=DEADLINE_SECONDS)
