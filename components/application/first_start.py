"""The first organization, project, owner and API keys: made by one Job, before web starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.application.web import START_SECONDS
from components.kubernetes.files import read_scripts
from components.kubernetes.installation import Installation, child_options, config_map, service_account
from components.kubernetes.jobs import SCRIPTS_PATH, job, scripts_mount
from components.kubernetes.pods import Mount, container, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources

SCRIPTS = Path(__file__).parent / "scripts"

SCRIPT = "first-start.sh"

RETRIES = 3
"""For a store that is away for a moment."""

DEADLINE_SECONDS = 1800
"""Four servers that take START_SECONDS each, the pauses between them, and a node that has to pull the image."""

GRACE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class FirstStartArgs:
    """What the first start needs."""

    installation: Installation
    version: str
    resources: Resources
    """Of web: its environment fits them."""
    environment: Environment
    annotations: Mapping[str, pulumi.Input[str]]
    certificates: Sequence[Mount]
    """What the stores' own certificates are checked against."""
    after: Sequence[pulumi.Resource]
    """The migrated schema and the stores."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": self.version}


class FirstStart(pulumi.ComponentResource):
    """A Job that runs one web server until it has made what `firstStart` names, and then ends it.

    A web server that is told of them makes them at its start, where they are missing. Several at the same time fail on
    each other's rows, do not end, and answer every request with 500. So only this Job's server is told.

    It runs again when the release, the settings of web or one of their Secrets changes, and has the environment of web:
    an update with settings that no web server starts with ends here, and web stays as it is.
    """

    ready: Sequence[pulumi.Resource]
    """What web waits for."""

    def __init__(self, name: str, args: FirstStartArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:FirstStart", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        image = images.web(args.version)
        workload = installation.workload("first-start", component="first-start", version=args.version)
        account = service_account(installation, workload, child)
        mounts = [
            scripts_mount(config_map(installation, workload, "scripts", read_scripts(SCRIPTS, SCRIPT), child)),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
            Mount.scratch("next-cache", "/app/web/.next/cache"),
            *args.certificates,
        ]
        start = container(
            "first-start",
            image,
            # The image's entrypoint runs it: it makes DATABASE_URL from its parts, and does not migrate.
            args=["/bin/sh", f"{SCRIPTS_PATH}/{SCRIPT}"],
            resources=args.resources,
            mounts=mounts,
            env={**args.environment, "WAIT_SECONDS": str(START_SECONDS)},
        )
        template = pod(
            workload,
            [start],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
            annotations=args.annotations,
        )
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(args.after)))
        self.ready = [job(installation, workload, template, after, deadline_seconds=DEADLINE_SECONDS, retries=RETRIES)]
        self.register_outputs({})
