"""Postgres: projects, users, prompts and settings."""

from typing import Any

from components.schema.environment import Settings
from components.schema.stores import CloudNativePgPostgres, ExternalPostgres, ManagedPostgres
from components.stores.connections import PostgresConnection
from components.stores.contract import Store
from components.stores.postgres.cloudnative_pg import CloudNativePgMode
from components.stores.postgres.external import ExternalPostgresMode
from components.stores.postgres.managed import ManagedPostgresMode
from components.stores.postgres.mode import PostgresMode


class Postgres(Store[PostgresConnection]):
    """The relational database, in the mode of `langfuse:postgres`."""


def postgres_mode(settings: Settings) -> PostgresMode[Any]:
    """The configured mode. A new mode is one more case."""
    match settings.postgres:
        case ManagedPostgres() as config:
            return ManagedPostgresMode(settings, config)
        case CloudNativePgPostgres() as config:
            return CloudNativePgMode(settings, config)
        case ExternalPostgres() as config:
            return ExternalPostgresMode(settings, config)
