"""Migrations: one Job per release brings both schemas up to date, and nothing else ever does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.kubernetes.files import read_scripts
from components.kubernetes.installation import Installation, child_options, config_map, service_account
from components.kubernetes.jobs import job, run_script, scripts_mount
from components.kubernetes.pods import JOB_RESOURCES, Container, Mount, container, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.stores.clients import (
    CLICKHOUSE_CLIENT_RESOURCES,
    CLIENT_SCRIPTS,
    clickhouse_environment,
    postgres_environment,
)
from components.stores.connections import ClickHouseConnection, PostgresConnection
from components.stores.versions import release_check_environment

SCRIPTS = Path(__file__).parent / "scripts"

WAIT_SECONDS = 600
"""How long the checks wait for a store."""

DEADLINE_SECONDS = 3 * 3600
"""A migration of large tables takes its time, and one that is cut short leaves the schema half migrated."""

GRACE_SECONDS = 600
"""Time to end the statement under way when the Job is deleted."""

RESOURCES = Resources(cpu="250m", cpu_limit="2", memory="1Gi", ephemeral_storage="512Mi")
RELEASE_PATH = "/release"
AUTHORITIES_PATH = f"{RELEASE_PATH}/authorities.pem"
"""Certificates of public authorities, from the web image: Postgres' image has none."""


@dataclass(frozen=True, kw_only=True)
class MigrationsArgs:
    """What the migration needs."""

    installation: Installation
    version: str
    postgres: PostgresConnection
    clickhouse: ClickHouseConnection
    environment: Environment
    """Of the migrating container."""
    certificates: Sequence[Mount]
    """What the stores' own certificates are checked against."""
    after: Sequence[pulumi.Resource]
    """The stores: a server that restarts under a migration leaves it half done."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": self.version}


class Migrations(pulumi.ComponentResource):
    """A Job that runs the web image's own entrypoint, which migrates, with `true` for a server.

    Before that it refuses a schema that is half migrated or newer than the release, and prints the repair: so a
    second try after a failure changes nothing, and one after a lost node does its work.
    """

    ready: Sequence[pulumi.Resource]
    """What web and worker wait for."""

    def __init__(self, name: str, args: MigrationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Migrations", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        image = images.web(args.version)
        workload = installation.workload("migrations", component="migration", version=args.version)
        account = service_account(installation, workload, child)
        files = {
            **read_scripts(
                SCRIPTS, "list-release-migrations.sh", "check-postgres-schema.sh", "check-clickhouse-schema.sh"
            ),
            **read_scripts(CLIENT_SCRIPTS, "copy-authorities.sh"),
        }
        scripts = scripts_mount(config_map(installation, workload, "scripts", files, child))
        release = Mount.scratch("release", RELEASE_PATH)
        scratch = Mount.scratch("tmp", "/tmp")  # noqa: S108  # the pod's own
        migrate = container(
            "migrate",
            image,
            args=["true"],
            resources=RESOURCES,
            mounts=[scratch, *args.certificates],
            env={
                **args.environment,
                # Prisma keeps a cache at home, and asks its makers for a newer release.
                "HOME": "/tmp",  # noqa: S108  # the pod's own
                "CHECKPOINT_DISABLE": "1",
            },
        )
        mounts = [scripts, release, scratch, *args.certificates]
        template = pod(
            workload,
            [migrate],
            init_containers=checks(args, mounts),
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
        )
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(args.after)))
        self.ready = [job(installation, workload, template, after, deadline_seconds=DEADLINE_SECONDS, retries=1)]
        self.register_outputs({"version": args.version})


def checks(args: MigrationsArgs, mounts: Sequence[Mount]) -> list[Container]:
    """What has to hold before a migration: what the release ships, then each schema against it."""
    shared: Environment = {
        "NAMESPACE": args.installation.namespace,
        "RELEASE_DIR": RELEASE_PATH,
        "WAIT_SECONDS": str(WAIT_SECONDS),
    }
    return [
        container(
            "release",
            images.web(args.version),
            command=run_script("list-release-migrations.sh"),
            resources=JOB_RESOURCES,
            mounts=mounts,
            env=shared,
        ),
        container(
            "postgres",
            images.postgres(args.postgres.version),
            command=run_script("check-postgres-schema.sh"),
            resources=JOB_RESOURCES,
            mounts=mounts,
            env={
                **postgres_environment(args.postgres, authorities=AUTHORITIES_PATH),
                "PSQL_COMMAND": args.postgres.psql_command,
                **shared,
            },
        ),
        container(
            "clickhouse",
            images.clickhouse(args.clickhouse.client_version),
            command=run_script("check-clickhouse-schema.sh"),
            resources=CLICKHOUSE_CLIENT_RESOURCES,
            mounts=mounts,
            env={**clickhouse_environment(args.clickhouse), **release_check_environment(args.version), **shared},
        ),
    ]
