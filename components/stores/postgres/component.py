"""Postgres: projects, users, prompts and settings."""

from typing import Any

from components.schema.environment import Settings
from components.schema.stores import CloudNativePgPostgres, ExternalPostgres, ManagedPostgres
from components.stores.connections import PostgresConnection
from components.stores.contract import Store, StoreMode
from components.stores.postgres.cloudnative_pg import CloudNativePg
from components.stores.postgres.external import External
from components.stores.postgres.managed import Managed


class Postgres(Store[PostgresConnection]):
    """The relational database, in the mode of `langfuse:postgres`."""


def postgres_mode(settings: Settings) -> StoreMode[Any, PostgresConnection]:
    """The configured mode. A new mode is one more case."""
    match settings.postgres:
        case ManagedPostgres() as own:
            return Managed(settings, own)
        case CloudNativePgPostgres() as own:
            return CloudNativePg(settings, own)
        case ExternalPostgres() as own:
            return External(settings, own)
