"""The Job that removes old sets, against a real store: its rights, its order, and what it refuses."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.data.backups.pods import BUCKET, Pod, emptied, manifests, objects
from tests.data.containers import Run
from tests.data.object_store.minio import Store
from tests.data.rendered import secrets

pytestmark = pytest.mark.long

CONTENT = b"content"


def put(store: Store, key: str, content: bytes = CONTENT) -> None:
    store.client().put_object(Bucket=BUCKET, Key=key, Body=content)


def write_backup(store: Store, id_: str, finished: str, base: str | None, chain: Sequence[str]) -> None:
    put(store, f"clickhouse/{id_}/data.bin")
    etag = store.client().head_object(Bucket=BUCKET, Key=f"clickhouse/{id_}/data.bin")["ETag"]
    put(store, f"clickhouse/{id_}/files.jsonl", json.dumps({"name": "data.bin", "bytes": 7, "etag": etag}).encode())
    manifest = {"format": 1, "id": id_, "database": "default", "base": base, "chain": chain, "finished": finished}
    put(store, f"clickhouse/{id_}/.complete", json.dumps(manifest).encode())


def write_set(store: Store, id_: str, finished: str, clickhouse: str, chain: Sequence[str]) -> None:
    put(store, f"sets/{id_}/database.dump")
    files = [{"name": "database.dump", "bytes": 7}]
    pair = {"id": clickhouse, "chain": chain}
    manifest = {"format": 1, "id": id_, "finished": finished, "clickhouse": pair, "files": files}
    put(store, f"sets/{id_}/.complete", json.dumps(manifest).encode())


@pytest.fixture
def filled(store: Store) -> Store:
    """Twenty days, each with a backup of ClickHouse in chains of seven and a set."""
    emptied(store, BUCKET)
    start = datetime.now(UTC) - timedelta(days=30)
    for day in range(20):
        ids = [f"c{number:02}" for number in range(day - day % 7, day + 1)]
        finished = (start + timedelta(days=day)).isoformat().replace("+00:00", "Z")
        write_backup(store, ids[-1], finished, ids[-2] if len(ids) > 1 else None, ids)
        write_set(store, f"s{day:02}", finished, ids[-1], ids)
    put(store, "clickhouse/2026-01-01T02-45-00Z/.complete", b'{"store": "clickhouse"}')
    put(store, "postgres/2026-01-01T02-15-00Z/.complete", b"{}")
    put(store, "sets/unfinished/database.dump")
    for folder in ("clickhouse", "sets"):
        put(
            store, f"{folder}/2025-01-01T00-00-00Z-newr/.complete", b'{"format": 2, "finished": "2025-01-01T00:00:00Z"}'
        )
    return store


def prune(store: Store, folder: Path, **replaced: str) -> Run:
    variables = {"STORE_URL": store.url, "DRY_RUN": "false"}
    return Pod(cron_job="langfuse-retention", clients={}, variables=variables).run(folder, **replaced)


def test_days_and_whole_chains_are_left(filled: Store, tmp_path: Path) -> None:
    before = objects(filled)
    dry = prune(filled, tmp_path, DRY_RUN="true")
    assert dry.code == 0, dry.output
    assert objects(filled) == before

    done = prune(filled, tmp_path)
    assert done.code == 0, done.output
    assert "20 sets, of which 20 can be restored; 7 are kept" not in done.output, "one has no marker"
    assert "21 sets, of which 20 can be restored; 7 are kept" in done.output
    newer = "2025-01-01T00-00-00Z-newr"  # of a release that knows more
    assert manifests(filled, "sets/").keys() == {f"sets/{newer}", *(f"sets/s{day:02}" for day in range(13, 20))}
    left = {key.split("/")[1] for key in objects(filled, "clickhouse/")}
    assert left == {newer, "2026-01-01T02-45-00Z", *(f"c{day:02}" for day in range(7, 20))}
    assert "sets/unfinished/database.dump" in objects(filled), "it may be a run that is still going on"
    assert "postgres/2026-01-01T02-15-00Z/.complete" in objects(filled), "the bucket's rule expires it"
    assert all(objects(filled).values())
    again = prune(filled, tmp_path)
    assert '{"sets":[],"backups":[]}' in again.output


def test_nothing_is_removed_while_one_of_the_newest_sets_is_damaged(filled: Store, tmp_path: Path) -> None:
    filled.client().delete_object(Bucket=BUCKET, Key="clickhouse/c15/data.bin")
    before = objects(filled)
    done = prune(filled, tmp_path)
    assert done.code == 1
    assert "set s19 is damaged, so nothing is removed: clickhouse/c15: data.bin is missing" in done.output
    assert objects(filled) == before


def test_a_set_without_its_chain_does_not_count(filled: Store, tmp_path: Path) -> None:
    filled.client().delete_object(Bucket=BUCKET, Key="clickhouse/c14/.complete")
    done = prune(filled, tmp_path)
    assert done.code == 0, done.output
    kept = manifests(filled, "sets/").keys()
    assert {f"sets/s{day:02}" for day in range(7, 14)} <= kept, "the newest that can be restored"


def test_only_the_user_of_the_job_may_delete_and_it_may_not_write(filled: Store, tmp_path: Path) -> None:
    keys = {
        "ACCESS_KEY_ID": secrets()["langfuse-object-store-backups", "access-key-id"],
        "SECRET_ACCESS_KEY": secrets()["langfuse-object-store-backups", "secret-access-key"],
    }
    before = objects(filled)
    refused = prune(filled, tmp_path, **keys)
    assert refused.code == 1
    assert "403" in refused.output
    assert refused.leaks(list(keys.values())[1:]) == []
    assert objects(filled) == before
    client = filled.client("prune")
    for request in (
        lambda: client.put_object(Bucket=BUCKET, Key="sets/s19/.complete", Body=b"{}"),
        lambda: client.delete_object(Bucket=BUCKET, Key="cloudnative-pg/wal"),
        lambda: client.get_object(Bucket="langfuse-dev-media", Key="any"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            request()
