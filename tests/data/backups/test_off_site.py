"""The copy script between two real object stores: copied backups are complete and never deleted."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.kubernetes.jobs import FAULT_EXIT
from tests.data.backups.off_site import BACKUPS, KEYS, MEDIA, TARGET, copy, drill, restore
from tests.data.backups.pods import emptied, objects, put
from tests.data.object_store.minio import Store, provision
from tests.data.rendered import secrets
from tests.servers import free_port

BACKUP = {"postgres/one/.complete": b"{}", "postgres/one/database.dump": b"rows" * 1000}


@pytest.fixture(scope="module")
def other(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A second, external store."""
    made = make_store()
    result = provision(made, tmp_path_factory.mktemp("other"))
    assert result.code == 0, result.output
    return made


@pytest.fixture(autouse=True)
def empty(store: Store, other: Store) -> None:
    emptied(store, MEDIA, BACKUPS)
    emptied(other, TARGET)


@pytest.mark.long
def test_media_and_backups_are_copied_under_the_names_of_their_buckets(
    store: Store, other: Store, tmp_path: Path
) -> None:
    put(store, MEDIA, {"project/hash.png": b"picture"})
    put(store, BACKUPS, BACKUP)
    for purpose in ("media", "backups"):
        assert (result := copy(purpose, store, other.url, tmp_path)).code == 0, result.output
        assert result.command_lines
        assert result.leaks([value for (_, key), value in secrets().items() if key == "secret-access-key"]) == []
    assert objects(other, bucket=TARGET) == {
        f"{MEDIA}/project/hash.png": b"picture",
        **{f"{BACKUPS}/{key}": content for key, content in BACKUP.items()},
    }


@pytest.mark.long
def test_deleted_objects_stay_in_the_copy_and_only_new_objects_are_copied(
    store: Store, other: Store, tmp_path: Path
) -> None:
    put(store, MEDIA, {"project/first.png": b"first"})
    assert copy("media", store, other.url, tmp_path).code == 0
    before = other.client().head_object(Bucket=TARGET, Key=f"{MEDIA}/project/first.png")["LastModified"]
    put(store, MEDIA, {"project/second.png": b"second"})
    assert copy("media", store, other.url, tmp_path).code == 0
    assert other.client().head_object(Bucket=TARGET, Key=f"{MEDIA}/project/first.png")["LastModified"] == before
    for key in objects(store, bucket=MEDIA):
        store.client().delete_object(Bucket=MEDIA, Key=key)
    assert (result := copy("media", store, other.url, tmp_path)).code == 0, result.output
    assert objects(other, bucket=TARGET).keys() == {f"{MEDIA}/project/first.png", f"{MEDIA}/project/second.png"}


@pytest.mark.long
def test_a_backup_in_progress_is_not_a_backup_in_the_copy(store: Store, other: Store, tmp_path: Path) -> None:
    put(store, BACKUPS, {**BACKUP, "clickhouse/two/data.bin": b"half", "clickhouse/two/.lock": b""})
    assert copy("backups", store, other.url, tmp_path).code == 0
    markers = {key for key in objects(other, bucket=TARGET) if key.endswith(".complete")}
    assert markers == {f"{BACKUPS}/postgres/one/.complete"}
    assert f"{BACKUPS}/clickhouse/two/.lock" not in objects(other, bucket=TARGET)


@pytest.mark.long
def test_an_incomplete_copy_of_a_backup_is_not_a_backup(store: Store, other: Store, tmp_path: Path) -> None:
    put(store, BACKUPS, BACKUP)
    put(other, TARGET, {f"{BACKUPS}/postgres/one/database.dump": b"something else"})
    result = copy("backups", store, other.url, tmp_path)
    assert result.code == 1
    assert "postgres/one" in result.output
    assert f"{BACKUPS}/postgres/one/.complete" not in objects(other, bucket=TARGET)


@pytest.mark.long
def test_wrong_keys_of_the_off_site_store_are_a_clear_error(
    store: Store, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, MEDIA, {"project/hash.png": b"picture"})
    monkeypatch.setitem(KEYS, "SECRET_ACCESS_KEY", "wrong-wrong-wrong")
    result = copy("media", store, other.url, tmp_path)
    assert result.code == 1
    assert f"copy-off-site: cannot list {TARGET} at {other.url}" in result.output
    assert "SignatureDoesNotMatch" in result.output


