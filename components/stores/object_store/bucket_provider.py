"""Managed buckets of an external store: a Pulumi dynamic provider on boto3.

It uses the credentials of whoever runs Pulumi (environment, profile, single sign-on: boto3's own chain). boto3 reads
them when it sends a request, and no state contains them.
"""

from typing import Any, Final

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.stores.object_store.bucket_requests import BucketError, Properties, ask, connect, exists, has_objects
from components.stores.object_store.bucket_rules import IDENTITY, apply_rules, owner, state

RULES: Final = ("expireDays", "encryption", "kmsKeyId", "versioning", "publicAccessBlock")


class BucketProvider(ResourceProvider):
    """Creates, compares, updates, reads and deletes one bucket. It never deletes an object."""

    serialize_as_secret_always = False
    """It has no data: the state contains only its name."""

    def create(self, props: Properties) -> CreateResult:
        """Creates the bucket, or adopts an empty one or one that this installation created before."""
        name = props["name"]
        client = connect(props)
        made = not exists(client, props)
        if made:
            ask(props, "made", lambda: client.create_bucket(Bucket=name, **_location(props)))
        elif owner(client, props) != props["instance"] and has_objects(client, props):
            raise BucketError(
                f"bucket {name} already exists and contains objects, which new rules could delete; set "
                "objectStore.manageBuckets to false, or name another bucket"
            )
        try:
            apply_rules(client, props)
        except BucketError:
            if made:
                ask(props, "deleted", lambda: client.delete_bucket(Bucket=name))
            raise
        return CreateResult(name, state(client, props))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Which properties differ, and whether that means another bucket."""
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [key for key in RULES if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(replaces or changed), replaces=replaces, delete_before_replace=False)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Sets every rule."""
        client = connect(_news)
        apply_rules(client, _news)
        return UpdateResult(state(client, _news))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """The state of the bucket in the store; nothing if it does not exist."""
        client = connect(props)
        if not exists(client, props):
            return ReadResult("", {})
        return ReadResult(id_, state(client, props))

    def delete(self, _id: str, _props: Properties) -> None:
        """Deletes the bucket if it is empty."""
        client = connect(_props)
        if not exists(client, _props):
            return
        if has_objects(client, _props):
            raise BucketError(
                f"bucket {_props['name']} is not empty (old versions of objects count) and is not deleted; empty it "
                f"first, or let the stack forget it: pulumi state delete URN"
            )
        ask(_props, "deleted", lambda: client.delete_bucket(Bucket=_props["name"]))


def _location(props: Properties) -> dict[str, Any]:
    """S3 refuses the name of its first region here. Other regions and stores accept theirs."""
    if props["region"] == "us-east-1":
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": props["region"]}}
