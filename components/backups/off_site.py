"""Copies of backups and media in a second object store, which survive the loss of the first."""

import re
from collections.abc import Sequence
from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.application.outbound import proxy_environment
from components.backups.steps import WORK, step, step_scripts, steps_pod
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import Container, Mount, container, pod
from components.kubernetes.variables import Environment, SecretRef
from components.schema import images
from components.schema.application import OffSite as OffSiteSettings
from components.schema.base import Resources
from components.schema.purposes import Purpose
from components.stores.clients import bucket_client_environment
from components.stores.connections import ObjectStoreConnection
from components.stores.contract import DRILL_MEDIA, OFF_SITE_COPY, RESTORE_MEDIA

SCRIPTS = Path(__file__).parent / "scripts"

COPIED: tuple[Purpose, ...] = ("media", "backups")
"""Buckets with data that nothing else can restore. Events are in the backups of ClickHouse, exports can be repeated."""

DEADLINE_SECONDS = 12 * 3600
"""The first run copies all media. If it is interrupted, the next run continues."""

GRACE_SECONDS = 30

RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi", ephemeral_storage="2Gi")
"""rclone copies four objects at a time, and holds up to 80 MiB of parts of them."""

LISTS = Mount.scratch("lists", "/lists", size="1Gi")
"""Where rclone sorts the list of a folder with many objects: about 200 bytes for each."""

SAMPLE = 500
"""Media that a drill reads. All of them are looked for."""


class OffSite(pulumi.ComponentResource):
    """A CronJob with one container for each bucket. Each has the keys of its bucket and of the second store only."""

    def __init__(
        self, name: str, context: ApplicationContext, settings: OffSiteSettings, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("langfuse:index:OffSite", name, settings.model_dump(), opts)
        object_store, image = context.stores.object_store, images.RCLONE
        workload = context.installation.workload(OFF_SITE_COPY, component="backup", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope, object_store.account_annotations)
        scripts = scripts_mount(scope, read_scripts(SCRIPTS, "copy-off-site.sh", "rclone-remotes.sh"))
        template = pod(
            workload,
            [
                _copy(object_store, settings, purpose, [scripts, LISTS], proxy_environment(context.settings))
                for purpose in COPIED
            ],
            fs_group=image.uid,
            mounts=[scripts, LISTS],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        cron_job(scope, template, settings.schedule, deadline_seconds=DEADLINE_SECONDS)
        _drill(context, settings, child_options(self, opts))
        _restore(context, settings, child_options(self, opts))
        self.register_outputs({"bucket": settings.bucket})


def _drill(context: ApplicationContext, settings: OffSiteSettings, opts: pulumi.ResourceOptions) -> None:
    """A CronJob that looks for the media of the newest set in the second store."""
    object_store, image = context.stores.object_store, images.worker(context.settings.version)
    workload = context.installation.workload(DRILL_MEDIA, component="restore-drill", version=image.tag)
    scope = Scope(workload, opts)
    bucket = object_store.read_backups
    scripts = scripts_mount(scope, step_scripts("drill-media.js", "media-lists.js"))
    environment = {
        **bucket_client_environment(object_store, bucket),
        **_second_store(settings),
        "MEDIA_BUCKET": object_store.buckets["media"].name,
        "SAMPLE": str(SAMPLE),
        "SET_ID": "",
        **proxy_environment(context.settings),
    }
    template = steps_pod(
        context,
        scope,
        [step("look", context, "drill-media.js", [scripts], environment)],
        [scripts, WORK],
        object_store.reader_annotations,
    )
    schedule = context.settings.backups.drill_schedule
    cron_job(scope, template, schedule, deadline_seconds=DEADLINE_SECONDS, checks=True)


def _restore(context: ApplicationContext, settings: OffSiteSettings, opts: pulumi.ResourceOptions) -> None:
    """A suspended CronJob that copies the media of a set back which the bucket of media lacks."""
    object_store, image = context.stores.object_store, images.worker(context.settings.version)
    workload = context.installation.workload(RESTORE_MEDIA, component="restore", version=image.tag)
    scope = Scope(workload, opts)
    media = object_store.buckets["media"]
    files = {
        **step_scripts("restore-media.js", "media-lists.js"),
        **read_scripts(SCRIPTS, "restore-media.sh", "rclone-remotes.sh"),
    }
    scripts = scripts_mount(scope, files)
    proxy = proxy_environment(context.settings)
    find = {
        **bucket_client_environment(object_store, object_store.read_backups),
        "MEDIA_BUCKET": media.name,
        **media.keys("MEDIA_"),
        "ACTION": "plan",
        "SET_ID": "",
        **proxy,
    }
    copy = container(
        "copy",
        images.RCLONE,
        command=run_script("restore-media.sh"),
        resources=RESOURCES,
        mounts=[scripts, WORK],
        env={
            **bucket_client_environment(object_store, media),
            **_second_store(settings),
            "ACTION": "plan",
            "WORK_DIR": WORK.path,
            "GOMEMLIMIT": "400MiB",
            "TMPDIR": WORK.path,
            **proxy,
        },
    )
    template = steps_pod(
        context,
        scope,
        [
            step("choose", context, "restore-media.js", [scripts], {**find, "STEP": "choose"}),
            copy,
            step("finish", context, "restore-media.js", [scripts], {**find, "STEP": "finish"}),
        ],
        [scripts, WORK],
        object_store.account_annotations,
    )
    cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS)


def region(endpoint: str) -> str:
    """The region of a store of AWS, which its URL names. Other stores accept any, or the first one of AWS."""
    found = re.search(r"\bs3[.-]([a-z0-9-]+)\.amazonaws\.", endpoint)
    return found[1] if found else "us-east-1"


def _second_store(settings: OffSiteSettings) -> Environment:
    return {
        "OFF_SITE_STORE_URL": settings.endpoint,
        "OFF_SITE_REGION": settings.region or region(settings.endpoint),
        "OFF_SITE_FORCE_PATH_STYLE": "true",
        "OFF_SITE_ENCRYPTION": settings.encryption,
        **({"OFF_SITE_KMS_KEY_ID": settings.kms_key_id} if settings.kms_key_id else {}),
        "OFF_SITE_ACCESS_KEY_ID": SecretRef(name=settings.secret, key="ACCESS_KEY_ID"),
        "OFF_SITE_SECRET_ACCESS_KEY": SecretRef(name=settings.secret, key="SECRET_ACCESS_KEY"),
        "OFF_SITE_BUCKET": settings.bucket,
    }


def _copy(
    object_store: ObjectStoreConnection,
    settings: OffSiteSettings,
    purpose: Purpose,
    mounts: Sequence[Mount],
    proxy: Environment,
) -> Container:
    bucket = object_store.buckets[purpose]
    return container(
        f"copy-{purpose}",
        images.RCLONE,
        command=run_script("copy-off-site.sh"),
        resources=RESOURCES,
        mounts=mounts,
        env={
            **bucket_client_environment(object_store, bucket),
            **_second_store(settings),
            "GOMEMLIMIT": "400MiB",
            "TMPDIR": LISTS.path,
            **proxy,
        },
    )
