"""Langfuse worker: processes the queues and writes to ClickHouse."""

from collections.abc import Sequence

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import WORKER_PORT, worker_environment
from components.application.modules import KEEP_REDIS_CONNECTIONS, LISTEN_ON_IPV6, modules_mount, with_modules
from components.application.queue_scaling import queue_autoscaler, queue_length
from components.kubernetes.deployments import deployment
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import TMP, Mount, PodTemplate, container, http_probe, pod, secret_names
from components.schema import images
from components.schema.workloads import Worker as WorkerSettings

NODE_MODULES = (KEEP_REDIS_CONNECTIONS, LISTEN_ON_IPV6)

STUCK = "/api/health?failIfQueueConsumptionStuck=true&failIfEventPropagationStuck=true"
"""Fails if no job was consumed for an hour (for `queues.IDLE_MINUTES`, if no queue has regular jobs), or no event was
propagated for 35 minutes (15 up to 4.16). Like every health path of the worker, it also fails while Postgres or Redis
does not answer (worker/src/features/health/index.ts)."""

OUTAGE_SECONDS = 1800
"""How long the liveness probe may fail before the kubelet restarts the worker. A restart does not repair a store, and
all workers would restart at once."""

START_SECONDS = 300
"""From the start of the process to an answer at `/`, which queries no store (worker/src/app.ts). Before it listens, the
worker asks ClickHouse for its version, for ten seconds at most, and writes default prices, evaluators and dashboards to
Postgres. Without one of them, it logs that and continues (worker/src/initialize.ts and the functions that it calls,
4.16 and newer)."""


class Worker(pulumi.ComponentResource):
    """Deployments that finish their jobs before they stop, and restart when they have silently stopped working.

    There is one, and another for each of `worker.pools`. They differ in their queues and numbers; what follows from the
    name of a workload, such as its disruption budget and its network policies, each has for itself.

    The outage of a store makes them unready and does not restart them. They have no Service: nothing calls them.
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
        scopes = {
            workload: Scope(
                context.installation.workload(workload, component="worker", version=version), child_options(self, opts)
            )
            for workload in context.settings.worker_deployments
        }
        modules = modules_mount(scopes["worker"], NODE_MODULES)
        for workload, scope in scopes.items():
            own = context.settings.worker_deployments[workload]
            template, by_queue = _template(context, scope, own, modules), queue_length(own) is not None
            created = deployment(scope, own, template, after=after, own_autoscaler=by_queue)
            if by_queue:
                queue_autoscaler(scope, context, template, created)
        self.register_outputs({})


def _template(context: ApplicationContext, scope: Scope, settings: WorkerSettings, modules: Mount) -> PodTemplate:
    image, workload = images.worker(context.settings.version), scope.workload
    account = service_account(scope, context.stores.object_store.account_annotations)
    mounts = [modules, TMP, *context.ca_bundles]
    environment = worker_environment(context.settings, context.stores, context.refs, workload.name)
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
    return pod(
        workload,
        [worker],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=settings.termination_grace_period_seconds,
        service_account=account.metadata.name,
        annotations=context.checksum_annotations(secret_names(environment)),
    )
