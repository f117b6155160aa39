"""Copies that are encrypted for recipients of age: what leaves comes back as it was, or not at all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyrage  # type: ignore[import-untyped]  # it has no types
import pytest
from pyrage.x25519 import Identity  # type: ignore[import-untyped]

from components.kubernetes.jobs import FAULT_EXIT
from tests.data.backups import off_site
from tests.data.backups.off_site import KEYS, TARGET, copy, drill, fetch, restore
from tests.data.backups.outages import gateway
from tests.data.backups.pods import BUCKET, MEDIA, emptied, objects, put
from tests.data.containers import Run, run
from tests.data.object_store.minio import Store, provision

if TYPE_CHECKING:
    from pathlib import Path

    from tests.data.rendered import Container

LARGE = bytes(range(256)) * 4 * 1024 * 17
"""More than one part of an upload, and 272 chunks of age."""
CHUNK = 64 * 1024 + 16
"""Bytes of an encrypted chunk (c2sp.org/age)."""
FETCH = {"ACTION": "fetch", "SET_ID": "", "CLONE": "true", "PREFIX": f"{BUCKET}/", "MEDIA_PREFIX": f"{MEDIA}/"}
"""The variables of the Job that copies the newest set into a clone."""
SET, BACKUP = "sets/2026-11-26T02-15-00Z-k7fz", "clickhouse/2026-11-26T00-45-00Z-abcd"


def digest(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def named_by_hash(content: bytes) -> str:
    return f"project/{base64.urlsafe_b64encode(hashlib.sha256(content).digest())[:22].decode()}.png"


PICTURES = {
    named_by_hash(LARGE): LARGE,
    "project/empty": b"",
    "project/before + there were recipients.png": b"before",
}


def made_set() -> dict[str, bytes]:
    """The files of a set with a backup of ClickHouse, as small as they can be."""
    rows = {".backup": b"<config></config>", "data/traces/all_0_0_0/data.bin": b"rows" * 40_000}
    lines = b"".join(
        json.dumps({"name": key, "etag": "x", **digest(rows[key])}).encode() + b"\n" for key in sorted(rows)
    )
    when, folder = {"format": 1, "finished": "2026-11-26T02:16:00Z"}, BACKUP.partition("/")[2]
    backup = {**when, "id": folder, "base": None, "chain": [folder], "filesSha256": digest(lines)["sha256"]}
    keys = sorted(PICTURES)
    media = b"".join(json.dumps({"key": key, "bytes": len(PICTURES[key])}).encode() + b"\n" for key in keys)
    files = {"database.dump": b"PGDMP" * 1000, "globals.sql": b"CREATE ROLE", "media.jsonl.gz": gzip.compress(media)}
    manifest = {
        **when,
        "id": SET.partition("/")[2],
        "langfuse": "4.0.0",
        "keys": {"encryptionKey": "1", "salt": "2"},
        "clickhouse": {"id": folder, "chain": [folder]},
        "media": {"objects": len(PICTURES), "sha256": digest(media)["sha256"]},
        "files": [{"name": name, **digest(content)} for name, content in files.items()],
    }
    return {
        **{f"{BACKUP}/{name}": content for name, content in rows.items()},
        f"{BACKUP}/files.jsonl": lines,
        f"{BACKUP}/.complete": json.dumps(backup).encode(),
        **{f"{SET}/{name}": content for name, content in files.items()},
        f"{SET}/.complete": json.dumps(manifest).encode(),
    }


class Copied:
    """A set with its media in a store with copies, encrypted. The store that they came from is empty."""

    def __init__(self, own: Store, copies: Store, folder: Path) -> None:
        """Copy with the containers of the CronJob, and lose the original."""
        self.identity, self.own, self.copies = Identity.generate(), own, copies
        self.files = made_set()
        put(
            emptied(own, BUCKET, MEDIA), BUCKET, {**self.files, f"{BACKUP}/.lock": b"", f"{SET}/verdicts/v.json": b"{}"}
        )
        put(own, MEDIA, PICTURES)
        before = "project/before + there were recipients.png"
        put(emptied(copies, TARGET), TARGET, {f"{MEDIA}/{before}": PICTURES[before]})
        others = Identity.generate().to_public()
        self.settings = {"recipients": [str(others), str(self.identity.to_public())]}
        for purpose in ("media", "backups"):
            done = copy(purpose, own, copies.url, folder, self.settings)
            assert done.code == 0, done.output
            assert done.leaks([KEYS["SECRET_ACCESS_KEY"]]) == []
        self.stored = objects(copies, bucket=TARGET)
        emptied(own, BUCKET, MEDIA)

    def fetch(self, folder: Path, *, encrypted: bool = True, identity: str | None = None, **given: str) -> Run:
        """Copy the set back, into a clone, which may have other keys. It gets the private key `identity`, if any."""
        variables: dict[str, Any] = {**FETCH, **given}
        done = fetch(folder, self.own, self.copies, encrypted=encrypted, identity=identity, **variables)
        assert done.leaks([str(self.identity), KEYS["SECRET_ACCESS_KEY"]]) == []
        return done

    @property
    def key_file(self) -> str:
        """What age-keygen writes."""
        return f"# created: 2026-11-26\n# public key: {self.identity.to_public()}\n{self.identity}\n"


@pytest.fixture(scope="module")
def copies(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = make_store()
    assert provision(made, tmp_path_factory.mktemp("copies")).code == 0
    return made


@pytest.fixture(scope="module")
def original(store: Store, copies: Store, tmp_path_factory: pytest.TempPathFactory) -> Copied:
    return Copied(store, copies, tmp_path_factory.mktemp("encrypted"))


@pytest.fixture
def copied(original: Copied) -> Copied:
    """The copy as it was made, and an empty store."""
    put(original.copies, TARGET, original.stored)
    emptied(original.own, BUCKET, MEDIA)
    return original


def last(done: Run) -> str:
    return done.output.splitlines()[-1]


def test_what_leaves_is_encrypted_and_comes_back_as_it_was(copied: Copied, tmp_path: Path) -> None:
    names = {f"{BUCKET}/{key}" for key in copied.files} | {f"{MEDIA}/{key}" for key in PICTURES}
    assert copied.stored.keys() == names, "all of it, without the lock and the verdict"
    plain = {key for key, content in copied.stored.items() if not content.startswith(b"age-encryption.org/v1\n")}
    ends = {"files.jsonl", ".complete", "media.jsonl.gz", "before + there were recipients.png"}
    assert {key.rpartition("/")[2] for key in plain} == ends
    dump = copied.stored[f"{BUCKET}/{SET}/database.dump"]
    assert pyrage.decrypt(dump, [copied.identity]) == copied.files[f"{SET}/database.dump"]

    listed = copied.fetch(tmp_path / "list", ACTION="list")
    assert listed.code == 0, "it needs no private key"
    assert SET.partition("/")[2] in listed.output
    for again in (False, True):  # nothing is replaced
        done = copied.fetch(tmp_path / f"fetched-{again}", identity=copied.key_file)
        assert done.code == 0, done.output
        assert json.loads(last(done))["fetched"] == [BACKUP, SET]
    found = objects(copied.own)
    assert found.pop(f"{SET}/verdicts/clone.json")
    assert found == copied.files
    assert objects(copied.own, bucket=MEDIA) == PICTURES


def test_the_drill_needs_no_private_key_and_media_alone_come_back_with_it(copied: Copied, tmp_path: Path) -> None:
    done = drill(copied.own, copied.copies, tmp_path / "drill")
    assert done.code == 0, done.output
    assert "3 media were looked for, 3 of them were read" in done.output
    key = f"{MEDIA}/{named_by_hash(LARGE)}"
    put(copied.copies, TARGET, {key: bytes(len(copied.stored[key])), f"{MEDIA}/project/empty": copied.stored[key]})
    done = drill(copied.own, copied.copies, tmp_path / "drill")
    assert done.code == FAULT_EXIT
    assert f"{key} has another content in the copy" in last(done)
    assert f"{MEDIA}/project/empty has {len(copied.stored[key])} bytes in the copy, not 0" in last(done)
    put(copied.copies, TARGET, copied.stored)

    put(copied.own, BUCKET, copied.files)
    given: dict[str, Any] = {"settings": copied.settings, "ACTION": "restore"}
    refused = restore(tmp_path, copied.own, copied.copies, **given)
    assert "there is no AGE_IDENTITY in Secret langfuse-age-identity" in refused.output
    assert not [key for key in objects(copied.own, bucket=MEDIA) if "before" not in key]
    done = restore(tmp_path, copied.own, copied.copies, identity=copied.key_file, **given)
    assert json.loads(last(done))["objects"] == len(PICTURES)
    assert objects(copied.own, bucket=MEDIA) == PICTURES


@pytest.mark.long
def test_a_second_copy_adds_what_is_new_and_replaces_nothing(copied: Copied, tmp_path: Path) -> None:
    put(copied.own, BUCKET, {**copied.files, f"{BACKUP}x/.complete": b"{}", f"{BACKUP}x/a": b"1", "sets/y/dump": b"2"})
    put(copied.own, MEDIA, {"project/empty": b"", named_by_hash(LARGE): LARGE[:-1]})
    done = copy("backups", copied.own, copied.copies.url, tmp_path, copied.settings)
    assert "copied 3 objects, 4 bytes" in last(done), "the new backup, and what has no marker yet"
    done = copy("media", copied.own, copied.copies.url, tmp_path, copied.settings)
    assert done.code == 1
    assert f"1 objects are others in the copy, and are not replaced: {named_by_hash(LARGE)}" in last(done)
    put(copied.copies, TARGET, {f"{BUCKET}/{BACKUP}x/a": b"another"})
    copied.copies.client().delete_object(Bucket=TARGET, Key=f"{BUCKET}/{BACKUP}x/.complete")
    done = copy("backups", copied.own, copied.copies.url, tmp_path, copied.settings)
    assert done.code == 1
    assert f"the copy of {BACKUP}x differs" in last(done)
    assert f"{BUCKET}/{BACKUP}x/.complete" not in objects(copied.copies, bucket=TARGET)
    for key in objects(copied.copies, bucket=TARGET).keys() - copied.stored.keys():
        copied.copies.client().delete_object(Bucket=TARGET, Key=key)


def test_without_the_right_private_key_nothing_is_copied(copied: Copied, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "kubectl create secret generic langfuse-age-identity --from-file=AGE_IDENTITY=KEY_FILE"),
        ({"identity": str(Identity.generate())}, "is encrypted for other recipients than the AGE_IDENTITY in Secret"),
        ({"identity": str(copied.identity.to_public())}, "it has no line that begins with AGE-SECRET-KEY-1"),
        ({"identity": copied.key_file, "encrypted": False}, "set langfuse:backups.importFrom.encrypted to true"),
    ]
    for given, complaint in cases:
        done = copied.fetch(tmp_path, **given)
        assert done.code == FAULT_EXIT, done.output
        assert complaint in last(done)
        assert not objects(copied.own)


@pytest.mark.long
def test_a_download_that_breaks_off_goes_on_where_it_was(copied: Copied, tmp_path: Path) -> None:
    with gateway(copied.copies, seconds=1.5) as (way, reached):
        way.moments = [6_000_000, 14_000_000]
        variables: dict[str, Any] = {**FETCH}
        done = fetch(tmp_path, copied.own, reached, encrypted=True, identity=copied.key_file, **variables)
        assert done.code == 0, done.output
        assert way.outages == 2
        assert way.bytes < 1.5 * len(LARGE)
    assert objects(copied.own, bucket=MEDIA) == PICTURES


@pytest.mark.long
def test_what_was_changed_in_the_copy_is_not_restored(copied: Copied, tmp_path: Path) -> None:
    data, dump, picture = f"{BACKUP}/data/traces/all_0_0_0/data.bin", f"{SET}/database.dump", named_by_hash(LARGE)
    large = copied.stored[f"{MEDIA}/{picture}"]
    header = len(large) % CHUNK
    first, second = (large[header + n * CHUNK :][:CHUNK] for n in (0, 1))
    encrypt = [copied.identity.to_public()]
    other = copied.stored[f"{BUCKET}/{SET}/globals.sql"]
    changed = f"{picture} is damaged in the copy: the file was changed or cut off"
    for bucket, key, content, complaint in (
        (BUCKET, data, copied.stored[f"{BUCKET}/{data}"][:-1], f"{data} is damaged in the copy: the file was changed"),
        (BUCKET, dump, other, f"{dump} is damaged in the copy: it differs from what was written"),
        (MEDIA, picture, large[:-CHUNK], f"1 media: {changed}"),
        (MEDIA, picture, large[:header] + second + first + large[header + 2 * CHUNK :], f"1 media: {changed}"),
        (
            MEDIA,
            picture,
            pyrage.encrypt(LARGE[::-1], encrypt),
            f"{picture} is damaged in the copy: its content does not",
        ),
    ):
        emptied(copied.own, BUCKET, MEDIA)
        put(copied.copies, TARGET, {**copied.stored, f"{bucket}/{key}": content})
        done = copied.fetch(tmp_path, identity=copied.key_file)
        assert done.code == 1, done.output
        assert complaint in last(done)
        found = objects(copied.own, bucket=bucket)
        assert key not in found
        assert bucket == MEDIA or f"{key.split('/data')[0]}/.complete" not in found


KILLS = """
const { readFileSync, writeFileSync } = require("node:fs");
const { request } = require("node:http");
const http = require("node:http");
http.request = (...given) => {
  const method = given.find((one) => one?.method)?.method ?? "GET";
  if (["PUT", "POST"].includes(method)) {
    const left = Number(readFileSync(process.env.KILL_FILE, "utf8")) - 1;
    writeFileSync(process.env.KILL_FILE, String(left));
    if (left < 0) process.kill(process.pid, "SIGKILL");
  }
  return request(...given);
};
"""
"""Kills a script before it sends the request that would be written after so many others."""


@pytest.mark.long
def test_a_run_that_was_killed_leaves_no_half_set_and_the_next_one_continues(
    copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "left"
    (tmp_path / "kill.js").write_text(KILLS)

    def killing(found: Container, environment: Mapping[str, str], clients: Path) -> Run:
        if found["name"] not in {"copy-set", "copy-media", "copy-backups"}:
            return run(found, environment, clients)
        options = f"{environment['NODE_OPTIONS']} --require {tmp_path}/kill.js"
        return run(found, {**environment, "NODE_OPTIONS": options, "KILL_FILE": str(left)}, clients)

    def whole(files: Mapping[str, bytes], prefix: str) -> None:
        for folder in (BACKUP, SET):
            names = {key for key in copied.files if key.startswith(folder)}
            assert f"{prefix}{folder}/.complete" not in files or {f"{prefix}{key}" for key in names} <= files.keys()

    monkeypatch.setattr(off_site, "run", killing)
    put(copied.own, BUCKET, copied.files)
    for key in copied.stored:
        copied.copies.client().delete_object(Bucket=TARGET, Key=key)
    for step in (0, 2, 4, 1, 99):
        left.write_text(str(step))
        done = copy("backups", copied.own, copied.copies.url, tmp_path, copied.settings)
        assert done.code == (0 if step == 99 else -9), done.output
        whole(objects(copied.copies, bucket=TARGET), f"{BUCKET}/")
    put(copied.copies, TARGET, {key: content for key, content in copied.stored.items() if key.startswith(MEDIA)})
    emptied(copied.own, BUCKET, MEDIA)
    for step in (1, 3, 4, 2, 99):
        left.write_text(str(step))
        done = copied.fetch(tmp_path, identity=copied.key_file)
        assert done.code == (0 if step == 99 else -9), done.output
        whole(objects(copied.own), "")
    assert objects(copied.own).keys() >= copied.files.keys()
    assert objects(copied.own, bucket=MEDIA) == PICTURES
