"""A complete installation of Langfuse: a bill of materials, from the namespace to the public route."""

import pulumi
import pulumi_kubernetes as k8s

from components.backups import Backups, BackupsArgs
from components.clickhouse import ClickHouse, ClickHouseArgs
from components.credentials import Credentials
from components.environment import Stores, migration_environment, web_environment, worker_environment
from components.ingress import Ingress, IngressArgs
from components.installation import Installation
from components.migrations import Migrations, MigrationsArgs
from components.namespace import Namespace
from components.network import Network, NetworkArgs
from components.object_store import ObjectStore, ObjectStoreArgs
from components.outputs import outputs
from components.pods import secret_names
from components.postgres import Postgres, PostgresArgs
from components.redis import Redis, RedisArgs
from components.settings import Settings
from components.web import Web, WebArgs
from components.worker import Worker, WorkerArgs


class Langfuse(pulumi.ComponentResource):
    """One environment. `outputs` is what its operator needs to know; none of it is secret."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Langfuse", name, settings.model_dump(), opts)
        installation = Installation(instance=settings.instance, namespace=settings.namespace, protect=settings.protect)
        in_cluster = pulumi.ResourceOptions(parent=self, provider=self._cluster(settings))
        namespace = Namespace("namespace", installation, in_cluster)
        inside = pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=[namespace.resource]))
        Network("network", NetworkArgs(installation=installation, settings=settings.network), inside)
        credentials = Credentials("credentials", installation, inside)

        postgres = Postgres(
            "postgres",
            PostgresArgs(
                installation=installation,
                settings=settings.postgres,
                password=credentials.postgres,
                annotations=credentials.annotations({credentials.postgres.name}),
            ),
            inside,
        )
        object_store = ObjectStore(
            "object-store",
            ObjectStoreArgs(
                installation=installation,
                settings=settings.object_store,
                backup_days=settings.backups.retention_days,
                root=credentials.object_store_root,
                users=credentials.buckets,
                annotations=credentials.annotations(
                    {
                        pair.secret_access_key.name
                        for pair in (credentials.object_store_root, *credentials.buckets.values())
                    }
                ),
            ),
            inside,
        )
        clickhouse = ClickHouse(
            "clickhouse",
            ClickHouseArgs(
                installation=installation,
                settings=settings.clickhouse,
                password=credentials.clickhouse,
                backup_password=credentials.clickhouse_backup,
                interserver_password=credentials.clickhouse_interserver,
                backups=object_store.connection,
                annotations=credentials.annotations(
                    {
                        credentials.clickhouse.name,
                        credentials.clickhouse_backup.name,
                        credentials.clickhouse_interserver.name,
                        credentials.buckets["backups"].secret_access_key.name,
                    }
                ),
            ),
            inside,
        )
        redis = Redis(
            "redis",
            RedisArgs(
                installation=installation,
                settings=settings.redis,
                password=credentials.redis,
                annotations=credentials.annotations({credentials.redis.name}),
            ),
            inside,
        )
        stores = Stores(
            postgres=postgres.connection,
            clickhouse=clickhouse.connection,
            redis=redis.connection,
            object_store=object_store.connection,
        )

        migrations = Migrations(
            "migrations",
            MigrationsArgs(
                installation=installation,
                version=settings.version,
                postgres=stores.postgres,
                clickhouse=stores.clickhouse,
                environment=migration_environment(stores.postgres, stores.clickhouse),
                after=[*postgres.ready, *clickhouse.ready],
            ),
            inside,
        )
        web_variables = web_environment(settings, stores, credentials.application)
        worker_variables = worker_environment(settings, stores, credentials.application)
        ready = [*migrations.ready, *redis.ready, *object_store.ready]
        web = Web(
            "web",
            WebArgs(
                installation=installation,
                version=settings.version,
                settings=settings.web,
                environment=web_variables,
                annotations=credentials.annotations(secret_names(web_variables)),
                after=ready,
            ),
            inside,
        )
        Worker(
            "worker",
            WorkerArgs(
                installation=installation,
                version=settings.version,
                settings=settings.worker,
                environment=worker_variables,
                annotations=credentials.annotations(secret_names(worker_variables)),
                after=ready,
            ),
            inside,
        )
        if settings.ingress.kind == "istio":
            Ingress(
                "ingress",
                IngressArgs(
                    installation=installation,
                    host=settings.host,
                    gateway=settings.ingress.gateway,
                    web=web.endpoint,
                    object_store=stores.object_store.endpoint,
                    public_buckets=[stores.object_store.buckets[purpose].name for purpose in ("media", "exports")],
                ),
                inside,
            )
        Backups(
            "backups",
            BackupsArgs(
                installation=installation,
                settings=settings.backups,
                postgres=stores.postgres,
                postgres_storage=settings.postgres.storage,
                clickhouse=clickhouse.backup_connection,
                object_store=stores.object_store,
            ),
            inside,
        )
        self.outputs = outputs(settings, stores, web.endpoint, credentials.secret_names)
        self.register_outputs({"url": settings.public_url})

    def _cluster(self, settings: Settings) -> k8s.Provider:
        """The only provider: nothing lands in whatever cluster the shell happens to point at.

        The identifier stands for the cluster, so that an edit of the kubeconfig does not look like a move to another.
        Fields that the program sets are its own: an update takes them back from whoever changed them, be it with
        `kubectl scale`, instead of ending in a conflict.
        """
        return k8s.Provider(
            "cluster",
            cluster_identifier=settings.cluster.context or settings.instance,
            context=settings.cluster.context,
            enable_patch_force=True,
            enable_secret_mutable=True,
            enable_server_side_apply=True,
            kubeconfig=settings.cluster.kubeconfig,
            opts=pulumi.ResourceOptions(parent=self),
        )
