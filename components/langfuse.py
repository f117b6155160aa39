"""A complete installation of Langfuse: a bill of materials, from the namespace to the public route."""

from collections.abc import Sequence

import pulumi

from components.admission import Admission
from components.application.component import ApplicationContext
from components.application.first_start import FirstStart
from components.application.migrations import Migrations
from components.application.repairs import Repairs
from components.application.sign_in_proxy import SignInProxy
from components.application.web import Web
from components.application.worker import Worker
from components.backups.before_upgrade import BeforeUpgrade
from components.backups.component import Backups
from components.backups.drills import Drills
from components.backups.empty_redis import EmptyRedis
from components.backups.fetch import FetchSet
from components.backups.off_site import OffSite
from components.backups.replay import Replay
from components.backups.restores import Restores
from components.client_namespaces import ClientNamespaces
from components.clients.component import Clients
from components.clients.revoke import RevokeKeys
from components.credentials.component import Credentials, CredentialsArgs
from components.identity import remembered_name
from components.ignored_changes import IgnoreChanges
from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.kubernetes.patches import Patches
from components.kubernetes.trust import trusted_certificates
from components.monitoring.component import Monitoring
from components.network.ingress.component import Ingress
from components.network.ingress.rules import Servers
from components.network.mesh import Mesh
from components.network.namespace import Namespace
from components.network.policies import Network
from components.network.quota import Quota
from components.outputs import outputs
from components.provider import cluster_provider
from components.schema.environment import Settings
from components.storage_classes import StorageClasses
from components.stores.certificates import ca_bundle_mounts
from components.stores.clickhouse.component import ClickHouse
from components.stores.connections import Connections
from components.stores.contract import StoreContext
from components.stores.modes import StoreModes, installation_credentials
from components.stores.object_store.component import ObjectStore
from components.stores.postgres.component import Postgres
from components.stores.redis.component import Redis


class Langfuse(pulumi.ComponentResource):
    """One installation. `outputs` is what its operator needs to know, and contains no secret."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        patches = Patches(settings.patches)
        ignored = IgnoreChanges(settings.cluster.ignore_changes)
        own = Admission(settings.cluster).options(ignored.options(patches.options(opts)))
        super().__init__(
            "langfuse:index:Langfuse",
            name,
            settings.model_dump(),
            ClientNamespaces(settings).options(StorageClasses(settings.cluster).options(own)),
        )
        installation, modes = Installation.of(settings), StoreModes.of(settings)
        cluster = pulumi.ResourceOptions(parent=self, provider=cluster_provider(settings, self))
        cluster = _after(cluster, [remembered_name(settings, self)])
        namespace = Namespace("namespace", installation, settings, cluster)
        inside = _after(cluster, [namespace.ready])
        Quota("quota", installation, settings, inside)
        guards = [Network("network", installation, settings, modes, inside).default_deny]
        if settings.mesh_mode != "none":
            guards += Mesh("mesh", installation, settings, modes, inside).defaults
        inside = _after(inside, guards)
        inside = _after(inside, trusted_certificates(installation, inside))
        credentials = Credentials(
            "credentials",
            CredentialsArgs(
                installation=installation,
                needed=installation_credentials(settings),
                store=settings.credentials.secret_store,
            ),
            inside,
        )
        store_context = StoreContext(
            refs=credentials.refs,
            checksum_annotations=credentials.annotations,
            object_store=modes.object_store.connection(credentials.refs),
        )
        # Volumes are deleted before the credentials that their data depends on: after an interrupted `destroy`, the
        # next `up` never generates a new password for an old volume.
        storing = _after(inside, credentials.data_secrets)
        object_store = ObjectStore("object-store", modes.object_store, store_context, storing)
        postgres = Postgres("postgres", modes.postgres, store_context, storing)
        clickhouse = ClickHouse("clickhouse", modes.clickhouse, store_context, inside)
        redis = Redis("redis", modes.redis, store_context, inside)
        context = ApplicationContext(
            installation=installation,
            settings=settings,
            stores=Connections(
                postgres=postgres.connection,
                clickhouse=clickhouse.connection,
                redis=redis.connection,
                object_store=object_store.connection,
            ),
            refs=credentials.refs,
            checksum_annotations=credentials.annotations,
            ca_bundles=ca_bundle_mounts(installation, modes.ca_bundles, inside),
        )
        databases = [*postgres.ready, *clickhouse.ready]
        stores = [*databases, *redis.ready, *object_store.ready]
        backed_up = modes.clickhouse.backup_connection(credentials.refs)
        backup = BeforeUpgrade("before-upgrade", context, _after(inside, stores), clickhouse=backed_up)
        repairs = Repairs("repairs", context, inside)
        migrations = Migrations("migrations", context, inside, after=[*stores, *backup.ready, repairs.ready])
        ready = [*migrations.ready, *redis.ready, *object_store.ready]
        first_start = FirstStart("first-start", context, inside, after=ready)
        web = Web("web", context, inside, after=[*ready, *first_start.ready])
        worker = Worker("worker", context, inside, after=ready)
        if settings.clients:
            Clients("clients", context, credentials, inside, after=[*ready, *first_start.ready])
            RevokeKeys("revoke-keys", context, inside)
        modes.redis.retire_credentials(
            store_context,
            child_options(redis, _after(inside, [web, worker, *_monitoring(context, stores, inside)])),
        )
        pages = web.endpoint
        if config := settings.ingress.sign_in_proxy:
            pages = SignInProxy("sign-in-proxy", context, config, web.endpoint, inside).endpoint
        Ingress("ingress", context, Servers(web=web.endpoint, api=web.api, pages=pages), inside)
        # After the migrations: until then, sets are of the release whose schemas the databases have. If another major
        # release of Postgres is refused, the client of its backups stays too.
        Backups("backups", context, _after(inside, [*databases, *migrations.ready]), clickhouse=backed_up)
        Restores(
            "restores",
            context,
            _after(inside, databases),
            clickhouse=modes.clickhouse.restore_connection(credentials.refs),
        )
        if "admin_api_key" in credentials.refs:
            Replay("replay", context, web.endpoint, inside)
        Drills("drills", context, _after(inside, databases))
        _copies(context, inside)
        self.outputs = outputs(context, web.endpoint)
        ignored.check()
        self.register_outputs({"url": settings.public_url, **patches.check()})


def _monitoring(
    context: ApplicationContext, stores: Sequence[pulumi.Resource], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """What reads metrics of the stores, if there is anything."""
    settings = context.settings.monitoring
    return [Monitoring("monitoring", context, settings, opts, after=stores)] if settings else []


def _copies(context: ApplicationContext, opts: pulumi.ResourceOptions) -> None:
    """Copies in other object stores, and what brings a set of such a store into this stack."""
    backups = context.settings.backups
    if backups.off_site:
        OffSite("off-site", context, backups.off_site, opts)
    if backups.source:
        FetchSet("fetch-set", context, backups.source, opts)
    if backups.import_from:
        EmptyRedis("empty-redis", context, opts)


def _after(opts: pulumi.ResourceOptions, resources: Sequence[pulumi.Input[pulumi.Resource]]) -> pulumi.ResourceOptions:
    """The options of what is created after resources, and deleted before them."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))
