"""Deletes a key pair: a suspended CronJob, which `python -m operations clients revoke` makes Jobs from."""

from pathlib import Path

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import redis_key_prefix
from components.application.extra_env import connection_variables
from components.application.store_checks import NODE_ENVIRONMENT, check_container, store_check_scripts
from components.application.store_variables import postgres_url, redis_environment
from components.kubernetes.files import read_scripts, scripts_mount
from components.kubernetes.jobs import cron_job
from components.kubernetes.objects import Scope, child_options, service_account
from components.kubernetes.pods import TMP, pod
from components.schema import images
from components.stores.contract import REVOKE_KEY

SCRIPTS = Path(__file__).parent / "scripts"

DEADLINE_SECONDS = 600
"""With the time to pull the image."""

GRACE_SECONDS = 30


class RevokeKeys(pulumi.ComponentResource):
    """Never starts by itself. Without a license, the API of Langfuse deletes no keys (the entitlement `admin-api`)."""

    def __init__(self, name: str, context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:RevokeKeys", name, {}, opts)
        version = context.settings.version
        workload = context.installation.workload(REVOKE_KEY, component="clients", version=version)
        scope = Scope(workload, child_options(self, opts))
        checks = store_check_scripts()
        used = {script: checks[script] for script in ("check-postgres.js", "check-redis.js", "store-results.js")}
        mounts = [
            scripts_mount(scope, {**read_scripts(SCRIPTS, "revoke-key.js"), **used}),
            TMP,
            *context.ca_bundles,
        ]
        environment = {
            "DATABASE_PASSWORD": context.stores.postgres.password,  # DIRECT_URL refers to it
            "DIRECT_URL": postgres_url(context.stores.postgres, direct=True),
            **redis_environment(context.stores.redis),
            "REDIS_KEY_PREFIX": redis_key_prefix(context.settings),
            "SALT": context.refs["salt"],
            **NODE_ENVIRONMENT,
            **connection_variables(context.settings),
            "PUBLIC_KEY": "",
        }
        template = pod(
            workload,
            [check_container("revoke", context, "revoke-key.js", mounts, environment)],
            fs_group=images.worker(version).uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=service_account(scope).metadata.name,
            restart_policy="Never",
        )
        cron_job(scope, template, deadline_seconds=DEADLINE_SECONDS)
        self.register_outputs({})
