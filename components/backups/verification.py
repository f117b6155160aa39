"""The CronJob that reads backup sets back, compares them with their manifests, and lists them."""

import pulumi

from components.application.component import ApplicationContext
from components.backups.steps import WORK, keep_environment, step, step_scripts, steps_pod
from components.kubernetes.files import scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope
from components.schema import images
from components.stores.clients import bucket_client_environment
from components.stores.contract import VERIFICATION

DEADLINE_SECONDS = 12 * 3600
"""A set and its chain of ClickHouse backups are read once: 2 TB at 50 MB/s."""


def verification(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    """Creates the CronJob. Its keys read the bucket of backups and write verdicts.

    A Job that is made from it may set ACTION to `list`, and SET_ID to another set than the newest.

    Args:
        context: Settings, stores and credentials.
        opts: Options of the resources.
    """
    settings, object_store = context.settings.backups, context.stores.object_store
    image = images.worker(context.settings.version)
    workload = context.installation.workload(VERIFICATION, component="verification", version=image.tag)
    scope = Scope(workload, opts)
    scripts = scripts_mount(scope, step_scripts("verify-backups.js"))
    environment = {
        **bucket_client_environment(object_store, object_store.read_backups),
        **keep_environment(settings),
        "ACTION": "verify",
        "SET_ID": "",
    }
    template = steps_pod(
        context,
        scope,
        [step("verify", context, "verify-backups.js", [scripts], environment)],
        [scripts, WORK],
        object_store.reader_annotations,
    )
    cron_job(scope, template, settings.verify_schedule, deadline_seconds=DEADLINE_SECONDS, checks=True)
