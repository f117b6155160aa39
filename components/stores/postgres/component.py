"""Postgres: projects, users, prompts and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

from components.kubernetes.installation import Installation, child_options
from components.kubernetes.variables import SecretRef
from components.schema import images
from components.schema.stores import CloudNativePgPostgres, ExternalPostgres, ManagedPostgres
from components.schema.stores import Postgres as PostgresSettings
from components.stores.connections import Endpoint, ObjectStoreConnection, PostgresConnection
from components.stores.postgres.cloudnative_pg import cluster_psql_command, postgres_cluster
from components.stores.postgres.server import DATABASE, PORT, ROLE, postgres_server, server_psql_command


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """What Postgres needs."""

    installation: Installation
    settings: PostgresSettings
    password: SecretRef
    annotations: Mapping[str, pulumi.Input[str]]
    ca_path: str | None
    """The file of an external server's authority, in every pod that connects."""
    object_store: ObjectStoreConnection
    """Where a cluster archives its log."""
    schedule: str
    """Of its base backups: cron, UTC."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return self.settings.model_dump()


class Postgres(pulumi.ComponentResource):
    """One server of ours, a cluster of the CloudNativePG operator, or nothing but the way to one that is there."""

    connection: PostgresConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Postgres", name, args.visible(), opts)
        child = child_options(self, opts)
        match args.settings:
            case ManagedPostgres() as settings:
                self.ready = [postgres_server(args.installation, settings, args.password, args.annotations, child)]
                self.connection = own_connection(
                    "langfuse-postgres",
                    settings.version,
                    args.password,
                    psql_command=server_psql_command(args.installation),
                )
            case CloudNativePgPostgres() as settings:
                cluster = postgres_cluster(
                    args.installation, settings, args.password, args.object_store, args.schedule, child
                )
                self.ready = [cluster]
                self.connection = own_connection(
                    "langfuse-postgres-rw",
                    settings.version,
                    args.password,
                    psql_command=cluster_psql_command(args.installation),
                    tls="require",
                )
            case ExternalPostgres() as settings:
                self.ready = []
                self.connection = external_connection(settings, args.password, args.ca_path)
        self.register_outputs({"address": self.connection.endpoint.authority})


def own_connection(
    host: str, version: str, password: SecretRef, *, psql_command: str, tls: Literal["require"] | None = None
) -> PostgresConnection:
    """How servers of ours are reached: by the name of their Service."""
    return PostgresConnection(
        endpoint=Endpoint(host=host, port=PORT),
        database=DATABASE,
        username=ROLE,
        password=password,
        version=version,
        psql_command=psql_command,
        tls=tls,
    )


def external_connection(settings: ExternalPostgres, password: SecretRef, ca_path: str | None) -> PostgresConnection:
    """How a server is reached that is there already."""
    apart = settings.direct_host is not None or settings.direct_port is not None
    direct = Endpoint(host=settings.direct_host or settings.host, port=settings.direct_port or settings.port)
    return PostgresConnection(
        endpoint=Endpoint(host=settings.host, port=settings.port),
        direct=direct if apart else None,
        pooler=settings.pooler,
        database=settings.database,
        username=settings.username,
        password=password,
        version=settings.version or images.NEWEST_POSTGRES,
        psql_command=f"psql --host {direct.host} --port {direct.port} --username {settings.username} "
        f"--dbname {settings.database}",
        tls=settings.tls,
        ca_path=ca_path,
    )
