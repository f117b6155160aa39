"""Buckets of a store that is there already, kept as they are wanted: a Pulumi dynamic provider on boto3.

Keys are those of whoever runs Pulumi (environment, profile, single sign-on: boto3's own chain). They are asked for when
a request is sent and stand in no state.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.bucket_rules import lifecycle_rules

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Answer = TypeVar("Answer")
Properties = dict[str, Any]  # what the engine hands over: `region`, `expireDays` and so on; other values are ours

IDENTITY: Final = ("name", "endpoint", "region")
"""With another one of these it is another bucket."""

RULES: Final = ("expireDays", "encryption", "kmsKeyId", "versioning", "publicAccessBlock")

UNSUPPORTED: Final = {"NotImplemented", "MethodNotAllowed", "XNotImplemented", "UnsupportedOperation", "MalformedXML"}
ABSENT: Final = {
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchTagSet",
    "NoSuchTagSetError",
}
OWNER_TAG: Final = "langfuse-instance"


class BucketError(Exception):
    """One problem of one bucket, with what to do about it."""


class BucketProvider(ResourceProvider):
    """Creates, compares, updates, reads and deletes one bucket. It never deletes an object."""

    serialize_as_secret_always = False
    """It holds nothing: what is stored of it is its name."""

    def create(self, props: Properties) -> CreateResult:
        """Make the bucket, or take over an empty one or one that this installation made before."""
        name = props["name"]
        client = _client(props)
        made = not _exists(client, props)
        if made:
            _ask(props, "made", lambda: client.create_bucket(Bucket=name, **_location(props)))
        elif _tag(client, props) != props["instance"] and _has_objects(client, props):
            raise BucketError(
                f"bucket {name} is there already and holds objects, which new rules could delete; set "
                "objectStore.manageBuckets to false, or name another bucket"
            )
        try:
            _apply(client, props)
        except BucketError:
            if made:
                _ask(props, "deleted", lambda: client.delete_bucket(Bucket=name))
            raise
        return CreateResult(name, _state(client, props))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Which properties differ, and whether it takes another bucket."""
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [key for key in RULES if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(replaces or changed), replaces=replaces, delete_before_replace=False)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Bring every rule to what is wanted."""
        client = _client(_news)
        _apply(client, _news)
        return UpdateResult(_state(client, _news))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """What the store says of the bucket; nothing when it is gone."""
        client = _client(props)
        if not _exists(client, props):
            return ReadResult("", {})
        return ReadResult(id_, _state(client, props))

    def delete(self, _id: str, _props: Properties) -> None:
        """Delete the bucket if there is nothing in it."""
        client = _client(_props)
        if not _exists(client, _props):
            return
        if _has_objects(client, _props):
            raise BucketError(
                f"bucket {_props['name']} is not empty (old versions of objects count) and is not deleted; empty it "
                f"first, or let the stack forget it: pulumi state delete URN"
            )
        _ask(_props, "deleted", lambda: client.delete_bucket(Bucket=_props["name"]))


def _client(props: Properties) -> "S3Client":
    style: Literal["path", "virtual"] = "path" if props["forcePathStyle"] else "virtual"
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=props["endpoint"] or None,
        region_name=props["region"],
        config=Config(retries={"total_max_attempts": 4}, connect_timeout=10, s3={"addressing_style": style}),
    )
    return client


def _location(props: Properties) -> dict[str, Any]:
    """S3 itself refuses the name of its first region, and every other store takes its own."""
    if props["region"] == "us-east-1":
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": props["region"]}}


def _ask(props: Properties, done: str, request: Callable[[], Answer]) -> Answer:
    """A request's answer.

    Raises:
        BucketError: naming the bucket, what could not be done, and why.
    """
    try:
        return request()
    except ClientError as error:
        detail = error.response["Error"]
        why = f"{detail.get('Code')}: {detail.get('Message', '')}"
    except BotoCoreError as error:
        why = str(error)
    raise BucketError(f"bucket {props['name']} can't be {done}: {why}")


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code"))


def _exists(client: "S3Client", props: Properties) -> bool:
    try:
        client.head_bucket(Bucket=props["name"])
    except ClientError as error:
        if _code(error) in {"404", "NoSuchBucket"}:
            return False
        if _code(error) in {"403", "AccessDenied"}:
            raise BucketError(
                f"bucket {props['name']} belongs to somebody else, or the keys of whoever runs Pulumi may not see it"
            ) from None
        raise BucketError(f"bucket {props['name']} can't be looked at: {error}") from None
    except BotoCoreError as error:
        raise BucketError(f"bucket {props['name']} can't be looked at: {error}") from None
    return True


def _has_objects(client: "S3Client", props: Properties) -> bool:
    found = _ask(props, "listed", lambda: client.list_object_versions(Bucket=props["name"], MaxKeys=1))
    return bool(found.get("Versions") or found.get("DeleteMarkers"))


def _tag(client: "S3Client", props: Properties) -> str | None:
    answer = _optional(props, "looked at", lambda: client.get_bucket_tagging(Bucket=props["name"]))
    return next((tag["Value"] for tag in answer.get("TagSet", []) if tag["Key"] == OWNER_TAG), None)


def _optional(props: Properties, done: str, request: Callable[[], object]) -> dict[str, Any]:
    """An answer; an empty one if there is no such rule or the store knows no such rules."""
    try:
        answer = request()
    except ClientError as error:
        if _code(error) in ABSENT | UNSUPPORTED:
            return {}
        raise BucketError(f"bucket {props['name']} can't be {done}: {error}") from None
    return answer if isinstance(answer, dict) else {}


def _apply(client: "S3Client", props: Properties) -> None:  # noqa: C901  # one rule after the other
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
            if _code(error) in UNSUPPORTED:
                raise BucketError(
                    f"bucket {name}: the store does not support this ({_code(error)}); set objectStore.{key} to {off}"
                ) from None
            raise BucketError(f"bucket {name}: objectStore.{key} can't be set: {error}") from None
        except BotoCoreError as error:
            raise BucketError(f"bucket {name}: objectStore.{key} can't be set: {error}") from None

    def remove(question: Callable[[], object], request: Callable[[], object]) -> None:
        if _optional(props, "looked at", question):
            _ask(props, "changed", request)

    def blocked() -> object:
        try:
            return client.get_public_access_block(Bucket=name)
        except ClientError as error:
            if _code(error) in UNSUPPORTED:
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
    _optional(props, "tagged", lambda: client.put_bucket_tagging(Bucket=name, Tagging=tags))


def _versioned(client: "S3Client", props: Properties) -> bool:
    answer = _optional(props, "looked at", lambda: client.get_bucket_versioning(Bucket=props["name"]))
    return bool(answer.get("Status") == "Enabled")


def _state(client: "S3Client", props: Properties) -> Properties:
    """The properties as the store has them, so that the next comparison finds what somebody changed by hand."""
    name = props["name"]
    rules = _optional(props, "looked at", lambda: client.get_bucket_lifecycle_configuration(Bucket=name))
    found = [dict(rule) for rule in rules.get("Rules", [])]
    days = next((rule["Expiration"]["Days"] for rule in found if rule.get("Expiration", {}).get("Days")), None)
    if not _same_rules(found, lifecycle_rules({**props, "expireDays": days})):
        days = "changed by hand"
    encryption = _optional(props, "looked at", lambda: client.get_bucket_encryption(Bucket=name))
    default: Mapping[str, Any] = (
        encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        if encryption
        else {}
    )
    block = _optional(props, "looked at", lambda: client.get_public_access_block(Bucket=name))
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


def _same_rules(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    def plain(rules: list[dict[str, Any]]) -> list[str]:
        return sorted(str(sorted(rule.items())) for rule in rules)

    return plain(found) == plain(wanted)
