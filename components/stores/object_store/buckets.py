"""Buckets as they are wanted: who may do what in each, and what expires. Pure functions, read as tables."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema.purposes import Purpose
from components.schema.stores import Retention
from components.stores.connections import Bucket

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
        variables[f"{purpose.upper()}_BUCKET"] = bucket.name
        variables |= bucket.keys(f"{purpose.upper()}_")
    return variables


def wanted_state(buckets: Mapping[Purpose, Bucket], retention: Retention, backup_days: int) -> dict[str, str]:
    """What the provisioning script brings about: a policy for each user, rules for each bucket that forgets."""
    policies = {f"{purpose}.policy.json": policy(purpose, bucket.name) for purpose, bucket in buckets.items()}
    days = expiry_days(retention, backup_days)
    rules = {f"{purpose}.lifecycle.json": lifecycle(number) for purpose, number in days.items()}
    return {name: json.dumps(content, indent=2) for name, content in {**policies, **rules}.items()}


def expiry_days(retention: Retention, backup_days: int) -> Mapping[Purpose, int]:
    """After how many days objects expire.

    Never in media: Langfuse finds a file that it has seen before by its hash, and would not upload it again.
    """
    return {"events": retention.events_days, "exports": retention.exports_days, "backups": backup_days}


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
