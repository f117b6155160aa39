"""Sets that are not in the bucket of this stack: copied from the store with its own copies, or those of another stack.

Afterwards, an ordinary restore of the set finds everything in the buckets of this stack. docs/decisions/restores.md
explains moves and clones.
"""

import pulumi

from components.application.component import ApplicationContext
from components.application.outbound import proxy_environment
from components.backups.off_site import (
    DEADLINE_SECONDS,
    ENCRYPTED_COPIES,
    copies_environment,
    copy_back,
    identity_environment,
    media_scripts,
    media_steps,
)
from components.backups.steps import SCRIPTS, WORK, step, step_scripts, steps_pod
from components.kubernetes.files import read_scripts, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options
from components.schema.application import ImportFrom, OffSite
from components.stores.clients import bucket_client_environment
from components.stores.contract import FETCH_SET


class FetchSet(pulumi.ComponentResource):
    """A suspended CronJob. `python -m operations restore --into` and `--off-site` make Jobs from it.

    Its keys write the buckets of backups and media, and can delete in neither.
    """

    def __init__(
        self, name: str, context: ApplicationContext, source: ImportFrom | OffSite, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("langfuse:index:FetchSet", name, {"bucket": source.bucket}, opts)
        object_store, refs = context.stores.object_store, context.refs
        workload = context.installation.workload(FETCH_SET, component="restore", version=context.settings.version)
        scope = Scope(workload, child_options(self, opts))
        files = {
            **step_scripts("fetch-set.js", "fingerprint-keys.js", "restorable-sets.js", *ENCRYPTED_COPIES),
            **({} if source.encrypted else read_scripts(SCRIPTS, "fetch-set.sh")),
            **media_scripts(source),
        }
        scripts, proxy = scripts_mount(scope, files), proxy_environment(context.settings)
        backups = object_store.buckets["backups"]
        keys = {"ENCRYPTION_KEY": refs["encryption_key"], "SALT": refs["salt"]}
        chosen = {"ACTION": "list", "PREFIX": f"{backups.name}/", **proxy}
        choose = {
            **copies_environment(source, ""),
            **identity_environment(source, ""),
            **chosen,
            "ENCRYPTED": str(source.encrypted).lower(),
            "SET_ID": "",
            "CLONE": "false",
            "LANGFUSE_VERSION": context.settings.version,
            "STEP": "choose",
        }
        copy = {
            **bucket_client_environment(object_store, backups),
            **copies_environment(source),
            **chosen,
        }
        steps = [
            step("keys", context, "fingerprint-keys.js", [scripts], keys),
            step("choose-set", context, "fetch-set.js", [scripts], choose),
            copy_back("copy-set", context, source, "fetch-set.sh", scripts, copy),
            *media_steps(context, source, scripts, action="list"),
            step("report", context, "fetch-set.js", [scripts], {"STEP": "report"}),
        ]
        template = steps_pod(context, scope, steps, [scripts, WORK], object_store.account_annotations)
        cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS, checks=True)
        self.register_outputs({})
