"""Langfuse worker: takes jobs from the queues and writes to ClickHouse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import images
from components.connections import Environment
from components.deployments import deployment
from components.environment import WORKER_PORT
from components.installation import Installation, child_options, service_account
from components.pods import Mount, container, http_probe, pod
from components.schema.application import Workload as WorkloadSettings

GRACE_SECONDS = 330
"""At SIGTERM the worker waits for its jobs, then flushes what it holds for ClickHouse (worker/src/utils/shutdown.ts);
jobs of five minutes are normal."""

STUCK = "/api/health?failIfQueueConsumptionStuck=true&failIfEventPropagationStuck=true"
"""Fails when no job was consumed or no event propagated for long (worker/src/api/index.ts). The plain path would
restart every worker whenever Postgres or Redis is away; it is what readiness asks."""


@dataclass(frozen=True, kw_only=True)
class WorkerArgs:
    """What worker needs."""

    installation: Installation
    version: str
    settings: WorkloadSettings
    environment: Environment
    annotations: Mapping[str, pulumi.Input[str]]
    identity: Mapping[str, str]
    """Annotations of the service account, which stand for keys of the object store where there are none."""
    certificates: Sequence[Mount]
    """What the stores' own certificates are checked against."""
    after: Sequence[pulumi.Resource]
    """What must be there before the pods start: the migrated schema and the stores."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": self.version, **self.settings.model_dump()}


class Worker(pulumi.ComponentResource):
    """A Deployment that finishes its jobs before it goes, and is restarted when it has silently stopped working.

    It has no Service: nothing calls it.
    """

    def __init__(self, name: str, args: WorkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Worker", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        workload = installation.workload("worker", component="worker", version=args.version)
        image = images.worker(args.version)
        account = service_account(installation, workload, child, args.identity)
        mounts = [Mount.scratch("tmp", "/tmp"), *args.certificates]  # noqa: S108  # the pod's own
        template = pod(
            workload,
            [
                container(
                    "worker",
                    image,
                    resources=args.settings.resources,
                    mounts=mounts,
                    env=args.environment,
                    ports={"http-health": WORKER_PORT},
                    startup=http_probe("/api/health", WORKER_PORT, period=5, failures=60),
                    readiness=http_probe("/api/ready", WORKER_PORT, period=10, failures=3),
                    # The check compares with what it saw before: it may not be asked in the first minute.
                    liveness=http_probe(STUCK, WORKER_PORT, period=60, failures=5, timeout=10, delay=60),
                )
            ],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=args.annotations,
        )
        deployment(installation, workload, args.settings, template, child, after=args.after)
        self.register_outputs({})
