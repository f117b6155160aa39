"""MinIO: one server, or four that go on when one is lost, and the Job that makes buckets, rules and users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.credentials.component import KeyPair
from components.kubernetes.files import read_scripts
from components.kubernetes.installation import (
    Installation,
    config_map,
    service,
    service_account,
    volume_claim,
)
from components.kubernetes.jobs import job, run_script, scripts_mount
from components.kubernetes.labels import Workload
from components.kubernetes.pods import JOB_RESOURCES, Mount, container, exec_probe, http_probe, pod, secret_names
from components.kubernetes.stateful_sets import VOLUME, stateful_set, volume_claims
from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema import images
from components.schema.stores import ManagedObjectStore
from components.stores.clients import object_store_environment
from components.stores.connections import Endpoint, ObjectStoreConnection
from components.stores.object_store.buckets import bucket_environment, wanted_state

SCRIPTS = Path(__file__).parent / "scripts"

PORT = 9000
REGION = "us-east-1"
"""MinIO's own name for wherever it runs."""

STALE_UPLOADS_DAYS = 7
"""After how many days the parts of an upload that nobody finished are removed, in every bucket. MinIO takes it as a
setting of the server and refuses it as a lifecycle rule (internal/bucket/lifecycle/rule.go)."""

READINESS_PATH = "/minio/health/ready"
"""Answers as long as the server listens. The paths that ask about the cluster wait for servers that are away: all four
could stop being ready, and with them the Service, because one has lost its node."""

JOIN_SECONDS = 120
"""How long a new server waits to be one of the cluster. The others may know its old address for 30 seconds, which is
how long CoreDNS keeps names by default, and a new one loads users and buckets before it serves."""

RECONNECT_SECONDS = 30
"""How long a server that has joined others waits until they all use its drive. They try to reach it at growing
intervals of up to so long (internal/rest/client.go, runHealthCheck), and no health check shows who has not yet. If the
next server went before, objects on three drives would be answered with `NoSuchKey`, and writes refused."""

DNS_CACHE = "5s"
"""How often a server asks for the others' addresses again. MinIO's own default is 30 s (cmd/common-main.go)."""

GRACE_SECONDS = 60
WAIT_SECONDS = 600
"""How long provisioning waits for a server that still has to get its volume and its image."""


@dataclass(frozen=True, kw_only=True)
class MinioArgs:
    """What MinIO needs."""

    installation: Installation
    settings: ManagedObjectStore
    backup_days: int
    root: KeyPair
    encryption: SecretRef
    """The key that objects are encrypted with, and its name, which stands in each of them."""
    annotations: Mapping[str, pulumi.Input[str]]
    """Checksums of the Secrets of root, of the encryption and of every user."""

    def checksums(self, environment: Environment) -> Mapping[str, pulumi.Input[str]]:
        """Those of the Secrets that a pod reads."""
        read = {f"checksum/{name}" for name in secret_names(environment)}
        return {key: value for key, value in self.annotations.items() if key in read}


def set_name(workload: Workload, nodes: int) -> str:
    """Name of the StatefulSet, and with it of its pods and volumes.

    One server can't become four in place: MinIO spreads the parts of each object over a number of drives that is chosen
    once. So the two share no name, and a change of the number never starts servers on volumes of the other layout.
    """
    return workload.resource_name if nodes == 1 else f"{workload.resource_name}-cluster"


def server_address(namespace: str, workload: Workload, nodes: int, server: str) -> str:
    """Where the others reach a server: `server` is its number, or stands for several."""
    domain = f"{workload.resource_name}-headless.{namespace}.svc"
    return f"{set_name(workload, nodes)}-{server}.{domain}:{PORT}"


def server_command(namespace: str, workload: Workload, nodes: int) -> Sequence[str]:
    """The command of each server. With four, all of them get the same list of addresses."""
    if nodes == 1:
        return ["minio", "server", "/data", "--address", f":{PORT}"]
    addresses = server_address(namespace, workload, nodes, f"{{0...{nodes - 1}}}")
    return ["minio", "server", f"http://{addresses}/data", "--address", f":{PORT}", "--dns-cache-ttl", DNS_CACHE]


def member_environment(namespace: str, workload: Workload, nodes: int) -> Environment:
    """What one of several servers has besides: which of the addresses is its own, and all of them.

    MinIO looks its own address up among them. Of a new pod the name is not known yet, or it is the address of the pod
    before, with which the server ends at once. `_MINIO_SERVER_LOCAL` tells it instead (cmd/endpoint.go, UpdateIsLocal).
    """
    _, _, domain = server_address(namespace, workload, nodes, "").partition(".")
    return {
        "POD_NAME": PodField(path="metadata.name"),
        "_MINIO_SERVER_LOCAL": f"$(POD_NAME).{domain}",
        "SERVERS": " ".join(server_address(namespace, workload, nodes, str(number)) for number in range(nodes)),
    }


