"""The pod that copies a set from another store: everything that a restore needs is there, or the set is not."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.backups.conftest import KEYS, GoodSet
from tests.data.backups.off_site import KEYS as OTHERS_KEYS
from tests.data.backups.off_site import PREFIXES, fetch
from tests.data.backups.off_site import TARGET as SOURCE
from tests.data.backups.pods import BUCKET, MEDIA, emptied, objects, put, wrapped
from tests.data.clickhouse.server import prepared
from tests.data.containers import Run, install_client
from tests.data.object_store.minio import Store, provision
from tests.servers import tool

PICTURES = {"project/one.png": b"one", "project/another one + more.png": b"another"}
FAULT = 3


@pytest.fixture(scope="module")
def copies(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with copies of another stack."""
    made = make_store()
    assert provision(made, tmp_path_factory.mktemp("copies")).code == 0
    return made


@pytest.fixture(scope="module")
def fresh(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of this stack."""
    made = make_store()
    assert provision(made, tmp_path_factory.mktemp("fresh")).code == 0
    return made


def with_media(good: GoodSet) -> dict[str, bytes]:
    """The files of a set that lists PICTURES."""
    lines = b"".join(json.dumps({"key": key, "bytes": len(PICTURES[key])}).encode() + b"\n" for key in sorted(PICTURES))
    media = {"objects": len(PICTURES), "bytes": 10, "sha256": hashlib.sha256(lines).hexdigest()}
    folder = f"sets/{good.id}"
    return {
        **good.content,
        f"{folder}/media.jsonl.gz": gzip.compress(lines),
        f"{folder}/.complete": json.dumps({**good.manifest, "media": media}).encode(),
    }


@pytest.fixture
def files(made: GoodSet, copies: Store, fresh: Store) -> dict[str, bytes]:
    """The files of a set in the store with copies; the store of this stack is empty."""
    emptied(copies, SOURCE)
    emptied(fresh, BUCKET, MEDIA)
    found = with_media(made)
    put(copies, SOURCE, {f"{PREFIXES['PREFIX']}{key}": content for key, content in found.items()})
    put(copies, SOURCE, {f"{PREFIXES['PREFIX']}sets/{made.id}/verdicts/verify.json": b"{}"})
    put(copies, SOURCE, {f"{PREFIXES['MEDIA_PREFIX']}{key}": content for key, content in PICTURES.items()})
    put(copies, SOURCE, {"langfuse-other-backups/sets/x/.complete": b"{}"})
    return found


def stored(store: Store) -> dict[str, bytes]:
    return objects(store)


def last(done: Run) -> dict[str, Any]:
    assert done.code == 0, done.output
    found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return found


@pytest.mark.long
def test_a_set_is_copied_with_its_chain_and_its_media_and_can_be_restored(
    made: GoodSet, files: dict[str, bytes], copies: Store, fresh: Store, tmp_path: Path
) -> None:
    (line,) = [one for one in fetch(tmp_path / "list", fresh, copies).output.splitlines() if one.startswith("{")]
    assert {key: json.loads(line)[key] for key in ("id", "lacks")} == {"id": made.id, "lacks": None}
    assert not stored(fresh)
    put(fresh, MEDIA, {"project/one.png": b"one"})
    done = fetch(tmp_path / "fetched", fresh, copies, ACTION="fetch", SET_ID=made.id)
    assert last(done) == {"set": made.id, "fetched": [*made.chain, f"sets/{made.id}"]}
    assert stored(fresh) == files
    assert objects(fresh, bucket=MEDIA) == PICTURES
    assert done.leaks([OTHERS_KEYS["SECRET_ACCESS_KEY"], *KEYS.values()]) == []
    assert last(fetch(tmp_path / "again", fresh, copies, ACTION="fetch", SET_ID=made.id))["set"] == made.id

    (tmp_path / "server/empty").mkdir(parents=True)
    server = prepared(tmp_path / "server", BACKUPS_URL=f"{fresh.url}/{BUCKET}/")
    server.query("SELECT 1")
    rows = server.restore(made.chain[-1], "SELECT count() FROM drill.traces")
    assert int(rows) == made.manifest["clickhouse"]["rows"]["default.traces"], "its base is found in the other bucket"


@pytest.mark.long
def test_a_copy_that_was_killed_is_no_set_and_the_next_run_continues(
    made: GoodSet, files: dict[str, bytes], copies: Store, fresh: Store, tmp_path: Path
) -> None:
    install_client(tmp_path / "clients", "rclone", tool("rclone"))
    for moment in ('"copy --"*clickhouse*', '"check --"*clickhouse*', '"copy --"*sets/*', '"check --"*sets/*'):
        script = f'case "$*" in {moment}) REAL "$@"; kill -9 0 ;; *) exec REAL "$@" ;; esac'
        clients = wrapped(tmp_path / "clients", tmp_path, "rclone", script)
        done = fetch(tmp_path / "killed", fresh, copies, clients, ACTION="fetch", SET_ID=made.id)
        assert done.code == -9
        assert f"sets/{made.id}/.complete" not in stored(fresh)
        shutil.rmtree(clients)
    assert fetch(tmp_path / "again", fresh, copies, ACTION="fetch", SET_ID=made.id).code == 0
    assert stored(fresh) == files


@pytest.mark.long
def test_what_does_not_fit_is_refused_before_anything_is_copied(
    made: GoodSet, files: dict[str, bytes], copies: Store, fresh: Store, tmp_path: Path
) -> None:
    def refusal(**given: str) -> str:
        variables: dict[str, Any] = {"SET_ID": made.id, **given}
        done = fetch(tmp_path, fresh, copies, ACTION="fetch", **variables)
        assert done.code == FAULT, done.output
        assert not stored(fresh)
        return done.output.splitlines()[-1]

    assert "nothing was copied: the set was made with another ENCRYPTION_KEY" in refusal(ENCRYPTION_KEY="0" * 64)
    assert "set langfuse:version to" in refusal(LANGFUSE_VERSION="3.9.0")
    assert "there is no set other" in refusal(SET_ID="other")
    assert "none of the 0 complete sets" in refusal(SET_ID="", PREFIX="nothing/")
    missing = f"{PREFIXES['PREFIX']}{made.chain[0]}/.complete"
    copies.client().delete_object(Bucket=SOURCE, Key=missing)
    assert f"a backup that {made.chain[-1]} of set {made.id} needs is not in the copy" in refusal()
    assert files


@pytest.mark.long
def test_media_that_the_copy_lacks_are_an_error_and_without_a_list_all_of_them_are_copied(
    made: GoodSet, files: dict[str, bytes], copies: Store, fresh: Store, tmp_path: Path
) -> None:
    copies.client().delete_object(Bucket=SOURCE, Key=f"{PREFIXES['MEDIA_PREFIX']}project/one.png")
    lost = fetch(tmp_path, fresh, copies, ACTION="fetch", SET_ID=made.id)
    assert lost.code == 1
    assert "1 media of set" in lost.output
    marker = f"sets/{made.id}/.complete"
    unlisted = json.dumps({**json.loads(files[marker]), "media": {"error": "403 AccessDenied"}}).encode()
    put(copies, SOURCE, {f"{PREFIXES['PREFIX']}{marker}": unlisted})
    emptied(fresh, BUCKET, MEDIA)
    assert fetch(tmp_path / "all", fresh, copies, ACTION="fetch", SET_ID=made.id).code == 0
    assert objects(fresh, bucket=MEDIA).keys() == PICTURES.keys() - {"project/one.png"}


@pytest.mark.long
def test_a_set_of_another_installation_counts_for_nothing_but_a_clone(
    made: GoodSet, files: dict[str, bytes], copies: Store, fresh: Store, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"ENCRYPTION_KEY": "0" * 64, "SALT": "another", "CLONE": "true"}
    assert last(fetch(tmp_path, fresh, copies, ACTION="fetch", SET_ID=made.id, **given))["set"] == made.id
    verdict = f"sets/{made.id}/verdicts/clone.json"
    assert stored(fresh).keys() - files.keys() == {verdict}
    found = json.loads(stored(fresh)[verdict])
    assert (found["check"], found["ok"]) == ("clone", False)
    assert found["faults"] == ["it is of another installation, so only a clone of that one is restored from it"]
