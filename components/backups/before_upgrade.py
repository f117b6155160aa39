"""The Job that takes a backup set before a release migrates. docs/decisions/sets-before-upgrades.md explains it."""

from collections.abc import Iterable, Sequence
from typing import cast

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import WEB_PORT
from components.application.migrations import RELEASE_PATH, list_release
from components.application.migrations import SCRIPTS as MIGRATION_SCRIPTS
from components.application.store_checks import store_check_scripts
from components.application.store_variables import database_environment, postgres_url
from components.backups.component import (
    DEADLINE_SECONDS,
    WAIT_SECONDS,
    clickhouse_scripts,
    clickhouse_steps,
    client_volume,
    copy_client,
    set_scripts,
    set_steps,
)
from components.backups.steps import SCRIPTS, WORK, step, step_scripts, steps_pod
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, child_options
from components.kubernetes.pods import TMP, Container, Mount
from components.stores.connections import ClickHouseConnection, Endpoint
from components.stores.contract import BEFORE_UPGRADE
from components.stores.modes import StoreModes


class BeforeUpgrade(pulumi.ComponentResource):
    """A Job with the steps of the backup CronJobs: ClickHouse first, so that the set belongs to the new backup.

    It runs when its template changes, which contains the release. It asks the databases whether the release changes
    their schemas. If not, all further steps do nothing. There is no Job if `backups.beforeUpgrade` is false.
    """

    ready: Sequence[pulumi.Resource]
    """What the migrations wait for."""

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
            opts: Options of the component, which depends on the stores.
            clickhouse: For the user that backs up; None if the provider of an external server does.
        """
        version = context.settings.version
        super().__init__("langfuse:index:BeforeUpgrade", name, {"version": version}, opts)
        self.ready = []
        if context.settings.backups.before_upgrade:
            self.ready = [_job(context, child_options(self, opts), clickhouse)]
        self.register_outputs({"version": version})


def _job(
    context: ApplicationContext, opts: pulumi.ResourceOptions, clickhouse: ClickHouseConnection | None
) -> pulumi.Resource:
    workload = context.installation.workload(BEFORE_UPGRADE, component="backup", version=context.settings.version)
    scope = Scope(workload, opts)
    scripts = scripts_mount(scope, _scripts())
    release, client = Mount.scratch("release", RELEASE_PATH), client_volume()
    backup = clickhouse_steps(context, clickhouse, [scripts, TMP, WORK]) if clickhouse else ()
    steps = [
        list_release(context, [scripts, release], {"RELEASE_DIR": RELEASE_PATH}),
        _need(context, [scripts, release, *context.ca_bundles]),
        copy_client(scripts, client),
        *_unless_skipped(backup, "clickhouse"),
        *_unless_skipped(set_steps(context, [scripts, client, WORK, *context.ca_bundles]), "set"),
    ]
    mounts = [scripts, client, WORK, TMP, release, *context.ca_bundles]
    template = steps_pod(context, scope, steps, mounts, context.stores.object_store.account_annotations)
    # A second attempt begins anew: the rest of the first one has no marker.
    return job(scope, template, attempt_seconds=DEADLINE_SECONDS, retries=1)


def _scripts() -> dict[str, str]:
    return {
        **clickhouse_scripts(),
        **set_scripts(),
        **step_scripts("need-set.js"),
        **store_check_scripts(),
        **read_scripts(MIGRATION_SCRIPTS, "schemas.js", "list-release-migrations.sh"),
        **read_scripts(SCRIPTS, "unless-skipped.sh"),
    }


def _need(context: ApplicationContext, mounts: Sequence[Mount]) -> Container:
    """The step that decides whether a set is needed."""
    settings, stores = context.settings, context.stores
    web = Endpoint(host="langfuse-web", port=WEB_PORT)
    environment = {
        **database_environment(stores.postgres, stores.clickhouse),
        "DIRECT_URL": postgres_url(stores.postgres, direct=True),
        "RELEASE_DIR": RELEASE_PATH,
        "LANGFUSE_VERSION": settings.version,
        "WEB_URL": web.http_url,
        "CLICKHOUSE_BACKED_UP_BY": StoreModes.of(settings).clickhouse.backed_up_by or "none",
        "WAIT_SECONDS": str(WAIT_SECONDS),
    }
    return step("need", context, "need-set.js", mounts, environment)


def _unless_skipped(steps: Iterable[Container], store: str) -> Sequence[Container]:
    """The steps with names that are unique in the pod. They do nothing if no set is needed."""
    return [
        {
            **one,
            "name": f"{store}-{one['name']}",
            "command": [*run_script("unless-skipped.sh"), *cast("Sequence[str]", one["command"])],
            "termination_message_policy": "FallbackToLogsOnError",  # shows the error in the pod's status
        }
        for one in steps
    ]
