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
from components.schema.application import ImportFrom
from components.schema.application import OffSite as OffSiteSettings
from components.schema.base import Resources
from components.schema.purposes import Purpose
from components.stores.clients import STORE_WAIT_SECONDS, bucket_client_environment
from components.stores.contract import DRILL_MEDIA, OFF_SITE_COPY, RESTORE_MEDIA

SCRIPTS = Path(__file__).parent / "scripts"

ENCRYPTED_COPIES = ("age.js", "second-store.js")
"""The scripts that read what is encrypted in a second store."""

COPIED: tuple[Purpose, ...] = ("media", "backups")
"""Buckets with data that nothing else can restore. Events are in the backups of ClickHouse, exports can be repeated."""

DEADLINE_SECONDS = 12 * 3600
"""The first run copies all media. If it is interrupted, the next run continues."""

GRACE_SECONDS = 30

RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi", ephemeral_storage="2Gi")
"""rclone copies four objects at a time, and holds up to 80 MiB of parts of them."""

LISTS = Mount.scratch("lists", "/lists", size="1Gi")
"""Where rclone sorts the list of a folder with many objects: about 200 bytes for each."""

IDENTITY = "langfuse-age-identity"
"""The Secret with a private key of age, as `AGE_IDENTITY`. It exists only while somebody restores."""

SAMPLE = 500
"""Media that a drill reads. All of them are looked for."""


