"""Object store: raw events, media, exports and backups, in MinIO servers of ours or in a store that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.credentials.component import KeyPair
from components.kubernetes.installation import Installation, child_options
from components.kubernetes.variables import SecretRef
from components.schema.purposes import PURPOSES, Purpose, shared_buckets
from components.schema.stores import ExternalObjectStore, ManagedObjectStore
from components.schema.stores import ObjectStore as ObjectStoreSettings
from components.stores.connections import Bucket, Endpoint, ObjectStoreConnection
from components.stores.object_store.bucket_rules import managed_buckets
from components.stores.object_store.minio import REGION, MinioArgs, provisioning, servers

HTTPS_PORT = 443


@dataclass(frozen=True, kw_only=True)
class ObjectStoreArgs:
    """What the object store needs."""

    installation: Installation
    settings: ObjectStoreSettings
    backup_days: int
    root: KeyPair | None
    """Of servers of ours."""
    encryption: SecretRef | None
    """What servers of ours encrypt objects with."""
    users: Mapping[Purpose, KeyPair]
    """None where the pods' identity stands for them."""
    annotations: Mapping[str, pulumi.Input[str]]
    """Checksums of the Secrets of root, of the encryption and of every user."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"backup_days": self.backup_days, **self.settings.model_dump()}


class ObjectStore(pulumi.ComponentResource):
    """A bucket for each purpose, with rules and credentials of its own."""

    connection: ObjectStoreConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it uses a bucket."""

    def __init__(self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:ObjectStore", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        if isinstance(args.settings, ManagedObjectStore):
            names = {purpose: f"{installation.instance}-{purpose}" for purpose in PURPOSES}
            if args.root is None or args.encryption is None:
                raise AssertionError("servers of ours have an administrator, and a key to encrypt with")
            minio = MinioArgs(
                installation=installation,
                settings=args.settings,
                backup_days=args.backup_days,
                root=args.root,
                encryption=args.encryption,
                annotations=args.annotations,
            )
            endpoint, server = servers(minio, child)
            self.connection = ObjectStoreConnection(
                endpoint=endpoint, region=REGION, force_path_style=True, buckets=buckets(names, args.users)
            )
            self.ready = [server, provisioning(minio, self.connection, child)]
        else:
            self.connection = external_connection(args.settings, args.users)
            for message in shared_bucket_warnings(self.connection):
                pulumi.log.warn(message, self)
            self.ready = managed_buckets(args.settings, args.backup_days, installation, child)
        self.register_outputs(  # policies on the whole stack see outputs alone
            {
                "buckets": [bucket.name for bucket in self.connection.buckets.values()],
                "eventsDays": args.settings.events_days,
                "exportsDays": args.settings.exports_days,
            }
        )


def shared_bucket_warnings(connection: ObjectStoreConnection) -> Sequence[str]:
    """What to look after in buckets that somebody else keeps, and that have more than one purpose.

    Where the stack keeps the rules, the configuration is refused (components/settings/bucket_checks.py).
    """
    names = {purpose: bucket.name for purpose, bucket in connection.buckets.items()}
    return [
        f"objectStore.buckets: {name} is used for {', '.join(purposes)}. A lifecycle rule on it would expire all of "
        "them, and media must never expire; whoever holds the key of one can reach the others."
        for name, purposes in shared_buckets(names).items()
    ]


def buckets(names: Mapping[Purpose, str], users: Mapping[Purpose, KeyPair]) -> Mapping[Purpose, Bucket]:
    """The buckets with their users' keys, if there are any."""
    return {
        purpose: Bucket(
            name=name,
            access_key_id=users[purpose].access_key_id if purpose in users else None,
            secret_access_key=users[purpose].secret_access_key if purpose in users else None,
        )
        for purpose, name in names.items()
    }


def external_connection(settings: ExternalObjectStore, users: Mapping[Purpose, KeyPair]) -> ObjectStoreConnection:
    """How to reach a store that is there already."""
    endpoint = parse_endpoint(settings.endpoint or aws_url(settings.region))
    names: dict[Purpose, str] = {purpose: getattr(settings.buckets, purpose) for purpose in PURPOSES}
    return ObjectStoreConnection(
        endpoint=endpoint,
        region=settings.region,
        force_path_style=settings.force_path_style,
        buckets=buckets(names, users),
        public_url=settings.public_endpoint or endpoint.http_url,
        encryption=settings.encryption,
        kms_key_id=settings.kms_key_id,
        identity=settings.identity_annotations if settings.identity == "workload" else None,
    )


def aws_url(region: str) -> str:
    """Where S3 of a region is (docs.aws.amazon.com/general/latest/gr/s3.html)."""
    return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def parse_endpoint(url: str) -> Endpoint:
    """The endpoint that a URL without a path names."""
    scheme, authority = url.split("://")
    host, _, port = authority.partition(":")
    tls = scheme == "https"
    return Endpoint(host=host, port=int(port) if port else HTTPS_PORT if tls else 80, tls=tls)
