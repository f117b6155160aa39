"""Requests to an S3 store. Errors name the bucket, what could not be done, and why."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Answer = TypeVar("Answer")
Properties = dict[str, Any]
"""The properties of a bucket in the engine: `name`, `region`, `expireDays` and so on."""

UNSUPPORTED: Final = {"NotImplemented", "MethodNotAllowed", "XNotImplemented", "UnsupportedOperation", "MalformedXML"}
"""Error codes of stores that do not know a kind of rule."""
ABSENT: Final = {
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchTagSet",
    "NoSuchTagSetError",
}
"""Error codes for a bucket that has no rule of a kind."""


class BucketError(Exception):
    """An error with a bucket, and how to fix it."""


def connect(props: Properties) -> "S3Client":
    """A client with the credentials of whoever runs Pulumi."""
    style: Literal["path", "virtual"] = "path" if props["forcePathStyle"] else "virtual"
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=props["endpoint"] or None,
        region_name=props["region"],
        config=Config(retries={"total_max_attempts": 4}, connect_timeout=10, s3={"addressing_style": style}),
    )
    return client


def send(props: Properties, action: str, request: Callable[[], Answer]) -> Answer:
    """Send a request and return the answer.

    Args:
        props: The bucket.
        action: What the request does, for the error: `created`, `listed` and so on.
        request: Sends the request.

    Raises:
        BucketError: If the store refuses the request or can't be reached.
    """
    try:
        return request()
    except ClientError as error:
        detail = error.response["Error"]
        why = f"{detail.get('Code')}: {detail.get('Message', '')}"
    except BotoCoreError as error:
        why = str(error)
    raise BucketError(f"bucket {props['name']} can't be {action}: {why}")


def send_optional(props: Properties, action: str, request: Callable[[], object]) -> dict[str, Any]:
    """Send a request about a rule and return the answer. It is empty if there is no rule, or no support for it.

    Raises:
        BucketError: If the store refuses the request for another reason.
    """
    try:
        answer = request()
    except ClientError as error:
        if error_code(error) in ABSENT | UNSUPPORTED:
            return {}
        raise BucketError(f"bucket {props['name']} can't be {action}: {error}") from None
    return answer if isinstance(answer, dict) else {}


def error_code(error: ClientError) -> str:
    """The code of an error in S3's API, for example `NoSuchBucket`."""
    return str(error.response["Error"].get("Code"))


def exists(client: "S3Client", props: Properties) -> bool:
    """Whether the bucket exists.

    Raises:
        BucketError: If the bucket belongs to another account, or if the request fails.
    """
    try:
        client.head_bucket(Bucket=props["name"])
    except ClientError as error:
        if error_code(error) in {"404", "NoSuchBucket"}:
            return False
        if error_code(error) in {"403", "AccessDenied"}:
            raise BucketError(
                f"bucket {props['name']} belongs to another account, or the keys of whoever runs Pulumi can't access it"
            ) from None
        raise BucketError(f"bucket {props['name']} can't be read: {error}") from None
    except BotoCoreError as error:
        raise BucketError(f"bucket {props['name']} can't be read: {error}") from None
    return True


def has_objects(client: "S3Client", props: Properties) -> bool:
    """Whether the bucket contains objects. Old versions and delete markers count."""
    found = send(props, "listed", lambda: client.list_object_versions(Bucket=props["name"], MaxKeys=1))
    return bool(found.get("Versions") or found.get("DeleteMarkers"))