@pytest.mark.long
def test_media_that_were_lost_come_back(store: Store, other: Store, tmp_path: Path) -> None:
    names = ("first", "second", "a key with spaces + signs", *(f"other-{number}" for number in range(98)))
    files = {f"project/{name}.png": name.encode() for name in names}
    put(store, MEDIA, files)
    lines = "".join(
        json.dumps({"key": key, "bytes": len(content), "etag": "x"}) + "\n" for key, content in sorted(files.items())
    )
    media = {"objects": len(files), "bytes": 1, "sha256": hashlib.sha256(lines.encode()).hexdigest()}
    found = {"format": 1, "id": "s1", "finished": "2026-11-01T00:00:00Z", "clickhouse": {"by": "provider"}}
    put(store, BACKUPS, {"sets/s1/media.jsonl.gz": gzip.compress(lines.encode())})
    put(store, BACKUPS, {"sets/s1/.complete": json.dumps({**found, "media": media, "files": []}).encode()})
    assert copy("media", store, other.url, tmp_path).code == 0
    lost_keys = ("project/first.png", "project/a key with spaces + signs.png")
    for number in (2, 1):  # of one in a hundred or fewer, each is asked for; of more, both buckets are listed
        for key in lost_keys[:number]:
            store.client().delete_object(Bucket=MEDIA, Key=key)
        plan = restore(tmp_path, store, other)
        rows = {"objects": [101 - number, 101]}
        assert json.loads(plan.output) == {"store": "media", "set": "s1", "rows": rows, "refusals": []}
        assert len(objects(store, bucket=MEDIA)) == 101 - number
        done = restore(tmp_path, store, other, ACTION="restore", SET_ID="s1")
        assert json.loads(done.output) == {"store": "media", "set": "s1", "objects": 101}
        assert (tmp_path / "work" / "few-media").exists() == (number == 1)
        assert objects(store, bucket=MEDIA) == files
        assert done.leaks([*KEYS.values()]) == []

    for at, bucket, key in ((store, MEDIA, "project/first.png"), (other, TARGET, f"{MEDIA}/project/first.png")):
        at.client().delete_object(Bucket=bucket, Key=key)
    lost = restore(tmp_path, store, other, ACTION="restore")
    assert lost.code == 1
    assert "1 media of set s1 are not in the off-site copy, for example project/first.png" in lost.output


def named_by_hash(content: bytes) -> str:
    return f"project/{base64.urlsafe_b64encode(hashlib.sha256(content).digest())[:22].decode()}.png"


@pytest.mark.long
def test_the_drill_finds_media_that_the_copy_lacks_or_that_have_changed(
    store: Store, other: Store, tmp_path: Path
) -> None:
    pictures = {named_by_hash(content): content for content in (b"first", b"second", b"third", b"fourth")}
    keys = sorted(pictures)
    lines = b"".join(json.dumps({"key": key, "bytes": len(pictures[key])}).encode() + b"\n" for key in keys)
    media = {"objects": 4, "sha256": hashlib.sha256(lines).hexdigest()}
    manifest = {"format": 1, "id": "one", "finished": "2026-11-01T00:00:00Z", "clickhouse": {"id": "c"}, "media": media}
    files = {"sets/one/media.jsonl.gz": gzip.compress(lines), "sets/one/.complete": json.dumps(manifest).encode()}
    put(store, MEDIA, pictures)
    put(store, BACKUPS, files)
    assert "has no set" in drill(store, other, tmp_path / "drill").output
    for purpose in ("media", "backups"):
        assert (result := copy(purpose, store, other.url, tmp_path)).code == 0, result.output
    done = drill(store, other, tmp_path / "drill")
    assert done.code == 0, done.output
    assert "4 media were looked for, 4 of them were read" in done.output
    verdict = "sets/one/verdicts/drill-media.json"
    assert json.loads(objects(store, bucket=BACKUPS)[verdict])["ok"] is True
    assert (result := copy("backups", store, other.url, tmp_path)).code == 0, result.output
    assert f"{BACKUPS}/{verdict}" not in objects(other, bucket=TARGET), "it is about the copy, and is replaced"

    content = pictures[keys[1]]
    put(other, TARGET, {f"{MEDIA}/{keys[1]}": content[::-1], f"{MEDIA}/{keys[2]}": b"x"})
    other.client().delete_object(Bucket=TARGET, Key=f"{MEDIA}/{keys[0]}")
    done = drill(store, other, tmp_path / "drill")
    assert done.code == FAULT_EXIT
    assert json.loads(objects(store, bucket=BACKUPS)[verdict])["faults"] == [
        f"{MEDIA}/{keys[0]} is missing in the copy",
        f"{MEDIA}/{keys[2]} has 1 bytes in the copy, not {len(pictures[keys[2]])}",
        f"{MEDIA}/{keys[1]} has another content in the copy",
    ]


@pytest.mark.long
def test_an_unreachable_store_is_a_clear_error(store: Store, tmp_path: Path) -> None:
    put(store, BACKUPS, BACKUP)
    result = copy("backups", store, f"http://127.0.0.1:{free_port()}", tmp_path)
    assert result.code == 1
    assert f"copy-off-site: cannot list {TARGET} at " in result.output
    assert "connection refused" in result.output
