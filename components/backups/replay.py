"""Replay of raw events: after ClickHouse was restored, or the queue was lost, workers process them again."""

import pulumi

from components.application.component import ApplicationContext
from components.application.extra_env import extra_environment
from components.backups.steps import WORK, step, step_scripts, steps_pod
from components.kubernetes.files import scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options
from components.kubernetes.variables import PodField
from components.schema import images
from components.stores.clients import bucket_client_environment
from components.stores.connections import Endpoint
from components.stores.contract import REPLAY

DEADLINE_SECONDS = 24 * 3600
"""The list of a bucket with 100 million events takes about three hours."""


WAIT_SECONDS = 600
"""How long it waits for web, which may have just been started."""

EVENTS_PER_SECOND = 200
"""How many events it queues a second, so that workers keep up with new ones. They take the secondary queue."""

SEEN_EVENTS = "LANGFUSE_ENABLE_REDIS_SEEN_EVENT_CACHE"
"""With it, workers skip an event that they processed in the last five minutes (worker/src/queues/ingestionQueue.ts)."""

SEEN_SECONDS = 330

JOB_UID = "metadata.labels['batch.kubernetes.io/controller-uid']"
"""The same for all attempts of a Job."""


class Replay(pulumi.ComponentResource):
    """A suspended CronJob. `python -m operations restore` and `replay` make Jobs from it."""

    def __init__(self, name: str, context: ApplicationContext, web: Endpoint, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:Replay", name, {"eventsPerSecond": EVENTS_PER_SECOND}, opts)
        object_store, image = context.stores.object_store, images.worker(context.settings.version)
        workload = context.installation.workload(REPLAY, component="replay", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        scripts = scripts_mount(scope, step_scripts("replay-events.js"))
        extra = extra_environment(context.settings, "worker")
        environment = {
            **bucket_client_environment(object_store, object_store.buckets["events"]),
            "WEB_URL": web.http_url,
            "ADMIN_API_KEY": context.refs["admin_api_key"],
            "RUN": PodField(path=JOB_UID),
            "RATE": str(EVENTS_PER_SECOND),
            "WAIT_SECONDS": str(WAIT_SECONDS),
            "SETTLE_SECONDS": str(SEEN_SECONDS if extra.get(SEEN_EVENTS) == "true" else 0),
            "SINCE": "",
            "DRY_RUN": "true",
        }
        template = steps_pod(
            context,
            scope,
            [step("replay", context, "replay-events.js", [scripts], environment)],
            [scripts, WORK],
            object_store.account_annotations,
        )
        cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS)
        self.register_outputs({})
