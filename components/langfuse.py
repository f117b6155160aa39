"""A complete installation of Langfuse: a bill of materials, from the namespace to the public route."""

import pulumi
import pulumi_kubernetes as k8s

from components.application.environment import (
    Stores,
    first_start_environment,
    migration_environment,
    web_environment,
    worker_environment,
)
from components.application.first_start import FirstStart, FirstStartArgs
from components.application.migrations import Migrations, MigrationsArgs
from components.application.web import Web, WebArgs
from components.application.worker import Worker, WorkerArgs
from components.backups.component import Backups, BackupsArgs
from components.backups.off_site import OffSite, OffSiteArgs
from components.credentials.component import Credentials, CredentialsArgs, secrets_of
from components.credentials.sources import needed_credentials
from components.kubernetes.installation import Installation
from components.kubernetes.patches import Patches
from components.kubernetes.pods import secret_names
from components.network.ingress import Ingress, IngressArgs
from components.network.mesh import MESH_LABELS, Mesh, MeshArgs
from components.network.namespace import Namespace
from components.network.policies import Network, NetworkArgs
from components.network.quota import Quota
from components.outputs import outputs
from components.schema.environment import Settings
from components.settings import kubeconfig
from components.stores.certificates import certificates
from components.stores.clickhouse.component import ClickHouse, ClickHouseArgs
from components.stores.object_store.component import ObjectStore, ObjectStoreArgs
from components.stores.postgres.component import Postgres, PostgresArgs
from components.stores.redis.component import Redis, RedisArgs


class Langfuse(pulumi.ComponentResource):
    """One environment. `outputs` is what its operator needs to know; none of it is secret."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        patches = Patches(settings.patches)
        super().__init__("langfuse:index:Langfuse", name, settings.model_dump(), patches.options(opts))
        installation = Installation(
            instance=settings.instance,
            namespace=settings.namespace,
            protect=settings.protect,
            labels={"environment": settings.profile, "owner": settings.owner},
            storage_class=settings.cluster.storage_class,
        )
        in_cluster = pulumi.ResourceOptions(parent=self, provider=self._cluster(settings))
        namespace = Namespace(
            "namespace",
            installation,
            in_cluster,
            create=settings.create_namespace,
            mesh_labels=MESH_LABELS[settings.mesh_mode],
        )
        inside = pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=[namespace.resource]))
        Quota("quota", installation, settings, inside)
        guards = [Network("network", NetworkArgs(installation=installation, settings=settings), inside).default_deny]
        if settings.mesh_mode != "none":
            guards += Mesh("mesh", MeshArgs(installation=installation, settings=settings), inside).defaults
        inside = pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=guards))
        credentials = Credentials(
            "credentials",
            CredentialsArgs(
                installation=installation, needed=needed_credentials(settings), store=settings.credentials.secret_store
            ),
            inside,
        )
        authorities = certificates(installation, settings, inside)

        # Volumes are deleted before the credentials that their data is tied to: after a `destroy` that was killed, the
        # next `up` makes no new password for an old volume.
        storing = pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=credentials.data_secrets))
        ours = settings.object_store.mode == "managed"
        object_store = ObjectStore(
            "object-store",
            ObjectStoreArgs(
                installation=installation,
                settings=settings.object_store,
                backup_days=settings.backups.retention_days,
                root=credentials.object_store_root if ours else None,
                encryption=credentials.object_store_encryption if ours else None,
                users=credentials.buckets,
                annotations=credentials.annotations(secrets_of(credentials.refs, "object_store_")),
            ),
            storing,
        )
        postgres = Postgres(
            "postgres",
            PostgresArgs(
                installation=installation,
                settings=settings.postgres,
                password=credentials.postgres,
                annotations=credentials.annotations({credentials.postgres.name}),
                ca_path=authorities.paths.get("postgres"),
                object_store=object_store.connection,
                schedule=settings.backups.postgres_schedule,
            ),
            storing,
        )
        clickhouse = ClickHouse(
            "clickhouse",
            ClickHouseArgs(
                installation=installation,
                settings=settings.clickhouse,
                refs=credentials.refs,
                backups=object_store.connection,
                annotations=credentials.annotations(
                    secrets_of(credentials.refs, "clickhouse_", "object_store_backups_")
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
                ca_path=authorities.paths.get("redis"),
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
                certificates=authorities.mounts,
                after=[*postgres.ready, *clickhouse.ready],
            ),
            inside,
        )
        web_variables = web_environment(settings, stores, credentials.refs)
        worker_variables = worker_environment(settings, stores, credentials.refs)
        ready = [*migrations.ready, *redis.ready, *object_store.ready]
        first_start_variables = first_start_environment(settings, stores, credentials.refs)
        first_start = FirstStart(
            "first-start",
            FirstStartArgs(
                installation=installation,
                version=settings.version,
                resources=settings.web.resources,
                environment=first_start_variables,
                annotations=credentials.annotations(secret_names(first_start_variables)),
                certificates=authorities.mounts,
                after=ready,
            ),
            inside,
        )
        web = Web(
            "web",
            WebArgs(
                installation=installation,
                version=settings.version,
                settings=settings.web,
                environment=web_variables,
                annotations=credentials.annotations(secret_names(web_variables)),
                certificates=authorities.mounts,
                identity=stores.object_store.account_annotations,
                after=[*ready, *first_start.ready],
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
                certificates=authorities.mounts,
                identity=stores.object_store.account_annotations,
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
                    bucket_host=settings.ingress.bucket_host,
                    gateway=settings.ingress.gateway,
                    tls=settings.ingress.tls,
                    web=web.endpoint,
                    object_store=stores.object_store.endpoint,
                    public_buckets=stores.object_store.served_buckets,
                ),
                inside,
            )
        Backups(
            "backups",
            BackupsArgs(
                installation=installation,
                settings=settings.backups,
                postgres=stores.postgres,
                certificates=authorities.mounts,
                clickhouse=clickhouse.backup_connection,
                object_store=stores.object_store,
            ),
            inside,
        )
        if settings.backups.off_site:
            OffSite(
                "off-site",
                OffSiteArgs(
                    installation=installation, settings=settings.backups.off_site, object_store=stores.object_store
                ),
                inside,
            )
        self.outputs = outputs(settings, stores, web.endpoint, credentials.refs)
        self.register_outputs({"url": settings.public_url, **patches.check()})

    def _cluster(self, settings: Settings) -> k8s.Provider:
        """The only provider: nothing lands in whatever cluster the shell happens to point at.

        The identifier stands for the cluster: as long as it is the same, another context or kubeconfig replaces
        nothing (DiffConfig of pulumi-kubernetes). Changes of it are ignored, since a state may have an older one, and
        another identifier would replace the provider and with it every object. `python -m operations preview` tells
        whether the context leads to another cluster.
        Fields that the program sets are its own: an update takes them back from whoever changed them, be it with
        `kubectl scale`, instead of ending in a conflict. ConfigMaps are immutable and replaced, but for Keeper's, which
        reads its own again while it runs.
        """
        return k8s.Provider(
            "cluster",
            cluster_identifier=settings.instance,
            context=settings.cluster.context,
            enable_config_map_mutable=True,
            enable_patch_force=True,
            enable_secret_mutable=True,
            enable_server_side_apply=True,
            kubeconfig=kubeconfig.for_provider(settings.cluster),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["clusterIdentifier"]),
        )
