"""MinIO servers that this stack runs, and the Job that provisions buckets, rules and users.

One server, or four that keep working when one is lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.installation import Workload
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, config_map, service, service_account, volume_claim
from components.kubernetes.pods import (
    JOB_RESOURCES,
    TMP,
    Mount,
    Probe,
    container,
    exec_probe,
    http_probe,
    pod,
    secret_names,
)
from components.kubernetes.stateful_sets import VOLUME, VolumeClaims, stateful_set, volume_claims
from components.kubernetes.variables import Environment, PodField
from components.schema import images
from components.schema.purposes import PURPOSES
from components.schema.requests import Pods, Requests
from components.schema.stores import ManagedObjectStore
from components.stores.clients import object_store_environment
from components.stores.connections import Endpoint, ObjectStoreConnection
from components.stores.contract import Flow, Refs, StoreContext
from components.stores.object_store.buckets import STALE_UPLOADS_DAYS, bucket_environment, desired_state
from components.stores.object_store.mode import ObjectStoreMode, buckets, key_ids

SCRIPTS = Path(__file__).parent / "scripts"

PORT = 9000
REGION = "us-east-1"
"""MinIO's default region."""

READINESS_PATH = "/minio/health/ready"
"""Answers as long as the server listens. The paths that check the cluster wait for absent servers: if one lost its
node, all four could become unready, and the Service with them."""

JOIN_SECONDS = 120
"""How long a new server waits to join the cluster. The others may use its old address for 30 seconds, the default TTL
of CoreDNS, and a new server loads users and buckets before it serves."""

RECONNECT_SECONDS = 30
"""How long a server that has joined waits until all others use its drive. They try to reach it at growing intervals of
up to this time (internal/rest/client.go, runHealthCheck), and no health check shows who has not succeeded yet. If the
next server stopped earlier, reads of objects on three drives would fail with `NoSuchKey`, and writes would fail."""

DNS_CACHE = "5s"
"""How often a server resolves the addresses of the others. MinIO's own default is 30 s (cmd/common-main.go)."""

GRACE_SECONDS = 60
DESIRED_STATE_PATH = "/desired-state"
WAIT_SECONDS = 600
"""How long provisioning waits for a server that still needs its volume and its image."""


def set_name(workload: Workload, nodes: int) -> str:
    """The name of the StatefulSet, and the prefix of its pods and volumes.

    One server can't become four in place, because MinIO spreads the parts of each object over a fixed number of drives.
    The two layouts have different names, so a change of the number never starts servers on volumes of the other layout.
    """
    return workload.resource_name if nodes == 1 else f"{workload.resource_name}-cluster"


def server_address(workload: Workload, nodes: int, server: str) -> str:
    """The address of a server for the others. `server` is its ordinal, or a pattern for several."""
    domain = f"{workload.headless_name}.{workload.installation.namespace}.svc"
    return f"{set_name(workload, nodes)}-{server}.{domain}:{PORT}"


def server_command(workload: Workload, nodes: int) -> Sequence[str]:
    """The command of each server. Four servers get the same list of addresses."""
    if nodes == 1:
        return ["minio", "server", "/data", "--address", f":{PORT}"]
    addresses = server_address(workload, nodes, f"{{0...{nodes - 1}}}")
    return ["minio", "server", f"http://{addresses}/data", "--address", f":{PORT}", "--dns-cache-ttl", DNS_CACHE]


def member_environment(workload: Workload, nodes: int) -> Environment:
    """Additional variables of one of several servers: its own address, and those of all.

    By default MinIO resolves the addresses to find its own. The name of a new pod does not resolve yet, or resolves to
    the former pod, and then the server exits at once. `_MINIO_SERVER_LOCAL` names it instead (cmd/endpoint.go,
    UpdateIsLocal).
    """
    _, _, domain = server_address(workload, nodes, "").partition(".")
    return {
        "POD_NAME": PodField(path="metadata.name"),
        "_MINIO_SERVER_LOCAL": f"$(POD_NAME).{domain}",
        "SERVERS": " ".join(server_address(workload, nodes, str(number)) for number in range(nodes)),
    }


