"""Langfuse worker: takes jobs from the queues and writes to ClickHouse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.application.environment import WORKER_PORT
from components.kubernetes.deployments import deployment
from components.kubernetes.installation import Installation, child_options, service_account
from components.kubernetes.pods import Mount, container, http_probe, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.application import Worker as WorkerSettings

STUCK = "/api/health?failIfQueueConsumptionStuck=true&failIfEventPropagationStuck=true"
"""Fails when no job was consumed for an hour, or no event propagated for 35 minutes (15 up to 4.16), and like every
health path of the worker also while Postgres or Redis does not answer (worker/src/features/health/index.ts)."""

OUTAGE_SECONDS = 1800
"""How long liveness may fail before the kubelet restarts the worker: a restart does not bring a store back, and all
workers would restart at once."""

START_SECONDS = 300
"""From the start of the process to an answer at `/`, which asks no store (worker/src/app.ts). Before it listens, the
worker waits for ClickHouse and Postgres; without them it ends by itself, and the kubelet starts it again
(worker/src/index.ts, initialize.ts)."""


@dataclass(frozen=True, kw_only=True)
class WorkerArgs:
    """What worker needs."""

    installation: Installation
    version: str
    settings: WorkerSettings
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

    An outage of a store makes it unready and does not restart it. It has no Service: nothing calls it.
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
                    startup=http_probe("/", WORKER_PORT, period=5, failures=START_SECONDS // 5),
                    readiness=http_probe("/api/ready", WORKER_PORT, period=10, failures=3),
                    # The check compares with what it saw before: it may not be asked in the first minute.
                    liveness=http_probe(
                        STUCK, WORKER_PORT, period=60, failures=OUTAGE_SECONDS // 60, timeout=10, delay=60
                    ),
                )
            ],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=args.settings.termination_grace_period_seconds,
            service_account=account.metadata.name,
            annotations=args.annotations,
        )
        deployment(installation, workload, args.settings, template, child, after=args.after)
        self.register_outputs({})
