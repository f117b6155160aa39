"""Postgres as one server that the stack runs."""

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import config, read_scripts
from components.kubernetes.installation import (
    Installation,
    config_map,
    service,
    service_account,
    volume_claim,
)
from components.kubernetes.jobs import run_script, scripts_mount
from components.kubernetes.pods import Mount, container, exec_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import stateful_set
from components.kubernetes.variables import Environment, SecretRef
from components.schema import images
from components.schema.base import Resources
from components.schema.stores import ManagedPostgres
from components.schema.values import quantity_value
from components.stores.postgres.release import major, same_major_release

SCRIPTS = Path(__file__).parent / "scripts"
CONFIG = Path(__file__).parent / "config"

PORT = 5432
ROLE = "langfuse"
DATABASE = "langfuse"
DATA_PATH = "/var/lib/postgresql/data"
SOCKET_PATH = "/var/run/postgresql"

BUILTIN_LOCALE = 17
"""Major release that has a locale of its own: with the system's, the order of text may change under the indexes when an
image brings another C library. That of C.UTF-8 before it is by code point, too, but not promised."""

START_SECONDS = 1800
"""Time for crash recovery: a server that replays its log must not be killed, or it never gets through."""

GRACE_SECONDS = 120
"""The image's stop signal is SIGINT, a fast shutdown: clients are cut, then a checkpoint is written."""


def postgres_server(
    installation: Installation,
    settings: ManagedPostgres,
    password: SecretRef,
    annotations: Mapping[str, pulumi.Input[str]],
    child: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """One server with one role, which owns one database and is no superuser.

    The superuser has no way in over the network (`config/pg_hba.conf`).

    The data directory is made by an init container. The image's entrypoint would take whatever has a PG_VERSION for a
    database, so that a first start that was killed half way is never repeated (github.com/docker-library/postgres,
    docker-entrypoint.sh).
    """
    image = images.postgres(settings.version)
    workload = installation.workload("postgres", component="database", version=image.tag)
    account = service_account(installation, workload, child)
    service(installation, workload, {"tcp-postgres": PORT}, child)
    governing = service(installation, workload, {"tcp-postgres": PORT}, child, headless=True)
    claim = volume_claim(installation, workload, settings.storage, child)
    configuration = config_map(installation, workload, "config", configuration_files(settings), child)
    files = read_scripts(SCRIPTS, "initialize-postgres.sh", "create-database.sh")
    first_start = scripts_mount(config_map(installation, workload, "first-start", files, child))
    mounts = [
        Mount.claim("data", claim.metadata.name, DATA_PATH),
        Mount.config("config", configuration.metadata.name, "/etc/postgresql"),
        Mount.scratch("run", SOCKET_PATH),
        Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
        shared_memory(settings),
    ]
    # A subdirectory: a volume's root may hold lost+found, and initdb wants it empty.
    data: Environment = {"PGDATA": f"{DATA_PATH}/pgdata", "TZ": "UTC"}
    initialize = container(
        "initialize",
        image,
        command=run_script("initialize-postgres.sh"),
        resources=settings.resources,
        mounts=[first_start, *mounts],
        env={
            "POSTGRES_PASSWORD": password,
            "APPLICATION_ROLE": ROLE,
            "APPLICATION_DATABASE": DATABASE,
            "PGHOST": SOCKET_PATH,
            "POSTGRES_INITDB_ARGS": initdb_arguments(settings.version),
            **data,
        },
    )
    initialize["termination_message_policy"] = "FallbackToLogsOnError"  # a refusal shows in the pod's status
    ask = ["pg_isready", "--host", "127.0.0.1", "--username", ROLE, "--dbname", DATABASE]
    template = pod(
        workload,
        [
            container(
                "postgres",
                image,
                command=["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"],
                resources=settings.resources,
                mounts=mounts,
                env=data,
                ports={"tcp-postgres": PORT},
                startup=exec_probe(ask, period=5, failures=START_SECONDS // 5),
                readiness=exec_probe(ask, period=10, failures=3),
                liveness=tcp_probe(PORT, period=20, failures=6),
            )
        ],
        init_containers=[initialize],
        fs_group=image.uid,
        mounts=[first_start, *mounts],
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        annotations=annotations,
    )
    options = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(hooks=same_major_release()))
    return stateful_set(installation, workload, template, options, governing=governing)


def server_psql_command(installation: Installation) -> str:
    """How a person reaches the database: as the superuser, who gets in from inside the pod alone."""
    return (
        f"kubectl --namespace {installation.namespace} exec langfuse-postgres-0 --container postgres -- "
        f"psql --username postgres --dbname {DATABASE}"
    )


def initdb_arguments(version: str) -> str:
    """Options for a first start. They are used once: a change touches nothing that exists.

    Every locale is named. The others would be that of LANG in the image, and a server whose image lacks a locale that
    the data directory was made with refuses every connection.
    """
    builtin = " --locale-provider=builtin --builtin-locale=C.UTF-8" if major(version) >= BUILTIN_LOCALE else ""
    return f"--data-checksums --encoding=UTF8 --locale=C.UTF-8{builtin}"


def configuration_files(settings: ManagedPostgres) -> dict[str, str]:
    """postgresql.conf and pg_hba.conf, sized by the container's memory."""
    return {
        "postgresql.conf": config(CONFIG / "postgresql.conf", **memory_megabytes(settings.resources)),
        "pg_hba.conf": config(CONFIG / "pg_hba.conf", username=ROLE),
    }


def memory_megabytes(resources: Resources) -> dict[str, int]:
    """A quarter of the memory for Postgres itself, and what its planner may expect of the rest."""
    mebibytes = int(quantity_value(resources.memory) / 1024**2)
    return {
        "shared_buffers_mb": mebibytes // 4,
        "effective_cache_mb": mebibytes // 2,
        "maintenance_work_mb": max(16, min(mebibytes // 16, 1024)),
    }


def shared_memory(settings: ManagedPostgres) -> Mount:
    """Room for parallel queries, which fail with the 64 MiB that a container has by default.

    It counts against the container's memory.
    """
    mebibytes = int(quantity_value(settings.resources.memory) / 1024**2) // 8
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "shared-memory",
        "empty_dir": {"medium": "Memory", "size_limit": f"{mebibytes}Mi"},
    }
    return Mount(volume=volume, path="/dev/shm")  # noqa: S108  # where Postgres makes its segments
