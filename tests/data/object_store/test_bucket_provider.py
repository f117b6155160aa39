"""The dynamic provider of buckets with a real MinIO server."""

from collections.abc import Iterator
from typing import Any

import pytest

from components.stores.object_store.bucket_provider import BucketProvider
from components.stores.object_store.bucket_requests import BucketError
from tests.data.object_store.minio import Store
from tests.data.rendered import secrets

PROVIDER = BucketProvider()
ROOT = "langfuse-object-store-root"
WANTED: dict[str, Any] = {
    "instance": "langfuse-test",
    "region": "us-east-1",
    "forcePathStyle": True,
    "expireDays": 30,
    "encryption": "none",
    "kmsKeyId": None,
    "versioning": True,
    "publicAccessBlock": False,
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the person who runs Pulumi."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", secrets()[ROOT, "access-key-id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets()[ROOT, "secret-access-key"])


@pytest.fixture
def wanted(store: Store, keys: None, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Properties of a bucket. The bucket and its objects are deleted after the test."""
    name = f"provider-{abs(hash(request.node.name)) % 10**8}"
    yield {**WANTED, "name": name, "endpoint": store.url}
    client = store.client()
    if name in {bucket.get("Name") for bucket in client.list_buckets()["Buckets"]}:
        found = client.list_object_versions(Bucket=name)
        for item in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            client.delete_object(Bucket=name, Key=item["Key"], VersionId=item["VersionId"])
        client.delete_bucket(Bucket=name)


def created(wanted: dict[str, Any]) -> dict[str, Any]:
    outs = PROVIDER.create(wanted).outs
    assert outs is not None
    return outs


def test_a_new_bucket_has_its_rules_and_the_requested_state(store: Store, wanted: dict[str, Any]) -> None:
    assert created(wanted) == wanted
    (rule,) = store.client().get_bucket_lifecycle_configuration(Bucket=wanted["name"])["Rules"]
    assert rule["Expiration"] == {"Days": 30}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert store.client().get_bucket_versioning(Bucket=wanted["name"])["Status"] == "Enabled"


def test_an_unchanged_bucket_needs_no_update(wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    assert PROVIDER.diff(wanted["name"], outs, wanted).changes is False
    read = PROVIDER.read(wanted["name"], outs)
    assert (read.id, read.outs) == (wanted["name"], outs)


def test_changed_rules_are_updated_in_place(store: Store, wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    changed = {**wanted, "expireDays": None, "versioning": False}
    diff = PROVIDER.diff(wanted["name"], outs, changed)
    assert (diff.changes, diff.replaces) == (True, [])
    assert PROVIDER.update(wanted["name"], outs, changed).outs == changed
    assert store.client().get_bucket_versioning(Bucket=wanted["name"])["Status"] == "Suspended"
    assert PROVIDER.read(wanted["name"], changed).outs == changed


def test_another_name_or_store_replaces_the_bucket(wanted: dict[str, Any]) -> None:
    for key in ("name", "endpoint", "region"):
        diff = PROVIDER.diff(wanted["name"], wanted, {**wanted, key: "another"})
        assert (diff.changes, diff.replaces) == (True, [key])


def test_manual_changes_are_detected_and_reverted(store: Store, wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    client = store.client()
    client.delete_bucket_lifecycle(Bucket=wanted["name"])
    client.put_bucket_versioning(Bucket=wanted["name"], VersioningConfiguration={"Status": "Suspended"})
    found = PROVIDER.read(wanted["name"], outs).outs
    assert found is not None
    assert PROVIDER.diff(wanted["name"], found, wanted).changes
    assert PROVIDER.update(wanted["name"], found, wanted).outs == wanted


def test_a_manually_added_rule_is_detected(store: Store, wanted: dict[str, Any]) -> None:
    outs = created({**wanted, "expireDays": None, "versioning": False})
    rule: Any = {"ID": "by-hand", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 1}}
    store.client().put_bucket_lifecycle_configuration(Bucket=wanted["name"], LifecycleConfiguration={"Rules": [rule]})
    found = PROVIDER.read(wanted["name"], outs).outs
    assert PROVIDER.diff(wanted["name"], found or {}, outs).changes


def test_a_deleted_bucket_is_read_as_deleted(store: Store, wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    store.client().delete_bucket(Bucket=wanted["name"])
    assert PROVIDER.read(wanted["name"], outs).id == ""


def test_a_bucket_with_objects_or_old_versions_is_never_deleted(store: Store, wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    client = store.client()
    client.put_object(Bucket=wanted["name"], Key="object", Body=b"content")
    with pytest.raises(BucketError, match="is not empty"):
        PROVIDER.delete(wanted["name"], outs)
    client.delete_object(Bucket=wanted["name"], Key="object")  # leaves the version and a marker
    with pytest.raises(BucketError, match="is not empty"):
        PROVIDER.delete(wanted["name"], outs)


def test_deleting_an_empty_bucket_twice_is_not_an_error(store: Store, wanted: dict[str, Any]) -> None:
    outs = created(wanted)
    PROVIDER.delete(wanted["name"], outs)
    assert wanted["name"] not in {bucket.get("Name") for bucket in store.client().list_buckets()["Buckets"]}
    PROVIDER.delete(wanted["name"], outs)


def test_an_existing_bucket_with_objects_is_not_adopted(store: Store, wanted: dict[str, Any]) -> None:
    store.client().create_bucket(Bucket=wanted["name"])
    store.client().put_object(Bucket=wanted["name"], Key="object", Body=b"content")
    with pytest.raises(BucketError, match="manageBuckets"):
        created(wanted)
    with pytest.raises(store.client().exceptions.ClientError, match="NoSuchLifecycle"):
        store.client().get_bucket_lifecycle_configuration(Bucket=wanted["name"])


def test_a_bucket_of_the_same_installation_is_adopted(store: Store, wanted: dict[str, Any]) -> None:
    created(wanted)
    store.client().put_object(Bucket=wanted["name"], Key="object", Body=b"content")
    assert created({**wanted, "expireDays": 3})["expireDays"] == 3


def test_only_some_folders_may_expire(store: Store, wanted: dict[str, Any]) -> None:
    props = {**wanted, "expirePrefixes": ["postgres/", "cloudnative-pg/"]}
    assert created(props) == props
    rules = store.client().get_bucket_lifecycle_configuration(Bucket=wanted["name"])["Rules"]
    expiring = {rule["Filter"]["Prefix"] for rule in rules if "Days" in rule.get("Expiration", {})}
    assert expiring == {"postgres/", "cloudnative-pg/"}


@pytest.mark.parametrize(("key", "value"), [("publicAccessBlock", True), ("encryption", "aws:kms")])
def test_unsupported_settings_are_refused_and_leave_no_bucket(
    store: Store, wanted: dict[str, Any], key: str, value: object
) -> None:
    with pytest.raises(BucketError, match=rf"objectStore\.{key}"):
        created({**wanted, key: value})
    assert wanted["name"] not in {bucket.get("Name") for bucket in store.client().list_buckets()["Buckets"]}


def test_wrong_keys_are_one_clear_error_that_does_not_quote_them(
    wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-not-to-be-shown")
    with pytest.raises(BucketError, match="keys of whoever runs Pulumi") as error:
        created(wanted)
    assert "wrong-and" not in str(error.value)
