"""Langfuse worker: processes the queues and writes to ClickHouse."""

from collections.abc import Sequence

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import WORKER_PORT, worker_environment
from components.application.modules import KEEP_REDIS_CONNECTIONS, LISTEN_ON_IPV6, modules_mount, with_modules
from components.kubernetes.deployments import deployment
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import TMP, container, http_probe, pod, secret_names
from components.schema import images

NODE_MODULES = (KEEP_REDIS_CONNECTIONS, LISTEN_ON_IPV6)

STUCK = "/api/health?failIfQueueConsumptionStuck=true&failIfEventPropagationStuck=true"
"""Fails if no job was consumed for an hour, or no event was propagated for 35 minutes (15 up to 4.16). Like every
health path of the worker, it also fails while Postgres or Redis does not answer
(worker/src/features/health/index.ts)."""

OUTAGE_SECONDS = 1800
"""How long the liveness probe may fail before the kubelet restarts the worker. A restart does not repair a store, and
all workers would restart at once."""

START_SECONDS = 300
"""From the start of the process to an answer at `/`, which queries no store (worker/src/app.ts). Before it listens, the
worker asks ClickHouse for its version, for ten seconds at most, and writes default prices, evaluators and dashboards to
Postgres. Without one of them, it logs that and continues (worker/src/initialize.ts and the functions that it calls,
4.16 and newer)."""


class Worker(pulumi.ComponentResource):
    """A Deployment that finishes its jobs before it stops, and restarts when it has silently stopped working.

    The outage of a store makes it unready and does not restart it. It has no Service, because nothing calls it.
    """

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
            after: What must exist before the pods start: the schema and the stores.
        """
        settings, version = context.settings.worker, context.settings.version
        super().__init__("langfuse:index:Worker", name, {"version": version, **settings.model_dump()}, opts)
        image = images.worker(version)
        workload = context.installation.workload("worker", component="worker", version=version)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope, context.stores.object_store.account_annotations)
        mounts = [modules_mount(scope, NODE_MODULES), TMP, *context.ca_bundles]
        environment = worker_environment(context.settings, context.stores, context.refs)
        worker = container(
            "worker",
            image,
            resources=settings.resources,
            mounts=mounts,
            env=with_modules(environment, NODE_MODULES),
            ports={"http-health": WORKER_PORT},
            startup=http_probe("/", WORKER_PORT, period=5, failures=START_SECONDS // 5),
            readiness=http_probe("/api/ready", WORKER_PORT, period=10, failures=3),
            # The check compares with an earlier state, so it must not run in the first minute.
            liveness=http_probe(STUCK, WORKER_PORT, period=60, failures=OUTAGE_SECONDS // 60, timeout=10, delay=60),
        )
        template = pod(
            workload,
            [worker],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=settings.termination_grace_period_seconds,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        deployment(scope, settings, template, after=after)
        self.register_outputs({})