def servers(args: MinioArgs, opts: pulumi.ResourceOptions) -> tuple[Endpoint, pulumi.Resource]:
    """The servers.

    Four hold each object in four parts, any two of which make it: with one server lost everything goes on, with two
    reading does. In three zones one holds two servers.

    An update takes the next server when the one before has joined the others (`wait-for-cluster.sh`). A server that
    starts waits for another with the same program and the same `MINIO_*` variables, those of root aside
    (cmd/bootstrap-peer-server.go). In an update that changes them the first waits for `JOIN_SECONDS`, then for the
    second, and writes for both; reads go on.
    """
    installation, settings = args.installation, args.settings
    image = replace(images.MINIO, tag=settings.version)
    workload = installation.workload("object-store", component="object-store", version=image.tag)
    name = set_name(workload, settings.nodes)
    account = service_account(installation, workload, opts)
    service(installation, workload, {"http-s3": PORT}, opts)
    governing = service(installation, workload, {"http-s3": PORT}, opts, headless=True)
    if settings.nodes == 1:
        volumes = None
        claim = volume_claim(installation, workload, settings.storage, opts)
        data = Mount.claim(VOLUME, claim.metadata.name, "/data")
    else:
        pods = [f"{name}-{ordinal}" for ordinal in range(settings.nodes)]
        volumes = volume_claims(installation, workload, pods, settings.storage, opts)
        data = Mount.template(VOLUME, "/data")
    mounts = [data, Mount.scratch("tmp", "/tmp")]  # noqa: S108  # the pod's own
    environment = server_environment(args)
    startup = http_probe("/minio/health/live", PORT, period=5, failures=60)
    if volumes:
        environment = {**environment, **member_environment(installation.namespace, workload, settings.nodes)}
        mounts.append(
            scripts_mount(
                config_map(installation, workload, "scripts", read_scripts(SCRIPTS, "wait-for-cluster.sh"), opts)
            )
        )
        startup = exec_probe(
            [*run_script("wait-for-cluster.sh"), str(PORT), str(JOIN_SECONDS), str(RECONNECT_SECONDS)],
            period=5,
            failures=3,
            timeout=JOIN_SECONDS + RECONNECT_SECONDS + 30,
        )
    template = pod(
        workload,
        [
            container(
                "minio",
                image,
                command=server_command(installation.namespace, workload, settings.nodes),
                resources=settings.resources,
                mounts=mounts,
                env=environment,
                ports={"http-s3": PORT},
                startup=startup,
                readiness=http_probe(READINESS_PATH, PORT, period=10, failures=3),
                liveness=http_probe("/minio/health/live", PORT, period=20, failures=6),
            )
        ],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        annotations=args.checksums(environment),
    )
    server = stateful_set(installation, workload, template, opts, governing=governing, volumes=volumes, name=name)
    return Endpoint(host=workload.resource_name, port=PORT), server


def server_environment(args: MinioArgs) -> Environment:
    """The variables of each server.

    Whoever writes need not ask for encryption (internal/kms/config.go, internal/crypto/auto-encryption.go). Objects
    that were there before stay as they are, and readable. Users and policies are encrypted as well.
    """
    return {
        "MINIO_ROOT_USER": args.root.access_key_id,
        "MINIO_ROOT_PASSWORD": args.root.secret_access_key,
        "MINIO_KMS_SECRET_KEY": args.encryption,
        "MINIO_KMS_AUTO_ENCRYPTION": "on",
        "MINIO_API_STALE_UPLOADS_EXPIRY": f"{STALE_UPLOADS_DAYS * 24}h",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "HOME": "/tmp",  # noqa: S108  # where it looks for certificates
    }


def provisioning(args: MinioArgs, connection: ObjectStoreConnection, opts: pulumi.ResourceOptions) -> k8s.batch.v1.Job:
    """It starts together with the servers and waits for them by itself: their images are pulled at the same time."""
    installation = args.installation
    image = images.MINIO_CLIENT
    workload = installation.workload("object-store-provisioning", component="provisioning", version=image.tag)
    account = service_account(installation, workload, opts)
    scripts = config_map(installation, workload, "scripts", read_scripts(SCRIPTS, "provision-object-store.sh"), opts)
    wanted = config_map(
        installation,
        workload,
        "wanted",
        wanted_state(connection.buckets, args.settings, args.backup_days),
        opts,
    )
    mounts = [
        scripts_mount(scripts),
        Mount.config("wanted", wanted.metadata.name, "/wanted"),
        Mount.scratch("client", "/client"),
    ]
    environment: Environment = {
        **object_store_environment(connection, "/client"),
        "ROOT_ACCESS_KEY_ID": args.root.access_key_id,
        "ROOT_SECRET_ACCESS_KEY": args.root.secret_access_key,
        **bucket_environment(connection.buckets),
        "WAIT_SECONDS": str(WAIT_SECONDS),
        "WANTED": "/wanted",
    }
    template = pod(
        workload,
        [
            container(
                "provision",
                image,
                command=run_script("provision-object-store.sh"),
                resources=JOB_RESOURCES,
                mounts=mounts,
                env=environment,
            )
        ],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=30,
        service_account=account.metadata.name,
        restart_policy="Never",
        annotations=args.checksums(environment),
    )
    return job(installation, workload, template, opts, deadline_seconds=2 * WAIT_SECONDS, retries=3)
