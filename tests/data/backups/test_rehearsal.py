"""`make drill` in a small size: everything is backed up, lost and restored, and newer events are queued again."""

from pathlib import Path

import pytest

from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer
from tests.drill.rehearsal import Size, rehearse
from tests.drill.report import table
from tests.drill.stores import rehearsal


@pytest.mark.long
def test_everything_that_was_lost_is_restored(postgres: PostgresServer, store: Store, tmp_path: Path) -> None:
    said: list[str] = []
    size = Size(rows=2000, objects=20, events=20, increments=1, rounds=1, compared=False)
    with rehearsal(tmp_path, said.append, postgres, store, other=store) as stores:
        rows = rehearse(stores, size)
    assert all(row.rto > 0 for row in rows)
    assert "| 0 of 40 newer events " in table(rows)
