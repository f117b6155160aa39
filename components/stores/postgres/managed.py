"""Postgres as a single server that this stack runs."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_config, read_scripts, run_script, scripts_mount
from components.kubernetes.objects import Scope, config_map, service, service_account, volume_claim
from components.kubernetes.pods import TMP, Container, Mount, container, exec_probe, pod, secret_names, tcp_probe
from components.kubernetes.stateful_sets import stateful_set
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedPostgres
from components.schema.values import quantity_value
from components.stores.connections import PostgresConnection
from components.stores.contract import Flow, SecretRefs, StoreContext
from components.stores.postgres.mode import (
    BUILTIN_LOCALE,
    DATABASE,
    PORT,
    ROLE,
    PostgresMode,
    connections_in_memory,
    in_cluster_connection,
    log_megabytes,
    max_connections,
    memory_megabytes,
)
from components.stores.postgres.pool import pool_size
from components.stores.postgres.release import major, same_major_release
from components.stores.postgres.upgrade import WORKLOAD, upgrade_job

SCRIPTS = Path(__file__).parent / "scripts"
CONFIG = Path(__file__).parent / "config"

INITIALIZE = ("initialize-postgres.sh", "create-database.sh")
"""The scripts that create a data directory."""

DATA_PATH = "/var/lib/postgresql/data"
SOCKET_PATH = "/var/run/postgresql"

START_SECONDS = 1800
"""Time for crash recovery. A server that is killed while it replays its log starts the replay again."""

GRACE_SECONDS = 120
"""The image's stop signal is SIGINT, a fast shutdown: the server disconnects clients, then writes a checkpoint."""


METRICS_ROLE = "metrics"

METRICS_DATABASE = "postgres"
"""Statistics of the server are the same in every database. The application's own denies other roles, and a restore
creates it anew."""

CREATE_METRICS_ROLE = "create-metrics-role.sh"

DATA: Environment = {"PGDATA": f"{DATA_PATH}/pgdata", "TZ": "UTC"}
"""PGDATA is a subdirectory: the root of a volume may hold lost+found, and initdb requires an empty directory."""


