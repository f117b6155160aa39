"""Requests to an S3 store, and what its answers mean: errors name the bucket and what could not be done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Answer = TypeVar("Answer")
Properties = dict[str, Any]  # what the engine hands over: `region`, `expireDays` and so on; other values are ours

UNSUPPORTED: Final = {"NotImplemented", "MethodNotAllowed", "XNotImplemented", "UnsupportedOperation", "MalformedXML"}
ABSENT: Final = {
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchTagSet",
    "NoSuchTagSetError",
}


class BucketError(Exception):
    """One problem of one bucket, with what to do about it."""


def connect(props: Properties) -> "S3Client":
    """A client with the keys of whoever runs Pulumi."""
    style: Literal["path", "virtual"] = "path" if props["forcePathStyle"] else "virtual"
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=props["endpoint"] or None,
        region_name=props["region"],
        config=Config(retries={"total_max_attempts": 4}, connect_timeout=10, s3={"addressing_style": style}),
    )
    return client


def ask(props: Properties, done: str, request: Callable[[], Answer]) -> Answer:
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


def code(error: ClientError) -> str:
    """What the store calls an error."""
    return str(error.response["Error"].get("Code"))


def exists(client: "S3Client", props: Properties) -> bool:
    """Whether there is such a bucket.

    Raises:
        BucketError: when it is somebody else's, or can't be looked at.
    """
    try:
        client.head_bucket(Bucket=props["name"])
    except ClientError as error:
        if code(error) in {"404", "NoSuchBucket"}:
            return False
        if code(error) in {"403", "AccessDenied"}:
            raise BucketError(
                f"bucket {props['name']} belongs to somebody else, or the keys of whoever runs Pulumi may not see it"
            ) from None
        raise BucketError(f"bucket {props['name']} can't be looked at: {error}") from None
    except BotoCoreError as error:
        raise BucketError(f"bucket {props['name']} can't be looked at: {error}") from None
    return True


def has_objects(client: "S3Client", props: Properties) -> bool:
    """Whether there is anything in the bucket; old versions of objects count."""
    found = ask(props, "listed", lambda: client.list_object_versions(Bucket=props["name"], MaxKeys=1))
    return bool(found.get("Versions") or found.get("DeleteMarkers"))


def optional(props: Properties, done: str, request: Callable[[], object]) -> dict[str, Any]:
    """An answer; an empty one if there is no such rule or the store knows no such rules."""
    try:
        answer = request()
    except ClientError as error:
        if code(error) in ABSENT | UNSUPPORTED:
            return {}
        raise BucketError(f"bucket {props['name']} can't be {done}: {error}") from None
    return answer if isinstance(answer, dict) else {}
