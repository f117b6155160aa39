"""Rules of a managed bucket: set to the desired state, and read back from the store."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from components.stores.object_store.bucket_requests import (
    UNSUPPORTED,
    BucketError,
    Properties,
    error_code,
    send,
    send_optional,
)
from components.stores.object_store.buckets import lifecycle_rules

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

IDENTITY: Final = ("name", "endpoint", "region")
"""Properties that identify a bucket."""

OWNER_TAG: Final = "langfuse-instance"


def apply_rules(client: "S3Client", props: Properties) -> None:
    """Set every rule. A rule that the store does not support is an error if it is on, and skipped if it is off.

    Nothing is removed unless a request has found it. A store that does not know a kind of rule may take the request to
    delete it for one to delete the bucket, or the request to set it for one to create a bucket (observed with MinIO and
    `publicAccessBlock`).

    Raises:
        BucketError: With the bucket, the key of the configuration and the store's answer.
    """
    _apply_public_access_block(client, props)
    _apply_encryption(client, props)
    _apply_versioning(client, props)
    _apply_lifecycle(client, props)
    tags: Any = {"TagSet": [{"Key": OWNER_TAG, "Value": props["instance"]}]}
    send_optional(props, "tagged", lambda: client.put_bucket_tagging(Bucket=props["name"], Tagging=tags))


def _apply_public_access_block(client: "S3Client", props: Properties) -> None:
    name = props["name"]
    if not props["publicAccessBlock"]:
        _remove(
            props,
            lambda: client.get_public_access_block(Bucket=name),
            lambda: client.delete_public_access_block(Bucket=name),
        )
        return

    def is_supported() -> None:
        try:
            client.get_public_access_block(Bucket=name)
        except ClientError as error:
            if error_code(error) in UNSUPPORTED:
                raise

    flags: Any = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    _require(props, "publicAccessBlock", "false", is_supported)
    _require(
        props,
        "publicAccessBlock",
        "false",
        lambda: client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=flags),
    )


def _apply_encryption(client: "S3Client", props: Properties) -> None:
    name = props["name"]
    if props["encryption"] == "none":
        _remove(
            props,
            lambda: client.get_bucket_encryption(Bucket=name),
            lambda: client.delete_bucket_encryption(Bucket=name),
        )
        return
    by_default: Any = {"SSEAlgorithm": props["encryption"]}
    if props.get("kmsKeyId"):
        by_default["KMSMasterKeyID"] = props["kmsKeyId"]
    rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
    _require(
        props,
        "encryption",
        "none",
        lambda: client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules),
    )


def _apply_versioning(client: "S3Client", props: Properties) -> None:
    if not props["versioning"] and not _versioned(client, props):
        return
    status: Any = {"Status": "Enabled" if props["versioning"] else "Suspended"}
    _require(
        props,
        "versioning",
        "false",
        lambda: client.put_bucket_versioning(Bucket=props["name"], VersioningConfiguration=status),
    )


def _apply_lifecycle(client: "S3Client", props: Properties) -> None:
    name = props["name"]
    lifecycle: Any = {"Rules": lifecycle_rules(props)}
    if lifecycle["Rules"]:
        _require(
            props,
            "eventsDays",
            "another value",
            lambda: client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=lifecycle),
        )
    else:
        _remove(
            props,
            lambda: client.get_bucket_lifecycle_configuration(Bucket=name),
            lambda: client.delete_bucket_lifecycle(Bucket=name),
        )


def _require(props: Properties, key: str, off: str, request: Callable[[], object]) -> None:
    """Send a request that sets a rule. The error names the key, and the value that turns the rule off."""
    try:
        request()
    except ClientError as error:
        if error_code(error) in UNSUPPORTED:
            raise BucketError(
                f"bucket {props['name']}: the store does not support objectStore.{key} ({error_code(error)}); "
                f"set it to {off}"
            ) from None
        raise BucketError(f"bucket {props['name']}: objectStore.{key} can't be set: {error}") from None
    except BotoCoreError as error:
        raise BucketError(f"bucket {props['name']}: objectStore.{key} can't be set: {error}") from None


def _remove(props: Properties, query: Callable[[], object], request: Callable[[], object]) -> None:
    if send_optional(props, "read", query):
        send(props, "changed", request)


def state(client: "S3Client", props: Properties) -> Properties:
    """The properties as read from the store, so that the next comparison finds manual changes."""
    name = props["name"]
    rules = send_optional(props, "read", lambda: client.get_bucket_lifecycle_configuration(Bucket=name))
    found = [dict(rule) for rule in rules.get("Rules", [])]
    days = next((rule["Expiration"]["Days"] for rule in found if rule.get("Expiration", {}).get("Days")), None)
    if not _same_rules(found, lifecycle_rules({**props, "expireDays": days})):
        days = "changed by hand"
    encryption = send_optional(props, "read", lambda: client.get_bucket_encryption(Bucket=name))
    default: Mapping[str, Any] = (
        encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        if encryption
        else {}
    )
    block = send_optional(props, "read", lambda: client.get_public_access_block(Bucket=name))
    flags = block.get("PublicAccessBlockConfiguration", {})
    algorithm = default.get("SSEAlgorithm", "none")
    # S3 encrypts every bucket by default, which is no drift.
    implied = props["encryption"] == "none" and algorithm == "AES256"
    return {
        **{key: props[key] for key in (*IDENTITY, "instance", "forcePathStyle")},
        "expireDays": days,
        **({"expirePrefixes": props["expirePrefixes"]} if "expirePrefixes" in props else {}),
        "encryption": "none" if implied else algorithm,
        "kmsKeyId": default.get("KMSMasterKeyID") if props.get("kmsKeyId") else None,
        "versioning": _versioned(client, props),
        "publicAccessBlock": bool(flags) and all(flags.values()),
    }


def owner(client: "S3Client", props: Properties) -> str | None:
    """The installation that created the bucket, if one did."""
    answer = send_optional(props, "read", lambda: client.get_bucket_tagging(Bucket=props["name"]))
    return next((tag["Value"] for tag in answer.get("TagSet", []) if tag["Key"] == OWNER_TAG), None)


def _versioned(client: "S3Client", props: Properties) -> bool:
    answer = send_optional(props, "read", lambda: client.get_bucket_versioning(Bucket=props["name"]))
    return bool(answer.get("Status") == "Enabled")


def _same_rules(found: list[dict[str, Any]], desired: list[dict[str, Any]]) -> bool:
    def plain(rules: list[dict[str, Any]]) -> list[str]:
        return sorted(str(sorted(rule.items())) for rule in rules)

    return plain(found) == plain(desired)
