"""An external object store: S3, or a store with its API."""

from collections.abc import Collection, Mapping, Sequence

import pulumi

from components.schema.purposes import PURPOSES, Purpose, shared_buckets
from components.schema.stores import ExternalObjectStore
from components.stores.connections import Endpoint, ObjectStoreConnection
from components.stores.contract import Flow, SecretRefs, StoreContext
from components.stores.object_store.managed_buckets import managed_buckets
from components.stores.object_store.mode import ObjectStoreMode, key_ids

HTTPS_PORT = 443

NOT_PRUNED = (
    "backups.keep: nothing removes old backup sets from the external store; set "
    "credentials.values.objectStorePruneAccessKeyId and objectStorePruneSecretAccessKey to a key that may delete in "
    "the bucket of backups, or let the bucket expire objects after at least 14 days."
)


class ExternalObjectStoreMode(ObjectStoreMode[ExternalObjectStore]):
    """Connects to a store that this stack does not run. It may manage the buckets there."""

    backed_up_without_copy = "provider"

    def connection(self, refs: SecretRefs) -> ObjectStoreConnection:
        """The configured store."""
        config = self.config
        endpoint = self._endpoint
        return ObjectStoreConnection(
            endpoint=endpoint,
            region=config.region,
            force_path_style=config.force_path_style,
            buckets=self.buckets(refs),
            prune=self.prune(refs),
            verify=self.verify(refs),
            public_url=config.public_endpoint or endpoint.http_url,
            encryption=config.encryption,
            kms_key_id=config.kms_key_id,
            identity=config.identity_annotations if self.uses_identity else None,
        )

    @property
    def bucket_names(self) -> Mapping[Purpose, str]:
        """The configured buckets."""
        return {purpose: getattr(self.config.buckets, purpose) for purpose in PURPOSES}

    @property
    def can_prune(self) -> bool:
        """Whether the keys are configured. They are optional: another system may remove old sets."""
        return self.settings.credentials.values.object_store_prune_access_key_id is not None

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint.of_url(self.config.endpoint or aws_url(self.config.region))

    @property
    def uses_identity(self) -> bool:
        """Whether `identity` is `workload`."""
        return self.config.identity == "workload"

    @property
    def version(self) -> None:
        """Unknown."""

    def flows(self) -> Sequence[Flow]:
        """Flows to the store, and over HTTPS to the service that issues keys for an identity."""
        return [
            Flow(
                purpose=self.name,
                endpoints=[self._endpoint],
                ports=[HTTPS_PORT] if self.uses_identity else [],
                clients=self.clients,
                from_operator_pods=True,
            )
        ]

    def credentials(self) -> Collection[str]:
        """A key for each bucket, unless pods use their identity, and the configured keys that prune and verify."""
        keys = [] if self.uses_identity else [id_ for purpose in PURPOSES for id_ in key_ids(purpose)]
        verifies = self.settings.credentials.values.object_store_verify_access_key_id is not None
        return [*keys, *(key_ids("prune") if self.can_prune else ()), *(key_ids("verify") if verifies else ())]

    def warnings(self) -> Sequence[str]:
        """Buckets with several purposes.

        If the stack manages their rules, the configuration is refused instead
        (components/settings/checks/stores.py).
        """
        shared = [
            f"objectStore.buckets: {name} is used for {', '.join(purposes)}. A lifecycle rule on it would expire all "
            "of them, and media must never expire; whoever holds the key of one can reach the others."
            for name, purposes in shared_buckets(self.bucket_names).items()
        ]
        return shared if self.can_prune or self.config.manage_buckets else [*shared, NOT_PRUNED]

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """The buckets, if the stack manages them."""
        return managed_buckets(self.config, self.expiry, self.installation, opts)


def aws_url(region: str) -> str:
    """The URL of S3 in a region (docs.aws.amazon.com/general/latest/gr/s3.html)."""
    return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
