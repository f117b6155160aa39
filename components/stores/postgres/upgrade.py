"""The upgrade of a managed Postgres to another major release: a Job copies the database into a new volume.

`python -m operations upgrade-postgres` (`operations/postgres_upgrade.py`) moves a stack from step to step by keys of
the stack file, and stops the application while the Job runs:

| Step | `version` | `volume` | `upgradeTo` | `former` |
| --- | --- | --- | --- | --- |
| before | 17.10 | | | |
| copy: the Job and the new volume exist | 17.10 | | 18.4 | |
| switched: the server has the new volume, the former one is kept | 18.4 | 18 | | 17.10 |
| finished | 18.4 | 18 | | |
"""

from collections.abc import Sequence

import pulumi

from components.kubernetes.files import run_script
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, service_account
from components.kubernetes.pods import Mount, container, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources

WORKLOAD = "postgres-upgrade"

COPY_SECONDS = 12 * 3600
"""A restore builds every index again."""

DISCONNECT_SECONDS = 900
"""How long the copy waits until web and worker have stopped: longer than the grace period of a worker."""

GRACE_SECONDS = 30
"""A copy that is cut short begins again."""


def upgrade_job(  # parts of the server's pod
    scope: Scope,
    version: str,
    resources: Resources,
    mounts: Sequence[Mount],
    environment: Environment,
    *,
    after: Sequence[pulumi.Resource],
) -> None:
    """Create the Job that copies the database of the running server into a new volume.

    Args:
        scope: The workload of the Job.
        version: The new release.
        resources: Those of the server.
        mounts: The new volume, the scripts, and folders for the socket and temporary files.
        environment: The variables of the script, but for the time that it waits.
        after: The server.
    """
    image = images.postgres(version)
    account = service_account(scope)
    copy = container(
        "copy",
        image,
        command=run_script("upgrade-postgres.sh"),
        resources=resources,
        mounts=mounts,
        env={**environment, "WAIT_SECONDS": str(DISCONNECT_SECONDS)},
    )
    copy["termination_message_policy"] = "FallbackToLogsOnError"  # shows an error in the pod's status
    template = pod(
        scope.workload,
        [copy],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        restart_policy="Never",
    )
    waits = pulumi.ResourceOptions(depends_on=list(after))
    job(scope, template, attempt_seconds=DISCONNECT_SECONDS + COPY_SECONDS, retries=1, opts=waits)
