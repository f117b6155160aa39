"""The repair of a half-applied migration: a suspended CronJob, which `python -m operations repair` makes Jobs from.

With ACTION=show, the default, it only looks. docs/decisions/repairs.md says what it does with ACTION=apply.
"""

import pulumi

from components.application.component import ApplicationContext
from components.application.extra_env import connection_variables
from components.application.migrations import RELEASE_PATH, SCRIPTS
from components.application.outbound import proxy_environment
from components.application.store_checks import HEAP_MEBIBYTES, store_check_scripts
from components.application.store_checks import RESOURCES as NODE_RESOURCES
from components.application.store_variables import database_environment, postgres_url
from components.kubernetes.files import SCRIPTS_PATH, read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import JOB_RESOURCES, TMP, Mount, container, pod
from components.schema import images
from components.stores.contract import REPAIR

DEADLINE_SECONDS = 12 * 3600
"""For the remaining statements of a migration of ClickHouse. Each may rewrite a column of all rows."""

GRACE_SECONDS = 30

OWN_SCRIPTS = (
    *("copy-release-migrations.sh", "repair-schema.js", "repair-postgres.js", "repair-clickhouse.js"),
    *("migration-statements.js", "migration-repair.js"),
)


class Repairs(pulumi.ComponentResource):
    """Never starts by itself. It uses the users of the migrations, and no other credentials."""

    ready: pulumi.Resource
    """What the migration Job waits for: when it fails, its release can be repaired."""

    def __init__(self, name: str, context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:Repairs", name, {}, opts)
        version = context.settings.version
        workload = context.installation.workload(REPAIR, component="repair", version=version)
        scope = Scope(workload, child_options(self, opts))
        scripts = scripts_mount(scope, {**read_scripts(SCRIPTS, *OWN_SCRIPTS), **store_check_scripts()})
        mounts = [scripts, Mount.scratch("release", RELEASE_PATH), TMP, *context.ca_bundles]
        release = container(
            "release",
            images.web(version),
            command=run_script("copy-release-migrations.sh"),
            resources=JOB_RESOURCES,
            mounts=mounts,
            env={"RELEASE_DIR": RELEASE_PATH},
        )
        repair = container(
            "repair",
            images.worker(version),
            command=["node", f"{SCRIPTS_PATH}/repair-schema.js"],
            resources=NODE_RESOURCES,
            mounts=mounts,
            env={
                **database_environment(context.stores.postgres, context.stores.clickhouse),
                "DIRECT_URL": postgres_url(context.stores.postgres, direct=True),
                "NODE_OPTIONS": f"--max-old-space-size={HEAP_MEBIBYTES}",
                **proxy_environment(context.settings),
                **connection_variables(context.settings),
                "HOME": "/tmp",  # noqa: S108  # inside the pod
                "RELEASE_DIR": RELEASE_PATH,
                "ACTION": "show",
                "STORE": "all",
                "SHOWN": "",
                "ASSUME": "",
            },
        )
        template = pod(
            workload,
            [repair],
            init_containers=[release],
            fs_group=images.worker(version).uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=service_account(scope).metadata.name,
            restart_policy="Never",
        )
        self.ready = cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS, checks=True)
        self.register_outputs({})