class ManagedPostgresMode(PostgresMode[ManagedPostgres]):
    """One server with one role, which owns one database and is not a superuser.

    The superuser can't log in over the network (`config/pg_hba.conf`).
    """

    def connection(self, refs: SecretRefs) -> PostgresConnection:
        """The Service of the server."""
        pool = pool_size(self.settings, connections_in_memory(self.config.resources))
        return in_cluster_connection("langfuse-postgres", self.config.version, refs["postgres_password"], pool=pool)

    def flows(self) -> Sequence[Flow]:
        """Flows from its clients."""
        clients = (*self.clients, WORKLOAD) if self.config.upgrade_to else self.clients
        return [Flow(purpose=self.name, server=self.name, ports=[PORT], clients=clients)]

    def credentials(self) -> Collection[str]:
        """The password of the application's role, and that of the exporter's."""
        return [*super().credentials(), *(["postgres_metrics_password"] if self.exporter else [])]

    def metrics_connection(self, refs: SecretRefs) -> PostgresConnection:
        """As a role that can read statistics and no data."""
        own = self.connection(refs)
        return replace(
            own, username=METRICS_ROLE, password=refs["postgres_metrics_password"], database=METRICS_DATABASE
        )

    def pods(self) -> Sequence[Pods]:
        """One pod."""
        return [Pods(name=self.name, replicas=1, each=Requests.of(self.config.resources, self.config.storage))]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """A StatefulSet. An init container creates the data directory.

        The image's entrypoint takes any directory with a PG_VERSION for a database, so it would never repeat a first
        start that was killed halfway (github.com/docker-library/postgres, docker-entrypoint.sh).
        """
        image = images.postgres(self.config.version)
        scope = Scope(self.installation.workload(self.name, component="database", version=image.tag), opts)
        account = service_account(scope)
        service(scope, {"tcp-postgres": PORT})
        governing = service(scope, {"tcp-postgres": PORT}, headless=True)
        claim = self._claim(scope, self.config.volume)
        if self.config.former:
            self._claim(scope, self.config.former.volume)
        files = configuration_files(self.config, self._superuser(), metrics=bool(self.exporter))
        configuration = config_map(scope, "config", files)
        scripts = scripts_mount(scope, self._scripts(), role="first-start")
        mounts = [
            Mount.claim("data", claim.metadata.name, DATA_PATH),
            Mount.config("config", configuration.metadata.name, "/etc/postgresql"),
            Mount.scratch("run", SOCKET_PATH),
            TMP,
            shared_memory(self.config),
        ]
        environment: Environment = {
            "POSTGRES_PASSWORD": context.refs["postgres_password"],
            "APPLICATION_ROLE": ROLE,
            "APPLICATION_DATABASE": DATABASE,
            "PGHOST": SOCKET_PATH,
            "POSTGRES_INITDB_ARGS": initdb_arguments(self.config.version),
            **DATA,
        }
        role = self._metrics_environment(context)
        template = pod(
            scope.workload,
            [_server(self.config, [scripts, *mounts] if role else mounts, role)],
            init_containers=[_initialize(self.config, [scripts, *mounts], environment)],
            fs_group=image.uid,
            mounts=[scripts, *mounts],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names({**environment, **role})),
        )
        server = stateful_set(
            scope, template, governing=governing, opts=pulumi.ResourceOptions(hooks=same_major_release())
        )
        if self.config.upgrade_to:
            copied = self._claim(scope, major(self.config.upgrade_to))
            self._create_upgrade(self.config.upgrade_to, copied, [*mounts[2:]], environment, server, opts)
        return [server]

    def _scripts(self) -> dict[str, str]:
        first = ("require-database.sh",) if self.config.volume else ()
        probe = (CREATE_METRICS_ROLE,) if self.exporter else ()
        return read_scripts(SCRIPTS, *first, *INITIALIZE, *probe)

    def _metrics_environment(self, context: StoreContext) -> Environment:
        """The variables of the script that creates the role of the exporter; none without an exporter."""
        if not self.exporter:
            return {}
        return {
            "METRICS_ROLE": METRICS_ROLE,
            "METRICS_PASSWORD": context.refs["postgres_metrics_password"],
            "PGHOST": SOCKET_PATH,
        }

    def _superuser(self) -> str:
        """How the superuser logs in inside the pod.

        `peer` compares the names of users: a user that the cluster assigned has no name, and that of another build may
        have any.
        """
        installation, image = self.installation, images.postgres(self.config.version)
        known = installation.users == "image" and installation.images.uid(image.reference) is None
        return "peer" if known else "trust"

    def _claim(self, scope: Scope, volume: int | None) -> k8s.core.v1.PersistentVolumeClaim:
        """The claim of a volume: that of the first deployment, or that of an upgrade to a major release."""
        name = scope.workload.resource_name
        return volume_claim(scope, self.config.storage, name=f"{name}-data-{volume}" if volume else None)

    def _create_upgrade(  # parts of the server's pod
        self,
        version: str,
        claim: k8s.core.v1.PersistentVolumeClaim,
        mounts: Sequence[Mount],
        environment: Environment,
        server: pulumi.Resource,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """The Job that copies the database into the volume of another major release."""
        scope = Scope(self.installation.workload(WORKLOAD, component="database", version=version), opts)
        files = read_scripts(SCRIPTS, "upgrade-postgres.sh", *INITIALIZE)
        copied = [Mount.claim("data", claim.metadata.name, DATA_PATH), scripts_mount(scope, files), *mounts]
        given: Environment = {
            **environment,
            "POSTGRES_INITDB_ARGS": initdb_arguments(version),
            "SOURCE_HOST": f"langfuse-{self.name}",
            "SOURCE_PORT": str(PORT),
            "MAX_WAL_SIZE": f"{log_megabytes(self.config.storage)}MB",
        }
        upgrade_job(scope, version, self.config.resources, copied, given, after=[server])


def _initialize(config: ManagedPostgres, mounts: Sequence[Mount], environment: Environment) -> Container:
    initialize = container(
        "initialize",
        images.postgres(config.version),
        command=run_script("require-database.sh" if config.volume else "initialize-postgres.sh"),
        resources=config.resources,
        mounts=mounts,
        env=environment,
    )
    initialize["termination_message_policy"] = "FallbackToLogsOnError"  # shows an error in the pod's status
    return initialize


def _server(config: ManagedPostgres, mounts: Sequence[Mount], metrics: Environment) -> Container:
    """The server.

    Args:
        config: The settings of the server.
        mounts: The mounts of the container.
        metrics: The variables of the script that creates the role of the exporter. It is the startup probe: a role can
            only be created while the server runs, and only the superuser in this pod can do it.
    """
    is_ready = ["pg_isready", "--host", "127.0.0.1", "--username", ROLE, "--dbname", DATABASE]
    return container(
        "postgres",
        images.postgres(config.version),
        command=["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"],
        resources=config.resources,
        mounts=mounts,
        env={**DATA, **metrics},
        ports={"tcp-postgres": PORT},
        startup=exec_probe(
            run_script(CREATE_METRICS_ROLE) if metrics else is_ready, period=5, failures=START_SECONDS // 5
        ),
        readiness=exec_probe(is_ready, period=10, failures=3),
        liveness=tcp_probe(PORT, period=20, failures=6),
    )


def initdb_arguments(version: str) -> str:
    """Options of initdb for the first start. Later changes have no effect on an existing database.

    Every locale is named explicitly. The default is LANG of the image, and a server refuses every connection if its
    image lacks a locale that the data directory was created with.
    """
    builtin = " --locale-provider=builtin --builtin-locale=C.UTF-8" if major(version) >= BUILTIN_LOCALE else ""
    return f"--data-checksums --encoding=UTF8 --locale=C.UTF-8{builtin}"


def configuration_files(settings: ManagedPostgres, superuser: str, *, metrics: bool = False) -> dict[str, str]:
    """postgresql.conf and pg_hba.conf, sized by the container's memory.

    Args:
        settings: The settings of the server.
        superuser: How the superuser logs in inside the pod: `peer` or `trust`.
        metrics: Whether the role of the exporter can log in.
    """
    exporter = f"host    {METRICS_DATABASE}   {METRICS_ROLE} all   scram-sha-256\n" if metrics else ""
    sizes = {
        **memory_megabytes(settings.resources),
        "max_connections": max_connections(settings.resources),
        "max_wal_mb": log_megabytes(settings.storage),
    }
    return {
        "postgresql.conf": read_config(CONFIG / "postgresql.conf", **sizes),
        "pg_hba.conf": read_config(CONFIG / "pg_hba.conf", username=ROLE, superuser=superuser) + exporter,
    }


def shared_memory(settings: ManagedPostgres) -> Mount:
    """Shared memory for parallel queries, which fail with a container's default of 64 MiB.

    It counts against the memory of the container.
    """
    mebibytes = int(quantity_value(settings.resources.memory) / 1024**2) // 8
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "shared-memory",
        "empty_dir": {"medium": "Memory", "size_limit": f"{mebibytes}Mi"},
    }
    return Mount(volume=volume, path="/dev/shm")  # noqa: S108  # where Postgres creates its segments
