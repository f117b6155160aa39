"""Buckets of an external store as resources of the stack (`objectStore.manageBuckets`)."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi.dynamic import Resource

from components.kubernetes.installation import Installation
from components.schema.purposes import PURPOSES, Purpose
from components.schema.stores import ExternalObjectStore
from components.stores.object_store.expiry import Expiry


class ManagedBucket(Resource, module="langfuse", name="Bucket"):
    """A bucket with its rules, from `BucketProvider`."""

    def __init__(self, name: str, props: Mapping[str, pulumi.Input[object]], opts: pulumi.ResourceOptions) -> None:
        from components.stores.object_store.bucket_provider import BucketProvider  # noqa: PLC0415  # boto3 loads slowly

        super().__init__(BucketProvider(), name, {**props}, opts)


def managed_buckets(
    settings: ExternalObjectStore,
    expiry: Mapping[Purpose, Sequence[Expiry]],
    installation: Installation,
    opts: pulumi.ResourceOptions,
) -> Sequence[pulumi.Resource]:
    """Creates the buckets, if the stack manages them. Where data is protected, they outlive the stack."""
    if not settings.manage_buckets:
        return []
    return [
        ManagedBucket(
            f"{installation.instance}-{purpose}",
            {
                "name": getattr(settings.buckets, purpose),
                "instance": installation.instance,
                "endpoint": settings.endpoint or "",
                "region": settings.region,
                "forcePathStyle": settings.force_path_style,
                "expireDays": next((rule.days for rule in expiry.get(purpose, ())), None),
                "expirePrefixes": [rule.prefix for rule in expiry.get(purpose, ())],
                "encryption": settings.encryption,
                "kmsKeyId": settings.kms_key_id,
                "versioning": settings.versioning,
                "publicAccessBlock": settings.public_access_block,
            },
            installation.stateful(opts),
        )
        for purpose in PURPOSES
    ]
