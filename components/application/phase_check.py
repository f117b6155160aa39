"""The container that checks, before a migration, that no phase of the way to version 4 of Langfuse is skipped.

It reads both databases: docs/decisions/v4-phases.md. `python -m operations phase` runs the same container in a Job of
its own.
"""

from collections.abc import Sequence
from pathlib import Path

from components.application.component import ApplicationContext
from components.application.extra_env import connection_variables, extra_environment
from components.application.phases import BACKFILL, phase_environment
from components.application.store_checks import NODE_ENVIRONMENT, check_container
from components.application.store_variables import database_environment, postgres_url
from components.kubernetes.files import read_scripts
from components.kubernetes.pods import Container, Mount
from components.kubernetes.variables import text

CONTAINER = "phase"
"""The name of the container."""

LOG_SECONDS = 30
"""How long query_log may take to show a statement. A server flushes it every 7.5 seconds by default."""

SCRIPTS = ("check-phase.js", "phase-facts.js", "phase-rules.js")


def phase_scripts() -> dict[str, str]:
    """The scripts, as the data of a ConfigMap. They need those of the store check too."""
    return read_scripts(Path(__file__).parent / "scripts", *SCRIPTS)


def phase_check(context: ApplicationContext, mounts: Sequence[Mount]) -> Container:
    """The container. It fails if the configured phase skips another one, or if something is missing for it.

    Args:
        context: Settings, stores and credentials.
        mounts: The scripts, the CA bundles and a folder for temporary files.
    """
    settings, stores = context.settings, context.stores
    environment = {
        **database_environment(stores.postgres, stores.clickhouse),
        **connection_variables(settings),
        "DIRECT_URL": postgres_url(stores.postgres, direct=True),
        **NODE_ENVIRONMENT,
        "PHASE": settings.phase,
        "BACKFILLS": {**phase_environment(settings, "worker"), **extra_environment(settings, "worker")}[BACKFILL],
        "LOG_SECONDS": str(LOG_SECONDS),
        "STORE_CHECKS": settings.application.store_checks,
        "ACKNOWLEDGED": text(settings.ingestion.acknowledge_events_only),
    }
    return check_container(CONTAINER, context, SCRIPTS[0], mounts, environment)
