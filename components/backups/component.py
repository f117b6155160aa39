"""Backups: one CronJob for each database writes to the backups bucket, where they expire after their retention."""

import math
from collections.abc import Sequence
from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import JOB_RESOURCES, TMP, Container, Mount, container, pod
from components.schema import images
from components.schema.base import Resources
from components.schema.stores import ExternalPostgres
from components.schema.stores import Postgres as PostgresSettings
from components.schema.values import quantity_value
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    clickhouse_environment,
    object_store_environment,
    postgres_environment,
)
from components.stores.connections import ClickHouseConnection

SCRIPTS = Path(__file__).parent / "scripts"

WAIT_SECONDS = 300
DEADLINE_SECONDS = 6 * 3600
GRACE_SECONDS = 30
CLIENT_PATH = "/client"
CA_BUNDLE_PATH = f"{CLIENT_PATH}/ca-bundle.pem"
"""CA bundle of the image of the object store's client. The image of Postgres has none."""

MINIMUM_BYTES = 1024
"""A dump of an empty database is larger. A smaller file means that nothing was dumped."""

MOST_PARTS = 10_000
"""Parts of an object in S3. The size of a streamed dump is unknown, so the size of a part limits that of the dump."""

SMALLEST_PART_MEBIBYTES = 64
"""For dumps of up to 625 GiB. The client holds one part in memory (minio-go, api-put-object-common.go)."""

DUMP_MEBIBYTES = 512
"""For pg_dump, the object store's client, and the commands that measure the stream."""


class Backups(pulumi.ComponentResource):
    """Every backup ends with a marker, `.complete`, which is written last. A backup without it is incomplete.

    Nothing here deletes backups: the keys can't, and the bucket's lifecycle rule does.
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
        bucket = context.stores.object_store.buckets["backups"].name
        self.register_outputs({"bucket": bucket, "retentionDays": settings.retention_days})  # for policies on the stack


def _postgres(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    postgres, object_store = context.stores.postgres, context.stores.object_store
    workload = context.installation.workload("backup-postgres", component="backup", version=postgres.version)
    scope = Scope(workload, opts)
    account = service_account(scope, object_store.account_annotations)
    files = {
        **read_scripts(SCRIPTS, "copy-client.sh", "backup-postgres.sh"),
        **read_scripts(CLIENT_SCRIPTS, "copy-ca-bundle.sh"),
    }
    scripts = scripts_mount(scope, files)
    client = Mount.scratch("client", CLIENT_PATH, size="128Mi")
    copy = container(
        "client",
        images.MINIO_CLIENT,
        command=run_script("copy-client.sh"),
        resources=JOB_RESOURCES,
        mounts=[scripts, client],
        env={"CLIENT_DIR": client.path},
    )
    mounts = [scripts, client, *context.ca_bundles]
    template = pod(
        workload,
        [_dump(context, mounts)],
        init_containers=[copy],
        fs_group=images.postgres(postgres.version).uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        restart_policy="Never",
    )
    cron_job(scope, template, context.settings.backups.postgres_schedule, deadline_seconds=DEADLINE_SECONDS)


def part_mebibytes(postgres: PostgresSettings) -> int:
    """The size of the parts of a dump: a full volume fits."""
    full = 0 if isinstance(postgres, ExternalPostgres) else quantity_value(postgres.storage)
    return max(SMALLEST_PART_MEBIBYTES, math.ceil(full / MOST_PARTS / 1024**2))


def _dump(context: ApplicationContext, mounts: Sequence[Mount]) -> Container:
    postgres, object_store = context.stores.postgres, context.stores.object_store
    bucket, part = object_store.buckets["backups"], part_mebibytes(context.settings.postgres)
    return container(
        # Not `dump`, the name of an init container of earlier releases. A dry run keeps that one, because its fields
        # belong to another manager, and the API server refuses two containers with the same name.
        "backup",
        images.postgres(postgres.version),  # pg_dump refuses a newer server
        command=run_script("backup-postgres.sh"),
        resources=Resources(cpu="100m", cpu_limit="2", memory=f"{DUMP_MEBIBYTES + 4 * part}Mi"),
        mounts=mounts,
        env={
            **postgres_environment(postgres, ca_bundle=CA_BUNDLE_PATH),
            **object_store_environment(object_store, f"{CLIENT_PATH}/config"),
            **bucket.keys(""),
            "SSL_CERT_FILE": CA_BUNDLE_PATH,
            "BUCKET": bucket.name,
            "CLIENT_DIR": CLIENT_PATH,
            "MINIMUM_BYTES": str(MINIMUM_BYTES),
            "PART_SIZE": f"{part}MiB",
            "WAIT_SECONDS": str(WAIT_SECONDS),
        },
    )


def _clickhouse(context: ApplicationContext, clickhouse: ClickHouseConnection, opts: pulumi.ResourceOptions) -> None:
    image = images.clickhouse(clickhouse.client_version)
    workload = context.installation.workload("backup-clickhouse", component="backup", version=image.tag)
    scope = Scope(workload, opts)
    account = service_account(scope)
    mounts = [scripts_mount(scope, read_scripts(SCRIPTS, "backup-clickhouse.sh")), TMP]
    backup = container(
        "backup",
        image,
        command=run_script("backup-clickhouse.sh"),
        resources=CLICKHOUSE_CLIENT_RESOURCES,
        mounts=mounts,
        env={**clickhouse_environment(clickhouse), "WAIT_SECONDS": str(WAIT_SECONDS)},
    )
    template = pod(
        workload,
        [backup],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        restart_policy="Never",
    )
    cron_job(scope, template, context.settings.backups.clickhouse_schedule, deadline_seconds=DEADLINE_SECONDS)
