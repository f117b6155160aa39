"""Restores of the databases: suspended CronJobs, of which a restore is a Job with other variables.

Each pod looks at the database, chooses a set and says what a restore would do. With ACTION=plan, the default, that is
all. With ACTION=restore it restores, unless something speaks against it. docs/runbooks/backups.md has the commands.
"""

from collections.abc import Sequence

import pulumi

from components.application.component import ApplicationContext
from components.backups.component import CA_BUNDLE_PATH, WAIT_SECONDS, client_environment, client_volume, copy_client
from components.backups.steps import SCRIPTS, WORK, step, step_scripts, steps_pod
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options
from components.kubernetes.pods import TMP, Container, Mount, container
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.schema.stores import ExternalPostgres
from components.schema.values import quantity_value
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    bucket_client_environment,
    clickhouse_environment,
    postgres_environment,
)
from components.stores.connections import ClickHouseConnection
from components.stores.contract import RESTORE_CLICKHOUSE, RESTORE_POSTGRES

DEADLINE_SECONDS = 24 * 3600
"""2 TB at 25 MB/s. What is interrupted begins again."""

CATCH_UP_SECONDS = 12 * 3600
"""Time for the other replicas of ClickHouse to fetch the rows that one of them has restored."""


POSTGRES_RESOURCES = Resources(cpu="100m", cpu_limit="2", memory="1Gi")
"""For the object store's client, pg_restore and psql, which hold one row at a time."""

POSTGRES_SCRIPTS = (
    *("look-postgres.sh", "restore-postgres.sh", "rclone-remotes.sh"),
    *("drop-everything.sql", "compare-rows.sql", "clean-clone.sql", "clone-tables.json"),
)
CLICKHOUSE_SCRIPTS = ("look-clickhouse.sh", "restore-clickhouse.sh", "clickhouse-queries.sh")
CHOOSE_SCRIPTS = ("choose-set.js", "fingerprint-keys.js", "restorable-sets.js")


class Restores(pulumi.ComponentResource):
    """A CronJob for each database that this stack backs up. None of them ever starts by itself."""

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
            clickhouse: For the user that restores; None if the provider of an external server does.
        """
        super().__init__("langfuse:index:Restores", name, {}, opts)
        child = child_options(self, opts)
        _postgres(context, child)
        if clickhouse:
            _clickhouse(context, clickhouse, child)
        self.register_outputs({})


def _postgres(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    connection, object_store = context.stores.postgres, context.stores.object_store
    workload = context.installation.workload(RESTORE_POSTGRES, component="restore", version=connection.version)
    scope = Scope(workload, opts)
    files = {
        **read_scripts(SCRIPTS, "copy-client.sh", *POSTGRES_SCRIPTS),
        **read_scripts(CLIENT_SCRIPTS, "copy-ca-bundle.sh"),
        **step_scripts(*CHOOSE_SCRIPTS, "first-user.js"),
    }
    scripts = scripts_mount(scope, files)
    client = client_volume()
    mounts = [scripts, client, WORK, *context.ca_bundles]
    environment = {
        **postgres_environment(connection, ca_bundle=CA_BUNDLE_PATH),
        "WORK_DIR": WORK.path,
        "ACTION": "plan",
    }
    waits = {"POOLER": "true" if connection.pooler else "false", "WAIT_SECONDS": str(WAIT_SECONDS)}
    storage = {
        **client_environment(object_store, object_store.read_backups),
        "CLONE": "false",
        "FORMER_MEDIA_BUCKET": "",
        "MEDIA_BUCKET": object_store.buckets["media"].name,
    }
    look, restore = (
        container(
            name,
            images.postgres(connection.version),
            command=run_script(f"{name}-postgres.sh"),
            resources=POSTGRES_RESOURCES,
            mounts=mounts,
            env={**environment, **more},
        )
        for name, more in (("look", waits), ("restore", storage))
    )
    template = steps_pod(
        context,
        scope,
        [
            *(copy_client(scripts, client), look, *_choose(context, "postgres", scripts)),
            *_first_user(context, scripts),
            restore,
        ],
        mounts,
        object_store.reader_annotations,
    )
    cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS, checks=True)


def _first_user(context: ApplicationContext, scripts: Mount) -> Sequence[Container]:
    """A step that notes who can sign in to a clone, in stacks into which others can be cloned."""
    if context.settings.backups.import_from is None:
        return ()
    start = context.settings.first_start
    environment: Environment = {
        "CLONE": "false",
        "USER_EMAIL": start.owner_email,
        "USER_NAME": start.owner_name,
        "USER_PASSWORD": context.refs["user_password"],
    }
    return [step("first-user", context, "first-user.js", [scripts], environment)]


def _choose(context: ApplicationContext, store: str, scripts: Mount) -> Sequence[Container]:
    """The steps that choose a set, and refuse one that does not fit."""
    postgres = context.settings.postgres
    storage = 0 if isinstance(postgres, ExternalPostgres) else int(quantity_value(postgres.storage))
    refs, object_store = context.refs, context.stores.object_store
    keys = {"ENCRYPTION_KEY": refs["encryption_key"], "SALT": refs["salt"]}
    choice = {
        "STORE": store,
        "ACTION": "plan",
        "SET_ID": "",
        "OVERWRITE": "false",
        "CLONE": "false",
        "MANIFEST": "",
        "LANGFUSE_VERSION": context.settings.version,
        **bucket_client_environment(object_store, object_store.read_backups),
        "STORAGE_BYTES": str(storage),
    }
    return [
        step("keys", context, "fingerprint-keys.js", [scripts], keys),
        step("choose", context, "choose-set.js", [scripts], choice),
    ]


def _clickhouse(context: ApplicationContext, clickhouse: ClickHouseConnection, opts: pulumi.ResourceOptions) -> None:
    image, object_store = images.clickhouse(clickhouse.client_version), context.stores.object_store
    workload = context.installation.workload(RESTORE_CLICKHOUSE, component="restore", version=image.tag)
    scope = Scope(workload, opts)
    files = {**read_scripts(SCRIPTS, *CLICKHOUSE_SCRIPTS), **step_scripts(*CHOOSE_SCRIPTS)}
    scripts = scripts_mount(scope, files)
    mounts = [scripts, TMP, WORK]
    environment = {
        **clickhouse_environment(clickhouse),
        "WORK_DIR": WORK.path,
        "ACTION": "plan",
    }
    look, restore = (
        container(
            name,
            image,
            command=run_script(f"{name}-clickhouse.sh"),
            resources=CLICKHOUSE_CLIENT_RESOURCES,
            mounts=mounts,
            env={**environment, limit: str(seconds)},
        )
        for name, limit, seconds in (
            ("look", "WAIT_SECONDS", WAIT_SECONDS),
            ("restore", "CATCH_UP_SECONDS", CATCH_UP_SECONDS),
        )
    )
    template = steps_pod(
        context,
        scope,
        [look, *_choose(context, "clickhouse", scripts), restore],
        mounts,
        object_store.reader_annotations,
    )
    cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS, checks=True)
