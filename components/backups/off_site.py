"""A second object store: backups and media are copied there, so that they outlive the first one."""

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts
from components.kubernetes.installation import Installation, child_options, config_map, service_account
from components.kubernetes.jobs import cron_job_spec, job_spec, run_script, scripts_mount
from components.kubernetes.pods import Container, Mount, container, pod
from components.kubernetes.variables import SecretRef
from components.schema import images
from components.schema.application import OffSite as OffSiteSettings
from components.schema.purposes import Purpose
from components.stores.clients import OBJECT_STORE_CLIENT_RESOURCES, object_store_environment
from components.stores.connections import ObjectStoreConnection

SCRIPTS = Path(__file__).parent / "scripts"

WORKLOAD = "backup-off-site"

COPIED: tuple[Purpose, ...] = ("media", "backups")
"""What nothing else could bring back. Raw events are in the backups of ClickHouse by then, exports are made anew."""

DEADLINE_SECONDS = 12 * 3600
"""The first copy takes all media along; one that is cut short is continued by the next."""

GRACE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class OffSiteArgs:
    """What is copied where."""

    installation: Installation
    settings: OffSiteSettings
    object_store: ObjectStoreConnection

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class OffSite(pulumi.ComponentResource):
    """A CronJob with a container for each bucket, which holds the keys of that bucket alone and of the other store."""

    def __init__(self, name: str, args: OffSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:OffSite", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        workload = installation.workload(WORKLOAD, component="backup", version=images.MINIO_CLIENT.tag)
        account = service_account(installation, workload, child, args.object_store.account_annotations)
        scripts = scripts_mount(
            config_map(installation, workload, "scripts", read_scripts(SCRIPTS, "copy-off-site.sh"), child)
        )
        clients = {purpose: Mount.scratch(f"client-{purpose}", "/client") for purpose in COPIED}
        template = pod(
            workload,
            [_copy(args, purpose, [scripts, client]) for purpose, client in clients.items()],
            fs_group=images.MINIO_CLIENT.uid,
            mounts=[scripts, *clients.values()],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        k8s.batch.v1.CronJob(
            workload.resource_name,
            metadata=installation.metadata(workload, name=workload.resource_name),
            spec=cron_job_spec(
                args.settings.schedule, job_spec(template, deadline_seconds=DEADLINE_SECONDS, retries=2)
            ),
            opts=child,
        )
        self.register_outputs({"bucket": args.settings.bucket})


def _copy(args: OffSiteArgs, purpose: Purpose, mounts: list[Mount]) -> Container:
    bucket, settings = args.object_store.buckets[purpose], args.settings
    return container(
        f"copy-{purpose}",
        images.MINIO_CLIENT,
        command=run_script("copy-off-site.sh"),
        resources=OBJECT_STORE_CLIENT_RESOURCES,
        mounts=mounts,
        env={
            **object_store_environment(args.object_store, "/client"),
            **bucket.keys(""),
            "BUCKET": bucket.name,
            "OFF_SITE_STORE_URL": settings.endpoint,
            "OFF_SITE_ACCESS_KEY_ID": SecretRef(name=settings.secret, key="ACCESS_KEY_ID"),
            "OFF_SITE_SECRET_ACCESS_KEY": SecretRef(name=settings.secret, key="SECRET_ACCESS_KEY"),
            "OFF_SITE_BUCKET": settings.bucket,
        },
    )
