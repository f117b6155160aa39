"""Buckets as they are wanted: who may do what in each, and what expires. Pure functions, read as tables."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from components.connections import Bucket, Environment, PodField, Purpose, SecretRef
from components.settings import ObjectStore as ObjectStoreSettings

_READ_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_OBJECT_ACTIONS: Mapping[Purpose, Sequence[str]] = {
    "events": (*_READ_WRITE, "s3:DeleteObject"),
    "media": (*_READ_WRITE, "s3:DeleteObject"),
    "exports": _READ_WRITE,
    "backups": _READ_WRITE,
}
"""What Langfuse does in each bucket (packages/shared/src/server/services/StorageService.ts and its callers):
deletion follows traces and projects, exports only expire. Who can write backups can't delete them."""


def bucket_environment(buckets: Mapping[Purpose, Bucket]) -> Environment:
    """Per purpose the bucket and its user's keys."""
    variables: dict[str, str | SecretRef | PodField] = {}
    for purpose, bucket in buckets.items():
        prefix = purpose.upper()
        variables[f"{prefix}_BUCKET"] = bucket.name
        variables[f"{prefix}_ACCESS_KEY_ID"] = bucket.access_key_id
        variables[f"{prefix}_SECRET_ACCESS_KEY"] = bucket.secret_access_key
    return variables


def wanted_state(buckets: Mapping[Purpose, Bucket], settings: ObjectStoreSettings, backup_days: int) -> dict[str, str]:
    """What the provisioning script brings about: a policy for each user, rules for each bucket that forgets."""
    policies = {f"{purpose}.policy.json": policy(purpose, bucket.name) for purpose, bucket in buckets.items()}
    # None for media: Langfuse finds a file that it has seen before by its hash, and would not upload it again.
    days: Mapping[Purpose, int] = {
        "events": settings.events_days,
        "exports": settings.exports_days,
        "backups": backup_days,
    }
    rules = {f"{purpose}.lifecycle.json": lifecycle(number) for purpose, number in days.items()}
    return {name: json.dumps(content, indent=2) for name, content in {**policies, **rules}.items()}


def policy(purpose: Purpose, bucket: str) -> dict[str, JsonValue]:
    """The S3 policy of a purpose's user: one bucket and no more than is done in it."""
    statements: list[JsonValue] = [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
        },
        {"Effect": "Allow", "Action": list(_OBJECT_ACTIONS[purpose]), "Resource": [f"arn:aws:s3:::{bucket}/*"]},
    ]
    if purpose == "backups":
        # ClickHouse guards a backup that is being written by a lock file, which it removes at the end.
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["s3:DeleteObject"],
                "Resource": [f"arn:aws:s3:::{bucket}/clickhouse/*/.lock"],
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def lifecycle(days: int) -> dict[str, JsonValue]:
    """Rules of a bucket whose objects expire."""
    return {"Rules": [{"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}}]}