class OffSite(pulumi.ComponentResource):
    """A CronJob with one container for each bucket. Each has the keys of its bucket and of the second store only."""

    def __init__(
        self, name: str, context: ApplicationContext, settings: OffSiteSettings, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("langfuse:index:OffSite", name, settings.model_dump(), opts)
        object_store = context.stores.object_store
        image = images.worker(context.settings.version) if settings.encrypted else images.RCLONE
        workload = context.installation.workload(OFF_SITE_COPY, component="backup", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope, object_store.account_annotations)
        scripts = scripts_mount(scope, _copy_scripts(settings))
        template = pod(
            workload,
            [_copy(context, settings, purpose, scripts) for purpose in COPIED],
            fs_group=image.uid,
            mounts=[scripts, WORK if settings.encrypted else LISTS],
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
    scripts = scripts_mount(scope, step_scripts("drill-media.js", "media-lists.js", *ENCRYPTED_COPIES))
    environment = {
        **bucket_client_environment(object_store, bucket),
        **copies_environment(settings),
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
    scripts = scripts_mount(scope, media_scripts(settings))
    steps = media_steps(context, settings, scripts, action="plan")
    template = steps_pod(context, scope, steps, [scripts, WORK], object_store.account_annotations)
    cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS)


def media_scripts(source: OffSiteSettings | ImportFrom) -> dict[str, str]:
    """The scripts of `media_steps`."""
    steps = ("restore-media.js", "media-lists.js")
    if source.encrypted:
        return step_scripts(*steps, "copy-back.js", *ENCRYPTED_COPIES)
    return {**step_scripts(*steps), **read_scripts(SCRIPTS, "restore-media.sh", "rclone-remotes.sh")}


def media_steps(
    context: ApplicationContext, source: OffSiteSettings | ImportFrom, scripts: Mount, *, action: str
) -> Sequence[Container]:
    """Containers that copy the media of a set which the bucket of media lacks.

    Args:
        context: Settings, stores and credentials.
        source: The store with copies of the media.
        scripts: The scripts of the pod.
        action: What they do unless a Job says otherwise.
    """
    object_store, proxy = context.stores.object_store, proxy_environment(context.settings)
    media = object_store.buckets["media"]
    find = {
        **bucket_client_environment(object_store, object_store.read_backups),
        "MEDIA_BUCKET": media.name,
        **media.keys("MEDIA_"),
        "ACTION": action,
        "SET_ID": "",
        **proxy,
    }
    copy = {
        **bucket_client_environment(object_store, media),
        **copies_environment(source),
        "MEDIA_PREFIX": f"{media.name}/",
        "ACTION": action,
        **proxy,
    }
    return [
        step("choose-media", context, "restore-media.js", [scripts], {**find, "STEP": "choose"}),
        copy_back("copy-media", context, source, "restore-media.sh", scripts, copy),
        step("finish-media", context, "restore-media.js", [scripts], {**find, "STEP": "finish"}),
    ]


def copy_back(
    name: str,
    context: ApplicationContext,
    source: OffSiteSettings | ImportFrom,
    script: str,
    scripts: Mount,
    environment: Environment,
) -> Container:
    """A container that copies from a store with copies: by a script with rclone, or decrypted, which rclone can't.

    Args:
        name: Name of the container.
        context: Settings, stores and credentials.
        source: The store with copies.
        script: The script with rclone.
        scripts: The scripts of the pod.
        environment: Variables of the script, which `copy-back.js` reads as well.
    """
    if source.encrypted:
        return step(name, context, "copy-back.js", [scripts], {**environment, **identity_environment(source)})
    return rclone(name, script, [scripts, WORK], {**environment, "WORK_DIR": WORK.path, "TMPDIR": WORK.path})


def rclone(name: str, script: str, mounts: Sequence[Mount], environment: Environment) -> Container:
    """A container that runs a script with rclone."""
    return container(
        name,
        images.RCLONE,
        command=run_script(script),
        resources=RESOURCES,
        mounts=mounts,
        env={"GOMEMLIMIT": "400MiB", **environment},
    )


def region(endpoint: str) -> str:
    """The region of a store of AWS, which its URL names. Other stores accept any, or the first one of AWS."""
    found = re.search(r"\bs3[.-]([a-z0-9-]+)\.amazonaws\.", endpoint)
    return found[1] if found else "us-east-1"


def copies_environment(settings: OffSiteSettings | ImportFrom, prefix: str = "OFF_SITE_") -> Environment:
    """The variables of a store with copies, as scripts read them with a prefix."""
    variables: dict[str, str | SecretRef] = {
        "STORE_URL": settings.endpoint,
        "REGION": settings.region or region(settings.endpoint),
        "FORCE_PATH_STYLE": "true",
        "ACCESS_KEY_ID": SecretRef(name=settings.secret, key="ACCESS_KEY_ID"),
        "SECRET_ACCESS_KEY": SecretRef(name=settings.secret, key="SECRET_ACCESS_KEY"),
        "BUCKET": settings.bucket,
        "STORE_WAIT_SECONDS": str(STORE_WAIT_SECONDS),
    }
    if isinstance(settings, OffSiteSettings):
        variables |= {"ENCRYPTION": settings.encryption}
        variables |= {"KMS_KEY_ID": settings.kms_key_id} if settings.kms_key_id else {}
    return {f"{prefix}{name}": value for name, value in variables.items()}


def identity_environment(source: OffSiteSettings | ImportFrom, prefix: str = "OFF_SITE_") -> Environment:
    """The variable with the private key that decrypts copies. It is not set while there is no Secret with the key."""
    if not source.encrypted:
        return {}
    return {f"{prefix}AGE_IDENTITY": SecretRef(name=IDENTITY, key="AGE_IDENTITY", optional=True)}


def _copy_scripts(settings: OffSiteSettings) -> dict[str, str]:
    if settings.encrypted:
        return step_scripts("copy-encrypted.js", "media-lists.js", *ENCRYPTED_COPIES)
    return read_scripts(SCRIPTS, "copy-off-site.sh", "rclone-remotes.sh")


def _copy(context: ApplicationContext, settings: OffSiteSettings, purpose: Purpose, scripts: Mount) -> Container:
    """A container that copies one bucket: with rclone, or encrypted for recipients of age, which rclone can't."""
    object_store, name = context.stores.object_store, f"copy-{purpose}"
    environment = {
        **bucket_client_environment(object_store, object_store.buckets[purpose]),
        **copies_environment(settings),
        **proxy_environment(context.settings),
    }
    if settings.encrypted:
        recipients = {"AGE_RECIPIENTS": ",".join(settings.recipients)}
        return step(name, context, "copy-encrypted.js", [scripts], {**environment, **recipients})
    return rclone(name, "copy-off-site.sh", [scripts, LISTS], {**environment, "TMPDIR": LISTS.path})
