"""Postgres: projects, users, prompts and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import images
from components.connections import Endpoint, PostgresConnection, SecretRef
from components.files import config, script
from components.installation import (
    Installation,
    child_options,
    config_map,
    service,
    service_account,
    volume_claim,
)
from components.pods import Mount, container, exec_probe, pod, tcp_probe
from components.settings import Postgres as PostgresSettings
from components.values import quantity_value

PORT = 5432
ROLE = "langfuse"
DATABASE = "langfuse"
DATA_PATH = "/var/lib/postgresql/data"

INITDB_ARGS = "--data-checksums --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8"
"""Postgres' own locale: with the system's, the order of text may change under the indexes when an image brings
another C library."""

START_SECONDS = 1800
"""Time for crash recovery: a server that replays its log must not be killed, or it never gets through."""

GRACE_SECONDS = 120
"""The image's stop signal is SIGINT, a fast shutdown: clients are cut, then a checkpoint is written."""


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """What Postgres needs."""

    installation: Installation
    settings: PostgresSettings
    password: SecretRef
    annotations: Mapping[str, pulumi.Input[str]]

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": images.POSTGRES.tag, **self.settings.model_dump()}


class Postgres(pulumi.ComponentResource):
    """One server with one role, which owns one database and is no superuser.

    The superuser has no way in over the network (`config/postgres/pg_hba.conf`).
    """

    connection: PostgresConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Postgres", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        image = images.POSTGRES
        workload = installation.workload("postgres", component="database", version=image.tag)
        account = service_account(installation, workload, child)
        service(installation, workload, {"tcp-postgres": PORT}, child)
        governing = service(installation, workload, {"tcp-postgres": PORT}, child, headless=True)
        claim = volume_claim(installation, workload, args.settings.storage, child)
        configuration = config_map(installation, workload, "config", configuration_files(args.settings), child)
        first_start = config_map(installation, workload, "first-start", script("create-database.sh"), child)
        mounts = [
            Mount.claim("data", claim.metadata.name, DATA_PATH),
            Mount.config("config", configuration.metadata.name, "/etc/postgresql"),
            Mount.config("first-start", first_start.metadata.name, "/docker-entrypoint-initdb.d", executable=True),
            Mount.scratch("run", "/var/run/postgresql"),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
            shared_memory(args.settings),
        ]
        ask = ["pg_isready", "--host", "127.0.0.1", "--username", ROLE, "--dbname", DATABASE]
        server = k8s.apps.v1.StatefulSet(
            workload.resource_name,
            metadata=installation.metadata(workload, name=workload.resource_name),
            spec={
                "replicas": 1,
                "revision_history_limit": 3,
                "selector": {"match_labels": workload.selector},
                "service_name": governing.metadata.name,
                "template": pod(
                    workload,
                    [
                        container(
                            "postgres",
                            image,
                            args=["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"],
                            resources=args.settings.resources,
                            mounts=mounts,
                            env={
                                "POSTGRES_PASSWORD": args.password,
                                "APPLICATION_ROLE": ROLE,
                                "APPLICATION_DATABASE": DATABASE,
                                # A subdirectory: a volume's root may hold lost+found, and initdb wants it empty.
                                "PGDATA": f"{DATA_PATH}/pgdata",
                                "POSTGRES_INITDB_ARGS": INITDB_ARGS,
                                "TZ": "UTC",
                            },
                            ports={"tcp-postgres": PORT},
                            startup=exec_probe(ask, period=5, failures=START_SECONDS // 5),
                            readiness=exec_probe(ask, period=10, failures=3),
                            liveness=tcp_probe(PORT, period=20, failures=6),
                        )
                    ],
                    fs_group=image.uid,
                    mounts=mounts,
                    grace_seconds=GRACE_SECONDS,
                    service_account=account.metadata.name,
                    annotations=args.annotations,
                ),
            },
            opts=installation.stateful(child),
        )
        self.connection = PostgresConnection(
            endpoint=Endpoint(host=workload.resource_name, port=PORT),
            database=DATABASE,
            username=ROLE,
            password=args.password,
        )
        self.ready = [server]
        self.register_outputs({"address": self.connection.endpoint.authority})


def configuration_files(settings: PostgresSettings) -> dict[str, str]:
    """postgresql.conf and pg_hba.conf, sized by the container's memory."""
    mebibytes = int(quantity_value(settings.resources.memory) / 1024**2)
    return {
        "postgresql.conf": config(
            "postgres/postgresql.conf",
            shared_buffers_mb=mebibytes // 4,
            effective_cache_mb=mebibytes // 2,
            maintenance_work_mb=max(16, min(mebibytes // 16, 1024)),
        ),
        "pg_hba.conf": config("postgres/pg_hba.conf", username=ROLE),
    }


def shared_memory(settings: PostgresSettings) -> Mount:
    """Room for parallel queries, which fail with the 64 MiB that a container has by default.

    It counts against the container's memory.
    """
    mebibytes = int(quantity_value(settings.resources.memory) / 1024**2) // 8
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "shared-memory",
        "empty_dir": {"medium": "Memory", "size_limit": f"{mebibytes}Mi"},
    }
    return Mount(volume=volume, path="/dev/shm")  # noqa: S108  # where Postgres makes its segments