class Managed(ObjectStoreMode[ManagedObjectStore]):
    """MinIO, which encrypts what it stores.

    Four servers store each object in four parts, any two of which restore it. With one server lost, reads and writes
    continue; with two lost, reads do. In three zones, one zone has two servers.
    """

    @property
    def workload(self) -> Workload:
        """The workload of the servers."""
        return self.installation.workload(self.name, component="object-store", version=self.own.version)

    def connection(self, refs: Refs) -> ObjectStoreConnection:
        """The servers by the name of their Service."""
        names = {purpose: f"{self.installation.instance}-{purpose}" for purpose in PURPOSES}
        return ObjectStoreConnection(
            endpoint=Endpoint(host=self.workload.resource_name, port=PORT),
            region=REGION,
            force_path_style=True,
            buckets=buckets(names, refs),
        )

    @property
    def version(self) -> str:
        """Its release."""
        return self.own.version

    @property
    def public_port(self) -> int:
        """Signed links reach the servers through the public route."""
        return PORT

    def flows(self) -> Sequence[Flow]:
        """From its clients, and between the servers."""
        return [
            Flow(
                purpose=self.name,
                server=self.name,
                ports=[PORT],
                clients=[*self.clients, self.name],
                operated_clients=self.settings.postgres.mode == "cloudnativepg",
            )
        ]

    def credentials(self) -> Collection[str]:
        """The administrator's key, the key that encrypts objects, and a key for each bucket."""
        keys = [id_ for purpose in ("root", *PURPOSES) for id_ in key_ids(purpose)]
        return ["object_store_encryption_key", *keys]

    def pods(self) -> Sequence[Pods]:
        """A pod for each server."""
        return [Pods(name=self.name, replicas=self.own.nodes, each=Requests.of(self.own.resources, self.own.storage))]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """The servers, and the Job that provisions them.

        Both start at the same time, so that their images are pulled in parallel. The Job waits for the servers.
        """
        return [self._servers(context, opts), self._provisioning(context, opts)]

    def _servers(self, context: StoreContext, opts: pulumi.ResourceOptions) -> k8s.apps.v1.StatefulSet:
        """The StatefulSet.

        An update replaces the next server once the one before has joined the others (`wait-for-cluster.sh`). A starting
        server waits for another one with the same program and the same `MINIO_*` variables, except those of root
        (cmd/bootstrap-peer-server.go). If an update changes them, the first server waits for `JOIN_SECONDS` and then
        for the second one, and until then writes fail while reads continue.
        """
        own, scope = self.own, Scope(self.workload, opts)
        account = service_account(scope)
        service(scope, {"http-s3": PORT})
        governing = service(scope, {"http-s3": PORT}, headless=True)
        data, volumes = self._volumes(scope)
        mounts = [data, TMP]
        environment = server_environment(context.refs)
        startup = http_probe("/minio/health/live", PORT, period=5, failures=60)
        if volumes:
            environment = {**environment, **member_environment(scope.workload, own.nodes)}
            mounts.append(scripts_mount(scope, read_scripts(SCRIPTS, "wait-for-cluster.sh")))
            startup = _joined_probe()
        server = container(
            "minio",
            self._image,
            command=server_command(scope.workload, own.nodes),
            resources=own.resources,
            mounts=mounts,
            env=environment,
            ports={"http-s3": PORT},
            startup=startup,
            readiness=http_probe(READINESS_PATH, PORT, period=10, failures=3),
            liveness=http_probe("/minio/health/live", PORT, period=20, failures=6),
        )
        template = pod(
            scope.workload,
            [server],
            fs_group=images.MINIO.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksums(secret_names(environment)),
        )
        name = set_name(scope.workload, own.nodes)
        return stateful_set(scope, template, governing=governing, volumes=volumes, name=name)

    @property
    def _image(self) -> images.Image:
        return replace(images.MINIO, tag=self.own.version)

    def _volumes(self, scope: Scope) -> tuple[Mount, VolumeClaims | None]:
        nodes, storage = self.own.nodes, self.own.storage
        if nodes == 1:
            claim = volume_claim(scope, storage)
            return Mount.claim(VOLUME, claim.metadata.name, "/data"), None
        pods = [f"{set_name(scope.workload, nodes)}-{ordinal}" for ordinal in range(nodes)]
        return Mount.template(VOLUME, "/data"), volume_claims(scope, pods, storage)

    def _provisioning(self, context: StoreContext, opts: pulumi.ResourceOptions) -> k8s.batch.v1.Job:
        image, connection = images.MINIO_CLIENT, context.object_store
        workload = self.installation.workload("object-store-provisioning", component="provisioning", version=image.tag)
        scope = Scope(workload, opts)
        account = service_account(scope)
        scripts = scripts_mount(scope, read_scripts(SCRIPTS, "provision-object-store.sh"))
        state = desired_state(connection.buckets, self.own, self.settings.backups.retention_days)
        desired = config_map(scope, "desired-state", state)
        mounts = [
            scripts,
            Mount.config("desired-state", desired.metadata.name, DESIRED_STATE_PATH),
            Mount.scratch("client", "/client"),
        ]
        environment = provisioning_environment(context.refs, connection)
        provision = container(
            "provision",
            image,
            command=run_script("provision-object-store.sh"),
            resources=JOB_RESOURCES,
            mounts=mounts,
            env=environment,
        )
        template = pod(
            workload,
            [provision],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=30,
            service_account=account.metadata.name,
            restart_policy="Never",
            annotations=context.checksums(secret_names(environment)),
        )
        return job(scope, template, deadline_seconds=2 * WAIT_SECONDS, retries=3)


