"""The first organization, project, owner and API keys: a Job creates them before web starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.application.component import ApplicationContext
from components.application.environment import first_start_environment
from components.application.web import START_SECONDS
from components.kubernetes.files import SCRIPTS_PATH, read_scripts, scripts_mount
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import TMP, Mount, container, pod, secret_names
from components.kubernetes.variables import Environment
from components.schema import images

SCRIPTS = Path(__file__).parent / "scripts"

SCRIPT = "first-start.sh"

RETRIES = 3
"""For a short outage of a store."""

GRACE_SECONDS = 30

ATTEMPT_SECONDS = START_SECONDS + 60
"""The server starts, creates what is missing, and stops."""


class FirstStart(pulumi.ComponentResource):
    """A Job that runs one web server until it has created what `firstStart` names, and then stops it.

    A web server that gets these settings creates missing objects when it starts. Several servers at the same time fail
    on each other's rows, keep running, and answer every request with 500. So only the server of this Job gets them.

    The Job runs again when the release, the settings of web or one of their Secrets changes. Its environment is that of
    web, so an update with settings that prevent web from starting fails here, and the running web stays as it is.
    """

    ready: Sequence[pulumi.Resource]
    """What web waits for."""

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
            after: The migrated schema and the stores.
        """
        version = context.settings.version
        super().__init__("langfuse:index:FirstStart", name, {"version": version}, opts)
        workload = context.installation.workload("first-start", component="first-start", version=version)
        environment = first_start_environment(context.settings, context.stores, context.refs)
        scope = Scope(workload, child_options(self, opts))
        self.ready = [initializing_job(scope, context, {"first-start": environment}, after=after)]
        self.register_outputs({})


def initializing_job(
    scope: Scope,
    context: ApplicationContext,
    environments: Mapping[str, Environment],
    *,
    after: Sequence[pulumi.Resource],
) -> k8s.batch.v1.Job:
    """A Job that runs a web server for each environment, one after another, until it has created what is missing.

    Args:
        scope: The workload of the Job.
        context: Settings, stores and credentials.
        environments: The variables of each container, by its name.
        after: What must exist before.
    """
    version = context.settings.version
    mounts = [
        scripts_mount(scope, read_scripts(SCRIPTS, SCRIPT)),
        TMP,
        Mount.scratch("next-cache", "/app/web/.next/cache"),
        *context.ca_bundles,
    ]
    *first, last = [
        container(
            name,
            images.web(version),
            # Arguments of the image's entrypoint, which sets DATABASE_URL. Its migrations are off.
            args=["/bin/sh", f"{SCRIPTS_PATH}/{SCRIPT}"],
            resources=context.settings.web.resources,
            mounts=mounts,
            env={**environment, "WAIT_SECONDS": str(START_SECONDS)},
        )
        for name, environment in environments.items()
    ]
    secrets = {name for environment in environments.values() for name in secret_names(environment)}
    template = pod(
        scope.workload,
        [last],
        init_containers=first,
        fs_group=images.web(version).uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=service_account(scope).metadata.name,
        restart_policy="Never",
        annotations=context.checksum_annotations(secrets),
    )
    waits = pulumi.ResourceOptions(depends_on=list(after))
    return job(scope, template, attempt_seconds=ATTEMPT_SECONDS * len(environments), retries=RETRIES, opts=waits)
