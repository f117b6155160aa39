"""Buckets of a store that is there already, kept as they are wanted: a Pulumi dynamic provider on boto3.

Keys are those of whoever runs Pulumi (environment, profile, single sign-on: boto3's own chain). They are asked for when
a request is sent and stand in no state.
"""

from typing import Any, Final

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.stores.object_store.bucket_requests import BucketError, Properties, ask, connect, exists, has_objects
from components.stores.object_store.bucket_state import IDENTITY, apply_rules, owner, state

RULES: Final = ("expireDays", "encryption", "kmsKeyId", "versioning", "publicAccessBlock")


class BucketProvider(ResourceProvider):
    """Creates, compares, updates, reads and deletes one bucket. It never deletes an object."""

    serialize_as_secret_always = False
    """It holds nothing: what is stored of it is its name."""

    def create(self, props: Properties) -> CreateResult:
        """Make the bucket, or take over an empty one or one that this installation made before."""
        name = props["name"]
        client = connect(props)
        made = not exists(client, props)
        if made:
            ask(props, "made", lambda: client.create_bucket(Bucket=name, **_location(props)))
        elif owner(client, props) != props["instance"] and has_objects(client, props):
            raise BucketError(
                f"bucket {name} is there already and holds objects, which new rules could delete; set "
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
        """Which properties differ, and whether it takes another bucket."""
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [key for key in RULES if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(replaces or changed), replaces=replaces, delete_before_replace=False)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Bring every rule to what is wanted."""
        client = connect(_news)
        apply_rules(client, _news)
        return UpdateResult(state(client, _news))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """What the store says of the bucket; nothing when it is gone."""
        client = connect(props)
        if not exists(client, props):
            return ReadResult("", {})
        return ReadResult(id_, state(client, props))

    def delete(self, _id: str, _props: Properties) -> None:
        """Delete the bucket if there is nothing in it."""
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
    """S3 itself refuses the name of its first region, and every other store takes its own."""
    if props["region"] == "us-east-1":
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": props["region"]}}
