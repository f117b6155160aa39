"""Buckets that the stack keeps in a store outside: their rules, and the resources that bring them about."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.kubernetes.installation import Installation
from components.schema.purposes import PURPOSES
from components.schema.stores import ExternalObjectStore
from components.stores.object_store.buckets import expiry_days

NONCURRENT_DAYS = 7
"""How long a replaced or deleted object can be had back in a bucket with versions."""

STALE_UPLOADS_DAYS = 7


def lifecycle_rules(props: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What expires in a bucket, in the shape that S3 gives it back.

    Unfinished uploads end in S3 itself by a rule; stores that speak its language see to them by themselves, and MinIO
    refuses the rule (internal/bucket/lifecycle/rule.go).
    """
    rule: dict[str, Any] = {}
    if props.get("expireDays"):
        rule["Expiration"] = {"Days": int(props["expireDays"])}
    if props["versioning"]:
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": NONCURRENT_DAYS}
    if not props["endpoint"]:
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": STALE_UPLOADS_DAYS}
    return [{"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}, **rule}] if rule else []


class ManagedBucket(Resource, module="langfuse", name="Bucket"):
    """A bucket and its rules."""

    def __init__(self, name: str, props: Mapping[str, pulumi.Input[object]], opts: pulumi.ResourceOptions) -> None:
        from components.stores.object_store.bucket_provider import BucketProvider  # noqa: PLC0415  # boto3 is slow to load

        super().__init__(BucketProvider(), name, {**props}, opts)


def managed_buckets(
    settings: ExternalObjectStore, backup_days: int, installation: Installation, opts: pulumi.ResourceOptions
) -> Sequence[pulumi.Resource]:
    """The buckets as resources, if the stack is to keep them. They outlive the stack where data is protected."""
    if not settings.manage_buckets:
        return []
    days = expiry_days(settings, backup_days)
    return [
        ManagedBucket(
            f"{installation.instance}-{purpose}",
            {
                "name": getattr(settings.buckets, purpose),
                "instance": installation.instance,
                "endpoint": settings.endpoint or "",
                "region": settings.region,
                "forcePathStyle": settings.force_path_style,
                "expireDays": days.get(purpose),
                "encryption": settings.encryption,
                "kmsKeyId": settings.kms_key_id,
                "versioning": settings.versioning,
                "publicAccessBlock": settings.public_access_block,
            },
            installation.stateful(opts),
        )
        for purpose in PURPOSES
    ]
