"""Deletes what Redis has of this installation, when the data of another one takes its place."""

from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import redis_key_prefix
from components.application.extra_env import connection_variables
from components.application.store_checks import store_check_scripts
from components.application.store_variables import redis_environment
from components.backups.steps import WORK, step, steps_pod
from components.kubernetes.files import read_scripts, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options
from components.schema import images
from components.stores.contract import EMPTY_REDIS

SCRIPTS = Path(__file__).parent / "scripts"

DEADLINE_SECONDS = 3600


class EmptyRedis(pulumi.ComponentResource):
    """A suspended CronJob, in stacks that can take the place of another one. It knows the password of Redis only."""

    def __init__(self, name: str, context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:EmptyRedis", name, {}, opts)
        image = images.worker(context.settings.version)
        workload = context.installation.workload(EMPTY_REDIS, component="restore", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        checks = store_check_scripts()
        used = {name: checks[name] for name in ("check-redis.js", "store-results.js")}
        scripts = scripts_mount(scope, {**read_scripts(SCRIPTS, "empty-redis.js"), **used})
        environment = {
            **redis_environment(context.stores.redis),
            "REDIS_KEY_PREFIX": redis_key_prefix(context.settings),
            **connection_variables(context.settings),
        }
        mounts = [scripts, WORK, *context.ca_bundles]
        empty = step("empty", context, "empty-redis.js", [scripts, *context.ca_bundles], environment)
        cron_job(scope, steps_pod(context, scope, [empty], mounts), deadline_seconds=DEADLINE_SECONDS)
        self.register_outputs({})
