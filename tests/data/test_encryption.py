"""What MinIO keeps is encrypted: with the rendered variables, on a disk that the tests read."""

import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from botocore.exceptions import ClientError

from components.schema.purposes import PURPOSES, Purpose
from tests.data.provisioning import Store, provision, server_variables, serving

CONTENT: Final = b"what nobody may read on the disk " * 100
"""Small enough to lie in one file, beside what describes it."""

LARGE: Final = CONTENT * 2000
"""Spread over files of its own, and uploaded in parts."""

ANOTHER_KEY: Final = {"MINIO_KMS_SECRET_KEY": "langfuse:6cKeXb9TBYBmzW1ixZOBDXQ+vJ0cHHFwyQsx0d5/8kY="}


def bucket(purpose: Purpose) -> str:
    return f"langfuse-dev-{purpose}"


def put(store: Store, purpose: Purpose, key: str, content: bytes = CONTENT) -> None:
    store.client(purpose).put_object(Bucket=bucket(purpose), Key=key, Body=content)


def content(store: Store, purpose: Purpose, key: str) -> bytes:
    return store.client(purpose).get_object(Bucket=bucket(purpose), Key=key)["Body"].read()


def found_on_disk(folder: Path, text: bytes) -> list[Path]:
    return [file for file in (folder / "data").rglob("*") if file.is_file() and text in file.read_bytes()]


def unencrypted(variables: Mapping[str, str]) -> dict[str, str]:
    """What the pod had before there was a key."""
    return {name: value for name, value in variables.items() if not name.startswith("MINIO_KMS_")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the encrypted store keeps its data and its log."""
    return tmp_path_factory.mktemp("encrypted")


@pytest.fixture(scope="module")
def encrypted(folder: Path) -> Iterator[Store]:
    """A store with the rendered variables, provisioned."""
    with serving(folder, server_variables(folder)) as store:
        assert provision(store, folder).code == 0
        yield store


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return server_variables(tmp_path)


def test_nothing_lies_readable_on_the_disk_and_everybody_reads_what_was_written(
    encrypted: Store, folder: Path, tmp_path: Path
) -> None:
    for purpose in PURPOSES:
        put(encrypted, purpose, "object")
        assert content(encrypted, purpose, "object") == CONTENT
    with (tmp_path / "large").open("wb+") as file:
        file.write(LARGE)
        file.seek(0)
        encrypted.client("exports").upload_fileobj(file, bucket("exports"), "large")
    client = encrypted.client("exports")
    part = client.get_object(Bucket=bucket("exports"), Key="large", Range="bytes=5000000-5000099")
    assert part["Body"].read() == LARGE[5000000:5000100]
    assert client.head_object(Bucket=bucket("exports"), Key="large")["ContentLength"] == len(LARGE)
    assert found_on_disk(folder, CONTENT[:33]) == []
    assert found_on_disk(folder, b"s3:GetObject") == []  # policies


def test_without_a_key_the_disk_shows_everything(tmp_path: Path, variables: dict[str, str]) -> None:
    """What the tests here look for is found when it is there."""
    with serving(tmp_path, unencrypted(variables)) as store:
        assert provision(store, tmp_path).code == 0
        put(store, "media", "object")
    assert found_on_disk(tmp_path, CONTENT[:33])
    assert found_on_disk(tmp_path, b"s3:GetObject")


def test_objects_outlive_a_restart_with_their_key_and_no_other(tmp_path: Path, variables: dict[str, str]) -> None:
    with serving(tmp_path, variables) as store:
        assert provision(store, tmp_path).code == 0
        put(store, "media", "object")
    with serving(tmp_path, variables | ANOTHER_KEY) as store:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):  # users are encrypted as well
            content(store, "media", "object")
        with pytest.raises(ClientError, match="InvalidCiphertext"):
            store.client().get_object(Bucket=bucket("media"), Key="object")
    with serving(tmp_path, variables) as store:
        assert content(store, "media", "object") == CONTENT


def test_what_was_there_before_the_key_stays_readable_and_is_provisioned_again(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    with serving(tmp_path, unencrypted(variables)) as store:
        assert provision(store, tmp_path).code == 0
        put(store, "media", "before")
    with serving(tmp_path, variables) as store:
        for _ in range(2):
            assert (result := provision(store, tmp_path)).code == 0, result.output
        assert content(store, "media", "before") == CONTENT
        put(store, "media", "after", CONTENT[::-1])
    assert found_on_disk(tmp_path, CONTENT[:33])
    assert found_on_disk(tmp_path, CONTENT[::-1][:33]) == []


def test_signed_links_read_and_write(encrypted: Store, folder: Path) -> None:
    place = {"Bucket": bucket("media"), "Key": "linked"}
    upload, download = (
        encrypted.client("media").generate_presigned_url(operation, Params=place)
        for operation in ("put_object", "get_object")
    )
    request = urllib.request.Request(upload, data=CONTENT, method="PUT")  # noqa: S310  # our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    with urllib.request.urlopen(download, timeout=10) as answer:  # noqa: S310
        assert answer.read() == CONTENT
    assert found_on_disk(folder, CONTENT[:33]) == []


def test_the_key_shows_neither_to_administrators_nor_in_the_log(encrypted: Store, folder: Path) -> None:
    key = server_variables(folder)["MINIO_KMS_SECRET_KEY"].partition(":")[2]
    told = str(encrypted.admin("info", "store"))
    assert "MINIO_KMS_SECRET_KEY" in told
    shown = [name for name, text in {"info": told, "log": (folder / "log").read_text()}.items() if key in text]
    assert shown == []
