"""Rules of a bucket: brought to what is wanted, and read back as the store has them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from components.stores.object_store.bucket_requests import UNSUPPORTED, BucketError, Properties, ask, code, optional
from components.stores.object_store.bucket_rules import lifecycle_rules

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

IDENTITY: Final = ("name", "endpoint", "region")
"""With another one of these it is another bucket."""

OWNER_TAG: Final = "langfuse-instance"


def apply_rules(client: "S3Client", props: Properties) -> None:  # noqa: C901  # one rule after the other
    """Set every rule. One that is wanted and that the store doesn't know is an error; one that is off is left out.

    Nothing is removed that a question has not found: stores that don't know a kind of rule take the request to delete
    it for one to delete the bucket, or the request to set it for one to make a bucket (seen with MinIO and
    `publicAccessBlock`).
    """
    name = props["name"]

    def required(key: str, off: str, request: Callable[[], object]) -> None:
        try:
            request()
        except ClientError as error:
            if code(error) in UNSUPPORTED:
                raise BucketError(
                    f"bucket {name}: the store does not support this ({code(error)}); set objectStore.{key} to {off}"
                ) from None
            raise BucketError(f"bucket {name}: objectStore.{key} can't be set: {error}") from None
        except BotoCoreError as error:
            raise BucketError(f"bucket {name}: objectStore.{key} can't be set: {error}") from None

    def remove(question: Callable[[], object], request: Callable[[], object]) -> None:
        if optional(props, "looked at", question):
            ask(props, "changed", request)

    def blocked() -> object:
        try:
            return client.get_public_access_block(Bucket=name)
        except ClientError as error:
            if code(error) in UNSUPPORTED:
                raise
            return None

    if props["publicAccessBlock"]:
        flags: Any = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        block = {"Bucket": name, "PublicAccessBlockConfiguration": flags}
        required("publicAccessBlock", "false", blocked)
        required("publicAccessBlock", "false", lambda: client.put_public_access_block(**block))
    else:
        remove(
            lambda: client.get_public_access_block(Bucket=name),
            lambda: client.delete_public_access_block(Bucket=name),
        )
    if props["encryption"] == "none":
        remove(lambda: client.get_bucket_encryption(Bucket=name), lambda: client.delete_bucket_encryption(Bucket=name))
    else:
        by_default: Any = {"SSEAlgorithm": props["encryption"]}
        if props.get("kmsKeyId"):
            by_default["KMSMasterKeyID"] = props["kmsKeyId"]
        rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
        required(
            "encryption",
            "none",
            lambda: client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules),
        )
    versioned = _versioned(client, props)
    if props["versioning"] or versioned:
        status: Any = {"Status": "Enabled" if props["versioning"] else "Suspended"}
        required(
            "versioning", "false", lambda: client.put_bucket_versioning(Bucket=name, VersioningConfiguration=status)
        )
    lifecycle: Any = {"Rules": lifecycle_rules(props)}
    if lifecycle["Rules"]:
        required(
            "eventsDays",
            "another value",
            lambda: client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=lifecycle),
        )
    else:
        remove(
            lambda: client.get_bucket_lifecycle_configuration(Bucket=name),
            lambda: client.delete_bucket_lifecycle(Bucket=name),
        )
    tags: Any = {"TagSet": [{"Key": OWNER_TAG, "Value": props["instance"]}]}
    optional(props, "tagged", lambda: client.put_bucket_tagging(Bucket=name, Tagging=tags))


def state(client: "S3Client", props: Properties) -> Properties:
    """The properties as the store has them, so that the next comparison finds what somebody changed by hand."""
    name = props["name"]
    rules = optional(props, "looked at", lambda: client.get_bucket_lifecycle_configuration(Bucket=name))
    found = [dict(rule) for rule in rules.get("Rules", [])]
    days = next((rule["Expiration"]["Days"] for rule in found if rule.get("Expiration", {}).get("Days")), None)
    if not _same_rules(found, lifecycle_rules({**props, "expireDays": days})):
        days = "changed by hand"
    encryption = optional(props, "looked at", lambda: client.get_bucket_encryption(Bucket=name))
    default: Mapping[str, Any] = (
        encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        if encryption
        else {}
    )
    block = optional(props, "looked at", lambda: client.get_public_access_block(Bucket=name))
    flags = block.get("PublicAccessBlockConfiguration", {})
    algorithm = default.get("SSEAlgorithm", "none")
    # S3 itself encrypts every bucket: what it does by default is no drift.
    implied = props["encryption"] == "none" and algorithm == "AES256"
    return {
        **{key: props[key] for key in (*IDENTITY, "instance", "forcePathStyle")},
        "expireDays": days,
        "encryption": "none" if implied else algorithm,
        "kmsKeyId": default.get("KMSMasterKeyID") if props.get("kmsKeyId") else None,
        "versioning": _versioned(client, props),
        "publicAccessBlock": bool(flags) and all(flags.values()),
    }


def owner(client: "S3Client", props: Properties) -> str | None:
    """The installation that made the bucket, if one did."""
    answer = optional(props, "looked at", lambda: client.get_bucket_tagging(Bucket=props["name"]))
    return next((tag["Value"] for tag in answer.get("TagSet", []) if tag["Key"] == OWNER_TAG), None)


def _versioned(client: "S3Client", props: Properties) -> bool:
    answer = optional(props, "looked at", lambda: client.get_bucket_versioning(Bucket=props["name"]))
    return bool(answer.get("Status") == "Enabled")


def _same_rules(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    def plain(rules: list[dict[str, Any]]) -> list[str]:
        return sorted(str(sorted(rule.items())) for rule in rules)

    return plain(found) == plain(wanted)
