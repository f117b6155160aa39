"""Object store: raw events, media, exports and backups, served by MinIO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import images
from components.buckets import bucket_environment, wanted_state
from components.connections import (
    PURPOSES,
    Bucket,
    Endpoint,
    ObjectStoreConnection,
    Purpose,
)
from components.credentials import KeyPair
from components.files import script
from components.installation import (
    Installation,
    child_options,
    config_map,
    service,
    service_account,
    volume_claim,
)
from components.jobs import REPLACE_UNREADY, job_spec, run_script, scripts_mount, wait_at_most
from components.pods import JOB_RESOURCES, Mount, container, http_probe, pod
from components.settings import ObjectStore as ObjectStoreSettings
from components.store_clients import object_store_environment

PORT = 9000
REGION = "us-east-1"
"""MinIO's own name for wherever it runs."""

STALE_UPLOADS_DAYS = 7
"""After how many days the parts of an upload that nobody finished are removed, in every bucket. MinIO takes it as a
setting of the server and refuses it as a lifecycle rule (internal/bucket/lifecycle/rule.go)."""

GRACE_SECONDS = 60
WAIT_SECONDS = 600
"""How long provisioning waits for a server that still has to get its volume and its image."""


@dataclass(frozen=True, kw_only=True)
class ObjectStoreArgs:
    """What the object store needs."""

    installation: Installation
    settings: ObjectStoreSettings
    backup_days: int
    root: KeyPair
    users: Mapping[Purpose, KeyPair]
    annotations: Mapping[str, pulumi.Input[str]]
    """Checksums of the Secrets of root and of every user."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": images.MINIO.tag, "backup_days": self.backup_days, **self.settings.model_dump()}


class ObjectStore(pulumi.ComponentResource):
    """One MinIO server, and a Job that makes its buckets, rules and users as they are wanted."""

    connection: ObjectStoreConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it uses a bucket."""

    def __init__(self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:ObjectStore", name, args.visible(), opts)
        self._args = args
        self._child = child_options(self, opts)
        endpoint, server = self._server()
        self.connection = ObjectStoreConnection(
            endpoint=endpoint,
            region=REGION,
            force_path_style=True,
            buckets={
                purpose: Bucket(
                    name=f"{args.installation.instance}-{purpose}",
                    access_key_id=args.users[purpose].access_key_id,
                    secret_access_key=args.users[purpose].secret_access_key,
                )
                for purpose in PURPOSES
            },
        )
        self.ready = [server, self._provisioning()]
        self.register_outputs({"buckets": [bucket.name for bucket in self.connection.buckets.values()]})

    def _server(self) -> tuple[Endpoint, pulumi.Resource]:
        args = self._args
        installation = args.installation
        image = images.MINIO
        workload = installation.workload("object-store", component="object-store", version=image.tag)
        account = service_account(installation, workload, self._child)
        service(installation, workload, {"http-s3": PORT}, self._child)
        governing = service(installation, workload, {"http-s3": PORT}, self._child, headless=True)
        claim = volume_claim(installation, workload, args.settings.storage, self._child)
        mounts = [
            Mount.claim("data", claim.metadata.name, "/data"),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
        ]
        checksum = f"checksum/{args.root.secret_access_key.name}"
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
                            "minio",
                            image,
                            command=["minio", "server", "/data", "--address", f":{PORT}"],
                            resources=args.settings.resources,
                            mounts=mounts,
                            env={
                                "MINIO_ROOT_USER": args.root.access_key_id,
                                "MINIO_ROOT_PASSWORD": args.root.secret_access_key,
                                "MINIO_API_STALE_UPLOADS_EXPIRY": f"{STALE_UPLOADS_DAYS * 24}h",
                                "MINIO_BROWSER": "off",
                                "MINIO_UPDATE": "off",
                                "HOME": "/tmp",  # noqa: S108  # where it looks for certificates
                            },
                            ports={"http-s3": PORT},
                            startup=http_probe("/minio/health/live", PORT, period=5, failures=60),
                            readiness=http_probe("/minio/health/ready", PORT, period=10, failures=3),
                            liveness=http_probe("/minio/health/live", PORT, period=20, failures=6),
                        )
                    ],
                    fs_group=image.uid,
                    mounts=mounts,
                    grace_seconds=GRACE_SECONDS,
                    service_account=account.metadata.name,
                    annotations={checksum: args.annotations[checksum]},
                ),
            },
            opts=installation.stateful(self._child),
        )
        return Endpoint(host=workload.resource_name, port=PORT), server

    def _provisioning(self) -> k8s.batch.v1.Job:
        """It starts together with the server and waits for it by itself: their images are pulled at the same time."""
        args = self._args
        installation = args.installation
        image = images.MINIO_CLIENT
        workload = installation.workload("object-store-provisioning", component="provisioning", version=image.tag)
        account = service_account(installation, workload, self._child)
        scripts = config_map(installation, workload, "scripts", script("provision-object-store.sh"), self._child)
        wanted = config_map(
            installation,
            workload,
            "wanted",
            wanted_state(self.connection.buckets, args.settings, args.backup_days),
            self._child,
        )
        mounts = [
            scripts_mount(scripts),
            Mount.config("wanted", wanted.metadata.name, "/wanted"),
            Mount.scratch("client", "/client"),
        ]
        template = pod(
            workload,
            [
                container(
                    "provision",
                    image,
                    command=run_script("provision-object-store.sh"),
                    resources=JOB_RESOURCES,
                    mounts=mounts,
                    env={
                        **object_store_environment(self.connection.endpoint, "/client"),
                        "ROOT_ACCESS_KEY_ID": args.root.access_key_id,
                        "ROOT_SECRET_ACCESS_KEY": args.root.secret_access_key,
                        **bucket_environment(self.connection.buckets),
                        "WAIT_SECONDS": str(WAIT_SECONDS),
                        "WANTED": "/wanted",
                    },
                )
            ],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=30,
            service_account=account.metadata.name,
            restart_policy="Never",
            annotations=args.annotations,
        )
        return k8s.batch.v1.Job(
            workload.resource_name,
            metadata=installation.metadata(workload, annotations=REPLACE_UNREADY),
            spec=job_spec(template, deadline_seconds=2 * WAIT_SECONDS, retries=3),
            opts=wait_at_most(self._child, minutes=25),
        )
