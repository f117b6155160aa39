"""Managed buckets of an external store, with the real CLI and a real MinIO server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.engine.harness import CHECKOUT, Engine, Program, Result
from tests.engine.stacks import drifted
from tests.servers import answers, free_port, running, tool

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]

KEYS: Final = ("administrator", "a key of the tests' own MinIO")
PURPOSES: Final = ("events", "media", "exports", "backups")
SOURCE: Final = """
    import pulumi
    from components.kubernetes.installation import Installation
    from components.schema.stores import ExternalObjectStore
    from components.stores.object_store.expiry import expiries
    from components.stores.object_store.managed_buckets import managed_buckets

    store = ExternalObjectStore.model_validate(pulumi.Config().require_object("store"))
    installation = Installation(instance="langfuse-test", namespace="langfuse-test", protect=False)
    managed_buckets(store, expiries(store, 14, pruned=False), installation, pulumi.ResourceOptions())
"""


class Store:
    """A MinIO server, and programs that manage buckets in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: S3Client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def configure(self, program: Program, prefix: str, **store: object) -> None:
        """Configure a program with buckets whose names have a prefix."""
        always = {
            "mode": "external",
            "endpoint": self.url,
            "region": "us-east-1",
            "forcePathStyle": True,
            "buckets": {purpose: f"{prefix}-{purpose}" for purpose in PURPOSES},
            "manageBuckets": True,
            "encryption": "none",
            "publicAccessBlock": False,
        }
        program.configure(store={**always, **store})

    def buckets(self, prefix: str) -> set[str]:
        """The purposes of the buckets whose names have a prefix."""
        found = self.client.list_buckets()["Buckets"]
        return {bucket["Name"].removeprefix(f"{prefix}-") for bucket in found if bucket["Name"].startswith(prefix)}

    def days(self, prefix: str) -> Mapping[str, int | None]:
        """The number of days after which the objects in each bucket expire."""
        return {purpose: self._days(f"{prefix}-{purpose}") for purpose in PURPOSES}

    def _days(self, bucket: str) -> int | None:
        try:
            (rule,) = self.client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        except ClientError as error:
            if error.response["Error"].get("Code") == "NoSuchLifecycleConfiguration":
                return None
            raise
        return rule.get("Expiration", {}).get("Days")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder, port = tmp_path_factory.mktemp("minio"), free_port()
    # Its console would listen on a random port, which could be this one.
    variables = {
        "MINIO_ROOT_USER": KEYS[0],
        "MINIO_ROOT_PASSWORD": KEYS[1],
        "MINIO_BROWSER": "off",
        "HOME": str(folder),
    }
    with running(
        [tool("minio"), "server", folder / "data", "--address", f"127.0.0.1:{port}"],
        variables,
        lambda: answers(port),
        log=folder / "log",
    ):
        yield Store(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def new_program(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Program]:
    """Creates programs with buckets only, with the keys in the environment."""

    def make() -> Program:
        program = Program(engine, tmp_path_factory.mktemp("buckets"))
        program.write(SOURCE)
        program.variables |= {
            "PYTHONPATH": str(CHECKOUT),
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
        }
        return program

    return make


@pytest.fixture(scope="module")
def deployed(store: Store, new_program: Callable[[], Program]) -> Program:
    """Buckets after a first update."""
    program = new_program()
    store.configure(program, "kept", eventsDays=30, exportsDays=7)
    program.up().ok()
    return program


def the_error(result: Result, bucket: str) -> str:
    """The error of a failed command about a bucket."""
    assert result.exit_code != 0
    (error,) = (message for message in result.messages("error") if bucket in message)
    return error


def test_buckets_are_created_with_their_rules_and_then_not_changed(store: Store, deployed: Program) -> None:
    assert store.buckets("kept") == set(PURPOSES)
    assert store.days("kept") == {"events": 30, "media": None, "exports": 7, "backups": 21}
    assert store.client.get_bucket_versioning(Bucket="kept-media")["Status"] == "Enabled"
    is_shown = KEYS[1] in deployed.export()
    assert not is_shown
    deployed.up("--expect-no-changes").ok()


@pytest.mark.long
def test_removed_rules_are_restored_with_the_next_change(store: Store, deployed: Program) -> None:
    store.client.delete_bucket_lifecycle(Bucket="kept-events")
    assert drifted(deployed.refresh().ok()) == {("Bucket", "langfuse-test-events")}

    store.configure(deployed, "kept", eventsDays=30, exportsDays=3)
    result = deployed.up().ok()

    assert result.changes == dict.fromkeys(("langfuse-test-events", "langfuse-test-exports"), "update")
    assert store.days("kept") == {"events": 30, "media": None, "exports": 3, "backups": 21}


@pytest.mark.long
def test_a_bucket_with_objects_is_not_deleted(store: Store, deployed: Program) -> None:
    version = store.client.put_object(Bucket="kept-media", Key="object", Body=b"content")["VersionId"]

    error = the_error(deployed.destroy(), "kept-media")

    assert "is not empty" in error
    assert "Traceback" not in error
    assert store.client.get_object(Bucket="kept-media", Key="object")["Body"].read() == b"content"
    store.client.delete_object(Bucket="kept-media", Key="object", VersionId=version)
    deployed.destroy().ok()
    assert store.buckets("kept") == set()


@pytest.mark.long
def test_only_an_empty_existing_bucket_is_adopted(store: Store, new_program: Callable[[], Program]) -> None:
    program = new_program()
    for purpose in ("events", "backups"):
        store.client.create_bucket(Bucket=f"there-{purpose}")
    store.client.put_object(Bucket="there-backups", Key="object", Body=b"somebody's")
    store.configure(program, "there")

    error = the_error(program.up(), "there-backups")

    assert "manageBuckets" in error
    assert "Traceback" not in error
    assert store.days("there")["backups"] is None
    store.client.delete_object(Bucket="there-backups", Key="object")
    program.up().ok()
    assert store.days("there") == {"events": 30, "media": None, "exports": 7, "backups": 21}
