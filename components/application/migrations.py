"""Migrations: one Job per release migrates both schemas. Nothing else ever does."""

from collections.abc import Sequence
from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import migration_environment
from components.application.phase_check import phase_check, phase_scripts
from components.application.store_checks import store_check, store_check_scripts
from components.application.upgrade_check import upgrade_check, upgrade_scripts
from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import JOB_RESOURCES, TMP, Container, Mount, container, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    clickhouse_environment,
    postgres_environment,
)
from components.stores.versions import release_check_environment

SCRIPTS = Path(__file__).parent / "scripts"

WAIT_SECONDS = 600
"""How long the checks wait for a store."""

DUMP_SECONDS = 2 * 3600
"""How long the checks wait for a dump of Postgres that runs."""

MIGRATE_SECONDS = 3 * 3600
"""Migrating large tables is slow, and an interrupted migration leaves the schema half migrated."""

GRACE_SECONDS = 600
"""Time to finish the running statement when the Job is deleted."""

RESOURCES = Resources(cpu="250m", cpu_limit="2", memory="1Gi", ephemeral_storage="512Mi")
RELEASE_PATH = "/release"
CA_BUNDLE_PATH = f"{RELEASE_PATH}/ca-bundle.pem"
"""CA bundle of the web image. The image of Postgres has none."""


class Migrations(pulumi.ComponentResource):
    """A Job that runs the entrypoint of the web image, which migrates, with `true` in place of the server.

    Before that, it checks that the stores can do what Langfuse needs, and refuses a schema that is half migrated or
    newer than the release. It prints what to do. A retry after a failed migration therefore changes nothing, and a
    retry after a lost node migrates.
    """

    ready: Sequence[pulumi.Resource]
    """What web and worker wait for."""

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            opts: Options of the component.
            after: The stores. A server that restarts during a migration leaves it half done.
        """
        version = context.settings.version
        super().__init__("langfuse:index:Migrations", name, {"version": version}, opts)
        workload = context.installation.workload("migrations", component="migration", version=version)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope, context.stores.object_store.account_annotations)
        mounts = [
            scripts_mount(scope, _scripts()),
            Mount.scratch("release", RELEASE_PATH),
            TMP,
            *context.ca_bundles,
        ]
        template = pod(
            workload,
            [_migrate(context)],
            init_containers=checks(context, mounts),
            fs_group=images.web(version).uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        waits = pulumi.ResourceOptions(depends_on=list(after))
        attempt = 3 * WAIT_SECONDS + DUMP_SECONDS + MIGRATE_SECONDS
        self.ready = [job(scope, template, attempt_seconds=attempt, retries=1, opts=waits)]
        self.register_outputs({"version": version})


def _scripts() -> dict[str, str]:
    own = ("list-release-migrations.sh", "check-postgres-schema.sh", "check-clickhouse-schema.sh")
    return {
        **read_scripts(SCRIPTS, *own),
        **store_check_scripts(),
        **upgrade_scripts(),
        **phase_scripts(),
        **read_scripts(CLIENT_SCRIPTS, "copy-ca-bundle.sh"),
    }


def _migrate(context: ApplicationContext) -> Container:
    return container(
        "migrate",
        images.web(context.settings.version),
        args=["true"],
        resources=RESOURCES,
        mounts=[TMP, *context.ca_bundles],
        env={
            **migration_environment(context.stores.postgres, context.stores.clickhouse),
            # Prisma writes a cache to the home directory, and by default checks for a newer release.
            "HOME": "/tmp",  # noqa: S108  # inside the pod
            "CHECKPOINT_DISABLE": "1",
        },
    )


def list_release(context: ApplicationContext, mounts: Sequence[Mount], env: Environment) -> Container:
    """An init container that lists the migrations of the release in RELEASE_DIR."""
    return container(
        "release",
        images.web(context.settings.version),
        command=run_script("list-release-migrations.sh"),
        resources=JOB_RESOURCES,
        mounts=mounts,
        env=env,
    )


def checks(context: ApplicationContext, mounts: Sequence[Mount]) -> list[Container]:
    """Init containers: they list the migrations of the release, check the stores, and compare each schema."""
    version, postgres, clickhouse = context.settings.version, context.stores.postgres, context.stores.clickhouse
    shared: Environment = {
        "RELEASE_DIR": RELEASE_PATH,
        "WAIT_SECONDS": str(WAIT_SECONDS),
    }
    return [
        list_release(context, mounts, shared),
        store_check(context, mounts, wait_seconds=WAIT_SECONDS),
        container(
            "postgres",
            images.postgres(postgres.version),
            command=run_script("check-postgres-schema.sh"),
            resources=JOB_RESOURCES,
            mounts=mounts,
            env={
                **postgres_environment(postgres, ca_bundle=CA_BUNDLE_PATH),
                **shared,
                "DUMP_SECONDS": str(DUMP_SECONDS),
            },
        ),
        container(
            "clickhouse",
            images.clickhouse(clickhouse.client_version),
            command=run_script("check-clickhouse-schema.sh"),
            resources=CLICKHOUSE_CLIENT_RESOURCES,
            mounts=mounts,
            env={**clickhouse_environment(clickhouse), **release_check_environment(version), **shared},
        ),
        upgrade_check(context, mounts, RELEASE_PATH),
        phase_check(context, mounts),
    ]
