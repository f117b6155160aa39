"""The container that refuses, before a migration, a release that leaves out one which is needed in between.

It reads both databases: `scripts/upgrade-rules.js` has the rules.
"""

from collections.abc import Sequence
from pathlib import Path

from components.application.component import ApplicationContext
from components.application.store_checks import NODE_ENVIRONMENT, check_container
from components.application.store_variables import database_environment, postgres_url
from components.kubernetes.files import read_scripts
from components.kubernetes.pods import Container, Mount

SCRIPTS = ("check-upgrade.js", "upgrade-rules.js", "schemas.js")

LAST_OF_VERSION_3 = "3.225.9"
"""The newest known release of version 3, which gets security fixes only, until January 2027
(langfuse.com/self-hosting/upgrade/upgrade-guides/upgrade-v3-to-v4)."""


def upgrade_scripts() -> dict[str, str]:
    """The scripts, as the data of a ConfigMap. They need those of the store check too."""
    return read_scripts(Path(__file__).parent / "scripts", *SCRIPTS)


def upgrade_check(context: ApplicationContext, mounts: Sequence[Mount], release_folder: str) -> Container:
    """The container. It runs after the checks of both schemas.

    Args:
        context: Settings, stores and credentials.
        mounts: The scripts, the list of the release's migrations, the CA bundles and a folder for temporary files.
        release_folder: Path of that list.
    """
    stores = context.stores
    environment = {
        **database_environment(stores.postgres, stores.clickhouse),
        "DIRECT_URL": postgres_url(stores.postgres, direct=True),
        **NODE_ENVIRONMENT,
        "RELEASE_DIR": release_folder,
        "LANGFUSE_VERSION": context.settings.version,
        "BETWEEN": LAST_OF_VERSION_3,
    }
    return check_container("upgrade", context, SCRIPTS[0], mounts, environment)
