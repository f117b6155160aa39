"""MinIO servers that this stack runs: one, or four that keep working when one is lost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts, scripts_mount
from components.kubernetes.installation import Workload
from components.kubernetes.objects import Scope, service, service_account, volume_claim
from components.kubernetes.pods import TMP, Mount, container, http_probe, pod, secret_names
from components.kubernetes.stateful_sets import VOLUME, VolumeClaims, stateful_set, volume_claims
from components.schema import images
from components.schema.purposes import PURPOSES, Purpose
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedObjectStore
from components.stores.connections import Endpoint, ObjectStoreConnection
from components.stores.contract import Flow, Scrape, SecretRefs, StoreContext
from components.stores.object_store.buckets import desired_state
from components.stores.object_store.minio import (
    DRAIN_SECONDS,
    GRACE_SECONDS,
    PORT,
    PUBLIC_METRICS,
    READINESS_PATH,
    REGION,
    START_SECONDS,
    joined_probe,
    member_environment,
    server_command,
    server_environment,
    set_name,
)
from components.stores.object_store.mode import ObjectStoreMode, key_ids
from components.stores.object_store.provisioning import SCRIPTS, provisioning_job


class ManagedObjectStoreMode(ObjectStoreMode[ManagedObjectStore]):
    """MinIO, which encrypts what it stores.

    Four servers store each object in four parts, any two of which restore it. With one server lost, reads and writes
    continue; with two lost, reads do. In three zones, one zone has two servers.
    """

    @property
    def workload(self) -> Workload:
        """The workload of the servers."""
        return self.installation.workload(self.name, component="object-store", version=self.config.version)

    def connection(self, refs: SecretRefs) -> ObjectStoreConnection:
        """The Service of the servers."""
        return ObjectStoreConnection(
            endpoint=Endpoint(host=self.workload.resource_name, port=PORT),
            region=REGION,
            force_path_style=True,
            buckets=self.buckets(refs),
            prune=self.prune(refs),
            verify=self.verify(refs),
        )

    @property
    def bucket_names(self) -> Mapping[Purpose, str]:
        """Buckets that are named after the installation."""
        return {purpose: f"{self.installation.instance}-{purpose}" for purpose in PURPOSES}

    @property
    def can_prune(self) -> bool:
        """Provisioning creates a user for it."""
        return True

    @property
    def version(self) -> str:
        """The release of the store."""
        return self.config.version

    @property
    def public_port(self) -> int:
        """Signed links reach the servers through the public route."""
        return PORT

    def flows(self) -> Sequence[Flow]:
        """Flows from its clients, and between the servers."""
        return [
            Flow(
                purpose=self.name,
                server=self.name,
                ports=[PORT],
                clients=[*self.clients, self.name],
                from_operator_pods=True,
            )
        ]

    def scrapes(self) -> Sequence[Scrape]:
        """The metrics of the cluster and of its buckets, which every server has (docs/metrics/prometheus in MinIO)."""
        return [
            Scrape(
                server=self.name,
                port=PORT,
                port_name="http-s3",
                paths=("/minio/v2/metrics/cluster", "/minio/v2/metrics/bucket"),
            )
        ]

    def credentials(self) -> Collection[str]:
        """The administrator's key, the key that encrypts objects, and a key for each bucket."""
        keys = [id_ for purpose in ("root", "prune", "verify", *PURPOSES) for id_ in key_ids(purpose)]
        return ["object_store_encryption_key", *keys]

    def pods(self) -> Sequence[Pods]:
        """A pod for each server."""
        return [
            Pods(
                name=self.name, replicas=self.config.nodes, each=Requests.of(self.config.resources, self.config.storage)
            )
        ]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """The servers, and the Job that provisions them.

        Both start at the same time, so that their images are pulled in parallel. The Job waits for the servers.
        """
        workload = self.installation.workload(
            "object-store-provisioning", component="provisioning", version=images.MINIO_CLIENT.tag
        )
        state = desired_state(context.object_store.buckets, self.expiry)
        return [self._servers(context, opts), provisioning_job(Scope(workload, opts), context, state)]

    def _servers(self, context: StoreContext, opts: pulumi.ResourceOptions) -> k8s.apps.v1.StatefulSet:
        """The StatefulSet.

        An update replaces the next server once the one before has joined the others (`wait-for-cluster.sh`). A starting
        server waits for another one with the same program and the same `MINIO_*` variables, except those of root
        (cmd/bootstrap-peer-server.go). If an update changes them, the first server waits for `JOIN_SECONDS` and then
        for the second one, and until then writes fail while reads continue.
        """
        config, scope = self.config, Scope(self.workload, opts)
        account = service_account(scope)
        service(scope, {"http-s3": PORT})
        governing = service(scope, {"http-s3": PORT}, headless=True)
        data, volumes = self._volumes(scope)
        mounts = [data, TMP]
        environment = server_environment(context.refs, config.resources.memory)
        if self.settings.monitoring:
            environment = {**environment, **PUBLIC_METRICS}
        startup = http_probe("/minio/health/live", PORT, period=5, failures=60)
        if volumes:
            environment = {**environment, **member_environment(scope.workload, config.nodes)}
            mounts.append(scripts_mount(scope, read_scripts(SCRIPTS, "wait-for-cluster.sh")))
            startup = joined_probe()
        server = container(
            "minio",
            self._image,
            command=server_command(scope.workload, config.nodes),
            resources=config.resources,
            mounts=mounts,
            env=environment,
            ports={"http-s3": PORT},
            startup=startup,
            readiness=http_probe(READINESS_PATH, PORT, period=10, failures=3),
            liveness=http_probe("/minio/health/live", PORT, period=20, failures=6),
            pre_stop=["sleep", str(DRAIN_SECONDS)] if volumes else None,
        )
        template = pod(
            scope.workload,
            [server],
            fs_group=images.MINIO.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        name = set_name(scope.workload, config.nodes)
        start = START_SECONDS if volumes else None
        return stateful_set(scope, template, governing=governing, volumes=volumes, name=name, start_seconds=start)

    @property
    def _image(self) -> images.Image:
        return replace(images.MINIO, tag=self.config.version)

    def _volumes(self, scope: Scope) -> tuple[Mount, VolumeClaims | None]:
        nodes, storage = self.config.nodes, self.config.storage
        if nodes == 1:
            claim = volume_claim(scope, storage)
            return Mount.claim(VOLUME, claim.metadata.name, "/data"), None
        pods = [f"{set_name(scope.workload, nodes)}-{ordinal}" for ordinal in range(nodes)]
        return Mount.template(VOLUME, "/data"), volume_claims(scope, pods, storage)
