"""The container that checks the stores before a migration: it does with each of them what Langfuse will do.

`python -m operations check-stores` runs the same container in a Job of its own (`operations/store_checks.py`).
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from components.application.component import ApplicationContext
from components.application.environment import redis_key_prefix
from components.application.extra_env import connection_variables
from components.application.outbound import proxy_environment
from components.application.store_variables import (
    database_environment,
    event_environment,
    export_environment,
    media_environment,
    postgres_url,
    redis_environment,
)
from components.kubernetes.files import SCRIPTS_PATH, read_scripts
from components.kubernetes.pods import Container, Mount, container
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.base import Resources
from components.schema.environment import Settings
from components.stores.connections import Connections
from components.stores.modes import StoreModes
from components.stores.versions import floor_environment

CONTAINER = "stores"
"""The name of the container."""

RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="384Mi")
"""For Node with the clients of Langfuse. Measured: 150 MiB."""

HEAP_MEBIBYTES = 192

NODE_ENVIRONMENT: Environment = {
    "HOME": "/tmp",  # noqa: S108  # inside the pod
    "NODE_OPTIONS": f"--max-old-space-size={HEAP_MEBIBYTES}",
}

SCRIPTS = (
    *("check-stores.js", "store-results.js"),
    *("check-postgres.js", "check-clickhouse.js", "check-redis.js", "check-object-store.js"),
)


def store_check_scripts() -> dict[str, str]:
    """The scripts, as the data of a ConfigMap."""
    return read_scripts(Path(__file__).parent / "scripts", *SCRIPTS)


def store_check(context: ApplicationContext, mounts: Sequence[Mount], *, wait_seconds: int) -> Container:
    """The container. It prints one line for each check, and fails if a check failed.

    Args:
        context: Settings, stores and credentials.
        mounts: The scripts, the CA bundles and a folder for temporary files.
        wait_seconds: How long it waits for a store that does not answer.
    """
    settings = context.settings
    managed = [mode.name for mode in StoreModes.of(settings) if mode.is_managed]
    environment = {
        **store_check_environment(settings, context.stores, managed),
        "NAMESPACE": context.installation.namespace,
        "WAIT_SECONDS": str(wait_seconds),
    }
    return check_container(CONTAINER, context, "check-stores.js", mounts, environment)


def check_container(
    name: str, context: ApplicationContext, script: str, mounts: Sequence[Mount], environment: Environment
) -> Container:
    """A container that runs a script with Langfuse's own clients of the stores, and shows in its status why it failed.

    Args:
        name: Name of the container.
        context: Settings, stores and credentials.
        script: Name of the script.
        mounts: The scripts, the CA bundles and a folder for temporary files.
        environment: Variables of the script and of Node.
    """
    check = container(
        name,
        images.worker(context.settings.version),
        command=["node", f"{SCRIPTS_PATH}/{script}"],
        resources=RESOURCES,
        mounts=mounts,
        env=environment,
    )
    check["termination_message_policy"] = "FallbackToLogsOnError"
    return check


def store_check_environment(settings: Settings, stores: Connections, managed: Collection[str]) -> Environment:
    """The variables with which web, worker and the migrations connect to the four stores.

    Args:
        settings: The settings of the installation.
        stores: The connections.
        managed: The names of the stores that this stack runs. No key of the stack file mends a fault of these.
    """
    return {
        **database_environment(stores.postgres, stores.clickhouse),
        "DIRECT_URL": postgres_url(stores.postgres, direct=True),
        **redis_environment(stores.redis),
        "REDIS_KEY_PREFIX": redis_key_prefix(settings),
        **event_environment(stores.object_store),
        **media_environment(settings, stores.object_store, "worker"),
        **export_environment(settings, stores.object_store, "worker"),
        "LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT": "",  # pods may not reach the public address
        "NODE_OPTIONS": f"--max-old-space-size={HEAP_MEBIBYTES}",
        **proxy_environment(settings),
        **connection_variables(settings),
        "HOME": "/tmp",  # noqa: S108  # inside the pod
        "MANAGED_STORES": ",".join(managed),
        "STORE_CHECKS": settings.application.store_checks,
        **floor_environment(settings.version),
    }
