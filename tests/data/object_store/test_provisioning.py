"""The provisioning script with the environment of its Job and a real MinIO server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from botocore.exceptions import ClientError

from components.schema.purposes import PURPOSES, Purpose
from tests.data.object_store.minio import Store, provision
from tests.data.rendered import secrets
from tests.servers import free_port

Action = Literal["put", "get", "list", "delete"]

ANOTHER_KEY = "not-the-key-that-was-there-before"


def expiry(store: Store, purpose: Purpose) -> list[dict[str, object]]:
    """The lifecycle rules of a bucket."""
    try:
        answer = store.client().get_bucket_lifecycle_configuration(Bucket=f"langfuse-dev-{purpose}")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []
    return [dict(rule) for rule in answer["Rules"]]


def allowed(store: Store, user: Purpose, action: Action, bucket: Purpose, key: str = "object") -> bool:
    """Whether the user of a purpose may perform an operation in a bucket."""
    client = store.client(user)
    name = f"langfuse-dev-{bucket}"
    try:
        match action:
            case "put":
                client.put_object(Bucket=name, Key=key, Body=b"content")
            case "get":
                client.get_object(Bucket=name, Key=key)
            case "list":
                client.list_objects_v2(Bucket=name)
            case "delete":
                client.delete_object(Bucket=name, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_objects_expire_as_configured_and_media_never_expires(store: Store) -> None:
    def rules(days: int) -> list[dict[str, object]]:
        return [{"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}}]

    assert expiry(store, "events") == rules(30)
    assert expiry(store, "exports") == rules(7)
    kept = {str(rule["Filter"]["Prefix"]): rule for rule in expiry(store, "backups")}  # type: ignore[index]
    assert kept.keys() == {"", "postgres/", "cloudnative-pg/"}
    assert kept["postgres/"]["Expiration"] == kept["cloudnative-pg/"]["Expiration"] == {"Days": 7}
    assert kept[""]["Expiration"] == {"ExpiredObjectDeleteMarker": True}, "sets expire only by the retention Job"
    assert kept[""]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert expiry(store, "media") == []


def test_unfinished_uploads_are_removed_after_a_week(store: Store) -> None:
    settings = store.admin("config", "get", "store", "api")["config"][0]["kv"]
    expiry = next(item for item in settings if item["key"] == "stale_uploads_expiry")
    assert expiry["envOverride"] == {"name": "MINIO_API_STALE_UPLOADS_EXPIRY", "value": "168h"}


@pytest.mark.parametrize("user", PURPOSES)
def test_each_user_has_the_rights_that_langfuse_needs_in_its_bucket(store: Store, user: Purpose) -> None:
    assert allowed(store, user, "put", user)
    assert allowed(store, user, "get", user)
    assert allowed(store, user, "list", user)
    assert allowed(store, user, "delete", user) is (user in {"events", "media"})


@pytest.mark.parametrize("user", PURPOSES)
def test_no_user_can_access_the_bucket_of_another(store: Store, user: Purpose) -> None:
    for other in set(PURPOSES) - {user}:
        store.client().put_object(Bucket=f"langfuse-dev-{other}", Key="object", Body=b"content")
        actions: tuple[Action, ...] = ("put", "get", "list", "delete")
        assert [action for action in actions if allowed(store, user, action, other)] == []


def test_the_backup_user_can_delete_only_the_lock_of_a_backup(store: Store) -> None:
    store.client().put_object(Bucket="langfuse-dev-backups", Key="clickhouse/now/.lock", Body=b"content")
    assert allowed(store, "backups", "delete", "backups", "clickhouse/now/.lock")
    assert not allowed(store, "backups", "delete", "backups", "clickhouse/now/.backup")
    assert not allowed(store, "backups", "delete", "backups", "postgres/now/.complete")


def test_what_is_deleted_or_replaced_in_the_bucket_of_backups_can_be_restored(store: Store) -> None:
    bucket, root = "langfuse-dev-backups", store.client()
    key = "sets/of-this-test/.complete"  # objects of other tests have versions too
    store.client("backups").put_object(Bucket=bucket, Key=key, Body=b"good")
    store.client("backups").put_object(Bucket=bucket, Key=key, Body=b"replaced")
    store.client("prune").delete_object(Bucket=bucket, Key=key)
    versions = [one["VersionId"] for one in root.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]]
    kept = [root.get_object(Bucket=bucket, Key=key, VersionId=one)["Body"].read() for one in versions]
    assert kept == [b"replaced", b"good"]
    with pytest.raises(ClientError, match="AccessDenied"):
        store.client("prune").delete_object(Bucket=bucket, Key=key, VersionId=versions[0])


@pytest.mark.long
def test_large_uploads_in_parts_work(store: Store) -> None:
    client = store.client("exports")
    upload = client.create_multipart_upload(Bucket="langfuse-dev-exports", Key="parts")
    part = client.upload_part(
        Bucket="langfuse-dev-exports", Key="parts", UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
    )
    client.complete_multipart_upload(
        Bucket="langfuse-dev-exports",
        Key="parts",
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
    )
    abandoned = client.create_multipart_upload(Bucket="langfuse-dev-exports", Key="parts")
    client.abort_multipart_upload(Bucket="langfuse-dev-exports", Key="parts", UploadId=abandoned["UploadId"])


def test_buckets_are_not_public(store: Store, tmp_path: Path) -> None:
    client = store.client()
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::langfuse-dev-media/*"],
    }
    client.put_bucket_policy(
        Bucket="langfuse-dev-media", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert provision(store, tmp_path).code == 0
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        client.get_bucket_policy(Bucket="langfuse-dev-media")


def test_a_second_run_changes_nothing(store: Store, tmp_path: Path) -> None:
    store.client().put_object(Bucket="langfuse-dev-media", Key="kept", Body=b"kept")
    before = {purpose: expiry(store, purpose) for purpose in PURPOSES}
    assert provision(store, tmp_path).code == 0
    assert {purpose: expiry(store, purpose) for purpose in PURPOSES} == before
    assert store.client("media").get_object(Bucket="langfuse-dev-media", Key="kept")["Body"].read() == b"kept"
    assert not allowed(store, "events", "get", "media")


@pytest.mark.long
def test_changes_are_applied_and_drift_is_removed(make_store: Callable[[], Store], tmp_path: Path) -> None:
    store = make_store()
    assert provision(store, tmp_path).code == 0
    rule = {"ID": "by-hand", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    store.client().put_bucket_lifecycle_configuration(
        Bucket="langfuse-dev-media",
        LifecycleConfiguration={"Rules": [rule]},  # type: ignore[list-item]  # a dict
    )
    store.admin("policy", "attach", "store", "readwrite", "--user", "langfuse-dev-events")
    assert allowed(store, "events", "put", "media")

    longer = {"Rules": [{"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 90}}]}
    changed = provision(
        store, tmp_path, {"events.lifecycle.json": json.dumps(longer)}, EXPORTS_SECRET_ACCESS_KEY=ANOTHER_KEY
    )
    assert changed.code == 0, changed.output
    assert [rule["Expiration"] for rule in expiry(store, "events")] == [{"Days": 90}]
    assert expiry(store, "media") == []
    assert not allowed(store, "events", "put", "media")
    assert allowed(store, "events", "put", "events")
    store.client("exports", secret=ANOTHER_KEY).list_objects_v2(Bucket="langfuse-dev-exports")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        store.client("exports").list_objects_v2(Bucket="langfuse-dev-exports")


def test_keys_are_neither_in_the_log_nor_in_the_process_list(store: Store, tmp_path: Path) -> None:
    result = provision(store, tmp_path)
    keys = [value for (name, key), value in secrets().items() if "object-store" in name and "secret" in key]
    assert len(keys) == 7
    assert "mc admin user add" in result.command_lines
    assert result.leaks(keys) == []


def test_an_unreachable_store_is_one_clear_error(store: Store, tmp_path: Path) -> None:
    gone = Store(url=f"http://127.0.0.1:{free_port()}", clients=store.clients)
    result = provision(gone, tmp_path, WAIT_SECONDS="2")
    assert result.code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert gone.url in result.output
    assert "connection refused" in result.output


def test_wrong_root_credentials_are_one_clear_error(store: Store, tmp_path: Path) -> None:
    result = provision(store, tmp_path, WAIT_SECONDS="0", ROOT_SECRET_ACCESS_KEY=ANOTHER_KEY)
    assert result.code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert "root credentials" in result.output
    assert ANOTHER_KEY not in result.output