def _joined_probe() -> Probe:
    return exec_probe(
        [*run_script("wait-for-cluster.sh"), str(PORT), str(JOIN_SECONDS), str(RECONNECT_SECONDS)],
        period=5,
        failures=3,
        timeout=JOIN_SECONDS + RECONNECT_SECONDS + 30,
    )


def server_environment(refs: Refs) -> Environment:
    """The variables of each server.

    Clients need not request encryption (internal/kms/config.go, internal/crypto/auto-encryption.go). Objects that were
    stored before stay as they are, and readable. Users and policies are encrypted as well.

    STALE_UPLOADS_DAYS is a setting of the server: MinIO refuses it as a lifecycle rule
    (internal/bucket/lifecycle/rule.go).
    """
    access_key_id, secret_access_key = key_ids("root")
    return {
        "MINIO_ROOT_USER": refs[access_key_id],
        "MINIO_ROOT_PASSWORD": refs[secret_access_key],
        "MINIO_KMS_SECRET_KEY": refs["object_store_encryption_key"],
        "MINIO_KMS_AUTO_ENCRYPTION": "on",
        "MINIO_API_STALE_UPLOADS_EXPIRY": f"{STALE_UPLOADS_DAYS * 24}h",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "HOME": "/tmp",  # noqa: S108  # where it looks for certificates
    }


def provisioning_environment(refs: Refs, connection: ObjectStoreConnection) -> Environment:
    """The variables of the provisioning script."""
    access_key_id, secret_access_key = key_ids("root")
    return {
        **object_store_environment(connection, "/client"),
        "ROOT_ACCESS_KEY_ID": refs[access_key_id],
        "ROOT_SECRET_ACCESS_KEY": refs[secret_access_key],
        **bucket_environment(connection.buckets),
        "WAIT_SECONDS": str(WAIT_SECONDS),
        "DESIRED_STATE": DESIRED_STATE_PATH,
    }
