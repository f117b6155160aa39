"""The object store is away for some time: backups, checks and restores wait for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.stores.clients import STORE_WAIT_SECONDS
from tests.data.backups.outages import Gateway, gateway
from tests.data.backups.pods import (
    BUCKET,
    MEDIA,
    Pod,
    clickhouse_client,
    clickhouse_on,
    clickhouse_pod,
    emptied,
    manifests,
    packed_pods,
    restore_pod,
    server_variables,
    set_pod,
    wrapped,
)
from tests.data.clickhouse.packed import installation
from tests.data.containers import Run
from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer
from tests.sampling import SHARE

SECONDS = 60 if SHARE == 1 else 1.5
"""How long the store is away. In part of the runs it is a minute, for which the scripts have to wait in every case."""

WAIT = {"STORE_WAIT_SECONDS": str(STORE_WAIT_SECONDS)}

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def away(store: Store) -> Iterator[tuple[Gateway, Store]]:
    with gateway(emptied(store, BUCKET, MEDIA), SECONDS) as made:
        yield made


def passes(done: Run) -> Run:
    assert done.code == 0, done.output
    return done


def test_postgres_is_backed_up_and_restored_although_the_store_is_away(
    postgres: PostgresServer, store: Store, away: tuple[Gateway, Store], tmp_path: Path
) -> None:
    """Within an upload of several parts, while the dump is read back, and while it is restored."""
    way, reached = away
    postgres.query(Path("components/backups/scripts/drop-everything.sql").read_text())
    postgres.query(
        "CREATE TABLE noise AS SELECT n, sha512(random()::text::bytea) AS bytes FROM generate_series(1, 150000) AS n"
    )
    try:
        content = postgres.query("SELECT count(*), md5(string_agg(bytes::text, ',' ORDER BY n)) FROM noise")
        way.moments = [2_000, 7_000_000, 18_000_000]
        done = passes(set_pod(postgres, reached).run(tmp_path / "set", PART_SIZE="5Mi", **WAIT))
        assert way.outages == 3, way.bytes
        assert "the object store is away, and is asked again" in done.output
        assert len(manifests(store, "sets/")) == 1
        postgres.query("DELETE FROM noise")
        way.moments = [way.bytes + 5_000_000]
        restored = {"ACTION": "restore", "OVERWRITE": "true", **WAIT}
        # Without a backup of ClickHouse, the set is named.
        ((folder, _),) = manifests(store, "sets/").items()
        passes(
            restore_pod(postgres, reached).run(tmp_path / "restore", SET_ID=folder.removeprefix("sets/"), **restored)
        )
        assert way.outages == 4
        assert postgres.query("SELECT count(*), md5(string_agg(bytes::text, ',' ORDER BY n)) FROM noise") == content
    finally:
        postgres.query("DROP TABLE noise")


def test_clickhouse_is_backed_up_and_verified_although_the_store_is_away(
    store: Store, away: tuple[Gateway, Store], tmp_path: Path
) -> None:
    way, reached = away
    (tmp_path / "server").mkdir()
    server = clickhouse_on(reached, tmp_path / "server")
    server.query("INSERT INTO default.traces SELECT number, hex(randomString(40)) FROM numbers(100000)")
    pod = clickhouse_pod(server, reached)
    way.moments = [1_000, 1_000_000, 8_000_000]
    first = pod.run(tmp_path / "pod", **WAIT)
    assert way.outages >= 2, way.bytes
    if first.code:
        # The server gave up, as it does after some seconds. The next attempt of the Job waits in its first step.
        assert "the server could not write" in first.output
        assert manifests(store, "clickhouse/") == {}
        passes(pod.run(tmp_path / "pod", **WAIT))
    (manifest,) = manifests(store, "clickhouse/").values()
    assert manifest["rows"] == {"default.traces": 110_000}
    begun = passes(replace(pod, variables={**pod.variables, **WAIT}).run(tmp_path / "next", until="begin"))
    assert "an incremental backup" in begun.output


@pytest.mark.long
def test_clickhouse_is_restored_although_the_store_is_away(
    postgres: PostgresServer, store: Store, away: tuple[Gateway, Store], tmp_path: Path
) -> None:
    """The server waits. If the store stays away, there is one line that says so, and the next attempt restores."""
    way, reached = away
    clients = clickhouse_client(tmp_path / "client")
    variables, users = server_variables(reached), {use: f"password of {use}" for use in ("backup", "restore")}
    columns, read = "n UInt64, s String", "SELECT count(), sum(cityHash64(*)) FROM traces"
    with installation(tmp_path / "pods", replicas=1, keepers=1, variables=variables) as ((server,), _):
        server.query(f"CREATE TABLE traces ON CLUSTER default ({columns}) ENGINE = ReplicatedMergeTree ORDER BY n")
        server.query("INSERT INTO traces SELECT number, randomPrintableASCII(40) FROM numbers(100000)")
        content = server.query(read)
        backup, pod = packed_pods(server, reached, clients, users)
        passes(backup.run(tmp_path / "backup"))
        passes(set_pod(postgres, store).run(tmp_path / "set"))

        def restore(name: str, seconds: float, clients: Path) -> Run:
            """Restore while the store is away for some seconds, after a part of the rows was read."""
            way.seconds, way.moments, way.outages = seconds, [way.bytes + 1_000_000], 0
            restoring = replace(pod, clients={"database": clients})
            done = restoring.run(tmp_path / name, ACTION="restore", OVERWRITE="true", **WAIT)
            assert way.outages == 1, (way.bytes, done.output)
            return done

        waited = passes(restore("waited", max(SECONDS, 10), clients))  # with as few attempts as a backup, it fails
        assert "restore-clickhouse: " not in waited.output
        assert server.query(read) == content

        few = 'exec REAL "$@" --backup_restore_s3_retry_attempts 2 --s3_retry_attempts 2'
        script = f'for last; do :; done; case $last in *"_def = 1 FORMAT"*) {few} ;; esac; exec REAL "$@"'
        stopped = restore("stopped", 5, wrapped(clients, tmp_path, "clickhouse-client", script))
        assert stopped.code == 1, stopped.output
        last = stopped.output.splitlines()[-1]
        assert last.startswith("restore-clickhouse: cannot restore rows from clickhouse/"), stopped.output
        assert "(query:" not in stopped.output
        passes(pod.run(tmp_path / "again", ACTION="restore", OVERWRITE="true", **WAIT))
        assert server.query(read) == content


def test_a_store_that_stays_away_is_an_error(store: Store, away: tuple[Gateway, Store], tmp_path: Path) -> None:
    way, reached = away
    way.seconds, way.moments = 60, [1]
    pod = Pod(cron_job="langfuse-verify-backups", clients={}, variables={"STORE_URL": reached.url})
    done = pod.run(tmp_path, STORE_WAIT_SECONDS="2")
    assert done.code == 1
    assert "verify-backups: ECONNRE" in done.output
