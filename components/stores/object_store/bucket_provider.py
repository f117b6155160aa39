"""Managed buckets of an external store: a Pulumi dynamic provider on boto3.

It uses the credentials of whoever runs Pulumi, from boto3's default chain (environment, profile, single sign-on). boto3
reads them when it sends a request, and no state contains them.
"""

from typing import Any, Final

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.stores.object_store.bucket_requests import BucketError, Properties, connect, exists, has_objects, send
from components.stores.object_store.bucket_rules import IDENTITY, apply_rules, owner, state

RULES: Final = ("expireDays", "expirePrefixes", "encryption", "kmsKeyId", "versioning", "publicAccessBlock")


class BucketProvider(ResourceProvider):
    """Creates, compares, updates, reads and deletes a bucket. It never deletes an object."""

    serialize_as_secret_always = False
    """The state contains only the name of this class, which is not secret."""

    def create(self, props: Properties) -> CreateResult:
        """Create the bucket. An existing one is adopted if it is empty or was created by this installation."""
        name = props["name"]
        client = connect(props)
        created = not exists(client, props)
        if created:
            send(props, "created", lambda: client.create_bucket(Bucket=name, **_location(props)))
        elif owner(client, props) != props["instance"] and has_objects(client, props):
            raise BucketError(
                f"bucket {name} already exists and contains objects, which new rules could delete; set "
                "objectStore.manageBuckets to false, or use another bucket"
            )
        try:
            apply_rules(client, props)
        except BucketError:
            if created:
                send(props, "deleted", lambda: client.delete_bucket(Bucket=name))
            raise
        return CreateResult(name, state(client, props))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Compare the properties. Those that identify the bucket replace it."""
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [key for key in RULES if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(replaces or changed), replaces=replaces, delete_before_replace=False)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Set every rule."""
        client = connect(_news)
        apply_rules(client, _news)
        return UpdateResult(state(client, _news))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """Read the state of the bucket from the store; it is empty if the bucket does not exist."""
        client = connect(props)
        if not exists(client, props):
            return ReadResult("", {})
        return ReadResult(id_, state(client, props))

    def delete(self, _id: str, _props: Properties) -> None:
        """Delete the bucket if it is empty."""
        client = connect(_props)
        if not exists(client, _props):
            return
        if has_objects(client, _props):
            raise BucketError(
                f"bucket {_props['name']} is not empty (old versions of objects count) and is not deleted; empty it "
                "first, or remove it from the stack's state: pulumi state delete URN"
            )
        send(_props, "deleted", lambda: client.delete_bucket(Bucket=_props["name"]))


def _location(props: Properties) -> dict[str, Any]:
    """The location of a new bucket. S3 refuses its first region here. Other regions and other stores are accepted."""
    if props["region"] == "us-east-1":
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": props["region"]}}
