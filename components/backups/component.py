"""Backups: one CronJob for each database, into the backups bucket, which forgets them after their retention."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts
from components.kubernetes.installation import Installation, child_options, config_map, service_account
from components.kubernetes.jobs import cron_job_spec, job_spec, run_script, scripts_mount
from components.kubernetes.labels import Workload
from components.kubernetes.pods import JOB_RESOURCES, Mount, PodTemplate, container, pod
from components.schema import images
from components.schema.application import Backups as BackupsSettings
from components.schema.base import Resources
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    clickhouse_environment,
    object_store_environment,
    postgres_environment,
)
from components.stores.connections import ClickHouseConnection, ObjectStoreConnection, PostgresConnection

SCRIPTS = Path(__file__).parent / "scripts"

WAIT_SECONDS = 300
DEADLINE_SECONDS = 6 * 3600
GRACE_SECONDS = 30
CLIENT_PATH = "/client"
AUTHORITIES_PATH = f"{CLIENT_PATH}/authorities.pem"
"""Certificates of public authorities, from the image of the object store's client: Postgres' image has none."""

MINIMUM_BYTES = 1024
"""A dump of an empty database is larger: less means that nothing was dumped."""

PART_SIZE = "64MiB"
"""The size of a dump is unknown while it is streamed, and S3 takes 10,000 parts: so a dump can have 625 GiB. The client
holds one part in memory (its default would be 528 MiB: minio-go, api-put-object-common.go)."""

DUMP_RESOURCES = Resources(cpu="100m", cpu_limit="2", memory="768Mi")
"""For pg_dump, the object store's client with its part, and what measures the stream."""


@dataclass(frozen=True, kw_only=True)
class BackupsArgs:
    """What the backups need."""

    installation: Installation
    settings: BackupsSettings
    postgres: PostgresConnection
    certificates: Sequence[Mount]
    """What Postgres' own certificate is checked against."""
    clickhouse: ClickHouseConnection | None
    """For the user that backs up; None if it isn't ours: the backups of ClickHouse Cloud, say, are its own."""
    object_store: ObjectStoreConnection

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class Backups(pulumi.ComponentResource):
    """Every backup ends with a marker, `.complete`, that is written after everything else: without it, it is none.

    Nothing here deletes: the keys can't, and the bucket's lifecycle rule does.
    """

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Backups", name, args.visible(), opts)
        self._args = args
        self._child = child_options(self, opts)
        self._postgres()
        if args.clickhouse:
            self._clickhouse(args.clickhouse)
        bucket, days = args.object_store.buckets["backups"].name, args.settings.retention_days
        self.register_outputs({"bucket": bucket, "retentionDays": days})  # policies see outputs alone

    def _postgres(self) -> None:
        args = self._args
        installation = args.installation
        workload = installation.workload("backup-postgres", component="backup", version=args.postgres.version)
        account = service_account(installation, workload, self._child, args.object_store.account_annotations)
        files = {
            **read_scripts(SCRIPTS, "copy-client.sh", "backup-postgres.sh"),
            **read_scripts(CLIENT_SCRIPTS, "copy-authorities.sh"),
        }
        scripts = scripts_mount(config_map(installation, workload, "scripts", files, self._child))
        client = Mount.scratch("client", CLIENT_PATH, size="128Mi")
        bucket = args.object_store.buckets["backups"]
        image = images.postgres(args.postgres.version)  # pg_dump refuses a newer server
        copy = container(
            "client",
            images.MINIO_CLIENT,
            command=run_script("copy-client.sh"),
            resources=JOB_RESOURCES,
            mounts=[scripts, client],
            env={"CLIENT_DIR": client.path},
        )
        backup = container(
            # Not `dump`: an init container of earlier releases. A dry run keeps that, as its fields belong to another
            # manager, and the API server refuses two containers of one name.
            "backup",
            image,
            command=run_script("backup-postgres.sh"),
            resources=DUMP_RESOURCES,
            mounts=[scripts, client, *args.certificates],
            env={
                **postgres_environment(args.postgres, authorities=AUTHORITIES_PATH),
                **object_store_environment(args.object_store, f"{client.path}/config"),
                **bucket.keys(""),
                "SSL_CERT_FILE": AUTHORITIES_PATH,
                "BUCKET": bucket.name,
                "CLIENT_DIR": client.path,
                "MINIMUM_BYTES": str(MINIMUM_BYTES),
                "PART_SIZE": PART_SIZE,
                "WAIT_SECONDS": str(WAIT_SECONDS),
            },
        )
        template = pod(
            workload,
            [backup],
            init_containers=[copy],
            fs_group=image.uid,
            mounts=[scripts, client, *args.certificates],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        self._cron_job(workload, template, args.settings.postgres_schedule)

    def _clickhouse(self, clickhouse: ClickHouseConnection) -> None:
        args = self._args
        installation = args.installation
        image = images.clickhouse(clickhouse.client_version)
        workload = installation.workload("backup-clickhouse", component="backup", version=image.tag)
        account = service_account(installation, workload, self._child)
        scripts = scripts_mount(
            config_map(installation, workload, "scripts", read_scripts(SCRIPTS, "backup-clickhouse.sh"), self._child)
        )
        scratch = Mount.scratch("tmp", "/tmp")  # noqa: S108  # the pod's own
        backup = container(
            "backup",
            image,
            command=run_script("backup-clickhouse.sh"),
            resources=CLICKHOUSE_CLIENT_RESOURCES,
            mounts=[scripts, scratch],
            env={**clickhouse_environment(clickhouse), "WAIT_SECONDS": str(WAIT_SECONDS)},
        )
        template = pod(
            workload,
            [backup],
            fs_group=image.uid,
            mounts=[scripts, scratch],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        self._cron_job(workload, template, args.settings.clickhouse_schedule)

    def _cron_job(self, workload: Workload, template: PodTemplate, schedule: str) -> None:
        k8s.batch.v1.CronJob(
            workload.resource_name,
            metadata=self._args.installation.metadata(workload, name=workload.resource_name),
            spec=cron_job_spec(schedule, job_spec(template, deadline_seconds=DEADLINE_SECONDS, retries=2)),
            opts=self._child,
        )
