"""Encryption at rest: MinIO with the rendered variables, and the files on its disk."""

import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from botocore.exceptions import ClientError

from components.schema.purposes import PURPOSES, Purpose
from tests.data.object_store.minio import Store, provision, server_variables, serving

pytestmark = pytest.mark.long

CONTENT: Final = b"content that must not be readable " * 100
"""Small enough that MinIO stores it in one file with its metadata."""

LARGE: Final = CONTENT * 2000
"""Large enough for separate files and an upload in parts."""

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
    """The variables of a release without encryption."""
    return {name: value for name, value in variables.items() if not name.startswith("MINIO_KMS_")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the data and the log of the encrypted store."""
    return tmp_path_factory.mktemp("encrypted")


@pytest.fixture(scope="module")
def encrypted(folder: Path) -> Iterator[Store]:
    """A provisioned store with the rendered variables."""
    with serving(folder, server_variables(folder)) as store:
        assert provision(store, folder).code == 0
        yield store


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return server_variables(tmp_path)


def test_objects_are_encrypted_on_the_disk_and_readable_through_the_api(
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


def test_without_a_key_objects_are_readable_on_the_disk(tmp_path: Path, variables: dict[str, str]) -> None:
    """Proves that the search of these tests finds unencrypted content."""
    with serving(tmp_path, unencrypted(variables)) as store:
        assert provision(store, tmp_path).code == 0
        put(store, "media", "object")
    assert found_on_disk(tmp_path, CONTENT[:33])
    assert found_on_disk(tmp_path, b"s3:GetObject")


def test_objects_are_readable_after_a_restart_with_the_same_key_only(tmp_path: Path, variables: dict[str, str]) -> None:
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


def test_unencrypted_objects_stay_readable_once_there_is_a_key(tmp_path: Path, variables: dict[str, str]) -> None:
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


def test_the_key_is_visible_neither_to_administrators_nor_in_the_log(encrypted: Store, folder: Path) -> None:
    key = server_variables(folder)["MINIO_KMS_SECRET_KEY"].partition(":")[2]
    printed = str(encrypted.admin("info", "store"))
    assert "MINIO_KMS_SECRET_KEY" in printed
    shown = [name for name, text in {"info": printed, "log": (folder / "log").read_text()}.items() if key in text]
    assert shown == []
