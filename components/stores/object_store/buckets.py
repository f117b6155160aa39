"""The desired state of buckets: policies of users and lifecycle rules. Pure functions, which tests read as tables."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import JsonValue

from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema.purposes import Purpose
from components.stores.connections import Bucket
from components.stores.object_store.expiry import Expiry

NONCURRENT_DAYS = 7
"""How long a replaced or deleted object can be restored in a versioned bucket."""

VERSIONED: tuple[Purpose, ...] = ("backups",)
"""Buckets of MinIO that keep former versions: no user but root can remove a backup for good, or replace it."""

STALE_UPLOADS_DAYS = 7
"""After how many days the parts of an unfinished upload are removed."""

READ_RULES = ("s3:GetLifecycleConfiguration",)
"""With them, `operations smoke` sees whether the rules of a bucket are still there."""

_READ_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_OBJECT_ACTIONS: Mapping[Purpose, Sequence[str]] = {
    "events": (*_READ_WRITE, "s3:DeleteObject"),
    "media": (*_READ_WRITE, "s3:DeleteObject"),
    "exports": _READ_WRITE,
    "backups": _READ_WRITE,
}
"""The actions of Langfuse in each bucket (packages/shared/src/server/services/StorageService.ts and its callers). It
deletes objects together with traces and projects. Exports only expire. Keys that write backups can't delete them."""


def bucket_environment(buckets: Mapping[Purpose, Bucket]) -> Environment:
    """Environment variables with the bucket of each purpose and the keys of its user."""
    variables: dict[str, str | SecretRef | PodField] = {}
    for purpose, bucket in buckets.items():
        variables[f"{purpose.upper()}_BUCKET"] = bucket.name
        variables |= bucket.keys(f"{purpose.upper()}_")
    return variables


def desired_state(buckets: Mapping[Purpose, Bucket], expiry: Mapping[Purpose, Sequence[Expiry]]) -> dict[str, str]:
    """The input of the provisioning script: a policy for each user, and lifecycle rules for each bucket."""
    policies = {f"{purpose}.policy.json": policy(purpose, bucket.name) for purpose, bucket in buckets.items()}
    policies["prune.policy.json"] = prune_policy(buckets["backups"].name)
    policies["verify.policy.json"] = verify_policy(buckets["backups"].name)
    rules = {
        f"{purpose}.lifecycle.json": lifecycle(found, versioned=purpose in VERSIONED)
        for purpose, found in expiry.items()
    }
    return {name: json.dumps(content, indent=2) for name, content in {**policies, **rules}.items()}


def policy(purpose: Purpose, bucket: str) -> dict[str, JsonValue]:
    """The S3 policy of a user: the actions that it needs in one bucket."""
    objects = _statement("Allow", _OBJECT_ACTIONS[purpose], f"{bucket}/*")
    if purpose != "backups":
        return _policy(bucket, objects, _statement("Allow", READ_RULES, bucket))
    # While ClickHouse writes a backup, it holds a lock file, which it removes at the end.
    return _policy(bucket, objects, _statement("Allow", ["s3:DeleteObject"], f"{bucket}/clickhouse/*/.lock"))


def prune_policy(bucket: str) -> dict[str, JsonValue]:
    """The S3 policy of the user that removes old backup sets. It can't write, so it can't replace a backup."""
    return _policy(
        bucket,
        _statement("Allow", ["s3:GetObject", "s3:DeleteObject"], f"{bucket}/sets/*", f"{bucket}/clickhouse/*"),
        # MinIO takes the right to delete an object for that to delete its versions, unless this is denied.
        _statement("Deny", ["s3:DeleteObjectVersion"], f"{bucket}/*"),
    )


def verify_policy(bucket: str) -> dict[str, JsonValue]:
    """The S3 policy of the user that verifies and restores backups. It writes verdicts, and can't delete."""
    return _policy(
        bucket,
        _statement("Allow", ["s3:GetObject"], f"{bucket}/*"),
        _statement("Allow", ["s3:PutObject"], f"{bucket}/sets/*/verdicts/*"),
    )


def _policy(bucket: str, *statements: JsonValue) -> dict[str, JsonValue]:
    """A policy that lets a user list a bucket, and these statements."""
    listing = _statement("Allow", ["s3:ListBucket", "s3:GetBucketLocation"], bucket)
    return {"Version": "2012-10-17", "Statement": [listing, *statements]}


def _statement(effect: Literal["Allow", "Deny"], actions: Sequence[str], *resources: str) -> dict[str, JsonValue]:
    return {"Effect": effect, "Action": [*actions], "Resource": [f"arn:aws:s3:::{resource}" for resource in resources]}


def lifecycle(expiry: Sequence[Expiry], *, versioned: bool) -> dict[str, JsonValue]:
    """Lifecycle rules of a MinIO bucket whose objects expire."""
    former: dict[str, JsonValue] = {
        "ID": "former-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
    }
    return {"Rules": [*(_expiration(rule.prefix, rule.days) for rule in expiry), *([former] if versioned else [])]}


def _expiration(prefix: str, days: int) -> dict[str, JsonValue]:
    id_ = f"expire-{prefix.strip('/')}" if prefix else "expire"
    return {"ID": id_, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}


def lifecycle_rules(props: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lifecycle rules of a managed bucket in an external store, in the shape that S3 returns.

    A rule removes unfinished uploads in S3 itself. Other stores with its API remove them on their own, and MinIO
    refuses the rule (internal/bucket/lifecycle/rule.go).
    """
    rule: dict[str, Any] = {}
    prefixes = props.get("expirePrefixes") or [""]
    days = int(props["expireDays"]) if props.get("expireDays") else None
    if days and prefixes == [""]:
        rule["Expiration"] = {"Days": days}
    if props["versioning"]:
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": NONCURRENT_DAYS}
    if not props["endpoint"]:
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": STALE_UPLOADS_DAYS}
    whole = [{"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}, **rule}] if rule else []
    parts = [_expiration(prefix, days) for prefix in prefixes if prefix] if days else []
    return [*whole, *parts]
