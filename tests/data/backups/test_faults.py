"""What goes wrong around a backup: a full store, killed pods, runs at the same time, and clocks that differ."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from components.stores.clients import STORE_WAIT_SECONDS
from tests.data.backups.pods import (
    BUCKET,
    MEDIA,
    Pod,
    clickhouse_on,
    clickhouse_pod,
    emptied,
    manifests,
    objects,
    set_pod,
    wrapped,
)
from tests.data.clickhouse.server import ClickHouseServer
from tests.data.containers import Run
from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.data.postgres.server import PostgresServer
from tests.sampling import chooser, sample

MEBIBYTE = 1024**2
CONTENT = "SELECT count(), sum(cityHash64(n, name)) FROM"

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def empty(store: Store) -> Store:
    return emptied(store, BUCKET, MEDIA)


@pytest.fixture
def clickhouse(empty: Store, tmp_path: Path) -> ClickHouseServer:
    (tmp_path / "server").mkdir()
    return clickhouse_on(empty, tmp_path / "server")


def passes(done: Run) -> Run:
    assert done.code == 0, done.output
    return done


def job(store: Store, folder: Path, name: str, **variables: str) -> Run:
    """Run a Job that works with the bucket alone."""
    return Pod(cron_job=f"langfuse-{name}", clients={}, variables={"STORE_URL": store.url}).run(folder, **variables)


def verify(store: Store, folder: Path) -> Run:
    """Read the newest set with the backups that it needs."""
    return passes(job(store, folder, "verify-backups"))


def require_whole(store: Store) -> None:
    """Every folder with a marker has its files, and the backup of ClickHouse that it needs."""
    found = objects(store)
    sums = {key: hashlib.sha256(content).hexdigest() for key, content in found.items()}
    complete = {**manifests(store, "sets/"), **manifests(store, "clickhouse/")}
    for folder, manifest in complete.items():
        for file in manifest["files"] if folder.startswith("sets/") else ():
            assert sums[f"{folder}/{file['name']}"] == file["sha256"]
        if folder.startswith("clickhouse/"):
            assert sums[f"{folder}/files.jsonl"] == manifest["filesSha256"]
            assert {f"clickhouse/{one}" for one in manifest["chain"]} <= complete.keys()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """A store on a file system of 96 MiB, which only its process sees."""
    folder = tmp_path / "small"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "provisioning").mkdir()
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    mounted = [*alone, f'mount -t tmpfs -o size=96m tmpfs "{folder}/data" && exec "$@"', "sh"]
    with serving(folder, server_variables(folder), before=mounted) as store:
        passes(provision(store, tmp_path / "provisioning"))
        yield store


def fill(store: Store) -> None:
    try:
        for number in range(200):
            store.client().put_object(Bucket=MEDIA, Key=f"other/{number}", Body=bytes(MEBIBYTE))
    except ClientError as error:
        assert "space" in str(error) or "Storage" in str(error)  # noqa: PT017  # any of them ends the loop
    else:
        pytest.fail("the store is not full")


def test_a_full_store_is_an_error_and_leaves_the_former_set(
    postgres: PostgresServer, small: Store, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    clickhouse = clickhouse_on(small, tmp_path / "server")
    backup, set_ = clickhouse_pod(clickhouse, small), set_pod(postgres, small)
    for number, pod in enumerate((backup, set_)):
        passes(pod.run(tmp_path / f"first-{number}"))
    before = manifests(small, "")
    fill(small)
    clickhouse.query("INSERT INTO default.traces SELECT number, 'new' FROM numbers(500)")
    for number, (pod, message) in enumerate(((backup, "the server could not write"), (set_, "cannot write"))):
        refused = pod.run(tmp_path / f"full-{number}", STORE_WAIT_SECONDS=str(STORE_WAIT_SECONDS))
        assert refused.code == 1
        assert message in refused.output
        assert "StorageFull" in refused.output or "minimum free drive" in refused.output
    assert manifests(small, "") == before
    for key in objects(small, bucket=MEDIA):
        small.client().delete_object(Bucket=MEDIA, Key=key)
    verify(small, tmp_path / "verify")
    for number, pod in enumerate((backup, set_)):
        passes(pod.run(tmp_path / f"again-{number}"))
    assert len(manifests(small, "")) == 4


def test_a_backup_that_is_killed_at_any_moment_leaves_no_half_set(
    clickhouse: ClickHouseServer, postgres: PostgresServer, empty: Store, tmp_path: Path
) -> None:
    pods = (clickhouse_pod(clickhouse, empty), set_pod(postgres, empty))
    seconds = []
    for number, pod in enumerate(pods):
        begun = datetime.now()  # a duration
        passes(pod.run(tmp_path / f"whole-{number}"))
        seconds.append((datetime.now() - begun).total_seconds())
    random = chooser("killed backups")
    moments = [(number % 2, random.random()) for number in range(10)]
    killed = 0
    for number, (which, share) in enumerate(sample(moments, "killed backups")):
        clickhouse.query("INSERT INTO default.traces SELECT number, 'new' FROM numbers(100)")
        done = replace(pods[which], kill_after=share * seconds[which]).run(tmp_path / f"killed-{number}")
        killed += done.code == -9
        require_whole(empty)
    assert killed, moments
    before = manifests(empty, "sets/").keys()
    content = clickhouse.query(f"{CONTENT} default.traces")
    for number, pod in enumerate(pods):
        passes(pod.run(tmp_path / f"again-{number}"))
    (newest,) = manifests(empty, "sets/").keys() - before
    assert f"verifying {newest}," in verify(empty, tmp_path / "verify").output
    pair = manifests(empty, "sets/")[newest]["clickhouse"]["id"]
    assert clickhouse.restore(f"clickhouse/{pair}", f"{CONTENT} drill.traces") == content


def test_backups_at_the_same_time_are_complete_and_retention_leaves_them_alone(
    clickhouse: ClickHouseServer, postgres: PostgresServer, empty: Store, tmp_path: Path
) -> None:
    pod = clickhouse_pod(clickhouse, empty)
    passes(pod.run(tmp_path / "full"))
    (full,) = manifests(empty, "clickhouse/").values()
    # Steps of two runs alternate, as do those of one that a person starts while that of the schedule goes on.
    for step in ("begin", "write-backup", "finish"):
        for name in ("one", "other"):
            passes(pod.run(tmp_path / name, only=step))
            clickhouse.query("INSERT INTO default.traces SELECT number, 'new' FROM numbers(100)")
            passes(job(empty, tmp_path / "retention", "retention", DRY_RUN="false", KEEP_MINIMUM="1", KEEP_DAILY="1"))
    made = manifests(empty, "clickhouse/")
    assert [one["chain"][:-1] for one in made.values() if one["id"] != full["id"]] == [[full["id"]]] * 2
    newest = max(made, key=lambda folder: str(made[folder]["finished"]))
    restored = clickhouse.restore(newest, "SELECT count() FROM drill.traces")
    assert int(restored) == made[newest]["rows"]["default.traces"] > 10_000

    sets = set_pod(postgres, empty)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(sets.run, tmp_path / f"set-{number}") for number in range(2)]
        passes(job(empty, tmp_path / "retention", "retention", DRY_RUN="false", KEEP_MINIMUM="1", KEEP_DAILY="1"))
        for run in runs:
            passes(run.result())
    assert len(manifests(empty, "sets/")) == 2
    require_whole(empty)
    verify(empty, tmp_path / "verify")


def test_a_backup_waits_for_another_one_of_the_server(
    clickhouse: ClickHouseServer, empty: Store, tmp_path: Path
) -> None:
    """As after its pod was killed: the server goes on with the former one."""
    refused = "echo 'DB::Exception: Concurrent backups are not allowed. (CONCURRENT_ACCESS_NOT_SUPPORTED)' >&2; exit 1"
    once = f"[ -e {tmp_path}/busy ] || {{ touch {tmp_path}/busy; {refused}; }}"
    script = f'for last; do :; done; case $last in BACKUP*) {once} ;; esac; exec REAL "$@"'
    pod = clickhouse_pod(clickhouse, empty)
    pod = replace(pod, clients={"clickhouse": wrapped(clickhouse.clients, tmp_path, "clickhouse-client", script)})
    done = passes(pod.run(tmp_path / "pod", BUSY_PAUSE_SECONDS="0"))
    assert "waiting until another backup of the server has finished" in done.output
    assert len(manifests(empty, "clickhouse/")) == 1
    (tmp_path / "busy").unlink()
    late = pod.run(tmp_path / "late", BUSY_PAUSE_SECONDS="0", BUSY_SECONDS="0")
    assert "another backup still goes on after 0 s" in late.output


@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_of_a_node_decides_nothing(
    hours: int, clickhouse: ClickHouseServer, postgres: PostgresServer, empty: Store, tmp_path: Path
) -> None:
    shift = tmp_path / "shift.js"
    shift.write_text(
        f"const Real = Date; const by = {hours} * 3600e3;"
        "globalThis.Date = class extends Real { constructor(...args) { if (args.length) super(...args); "
        "else super(Real.now() + by); } static now() { return Real.now() + by; } };"
    )
    skewed = {"NODE_OPTIONS": f"--require {shift}"}
    answer = empty.client().head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPHeaders"]["date"]
    begun = parsedate_to_datetime(answer)
    passes(clickhouse_pod(clickhouse, empty).run(tmp_path / "first"))
    passes(clickhouse_pod(clickhouse, empty).run(tmp_path / "second", **skewed))
    passes(set_pod(postgres, empty).run(tmp_path / "set", **skewed))
    made = {**manifests(empty, "clickhouse/"), **manifests(empty, "sets/")}
    for one in made.values():
        for time in ("started", "finished"):
            assert timedelta(0) <= datetime.fromisoformat(one[time]) - begun < timedelta(minutes=2)
        assert one["id"][:13] in {(begun + timedelta(minutes=m)).strftime("%Y-%m-%dT%H") for m in (0, 2)}
    (set_,) = manifests(empty, "sets/").values()
    assert len(set_["clickhouse"]["chain"]) == 2, "the second builds upon the first"
    passes(job(empty, tmp_path / "retention", "retention", DRY_RUN="false", KEEP_MINIMUM="1", **skewed))
    assert {**manifests(empty, "clickhouse/"), **manifests(empty, "sets/")} == made
