"""The log of statements: what others lack, what is forgotten, and what a restart finds."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest

from sandbox.images.clickhouse.programs.log import Entry, Log, lowest, merged, read_all


def entry(number: int, origin: str = "a/1", text: str = "INSERT INTO t VALUES (1)") -> Entry:
    return Entry(
        origin=origin,
        number=number,
        created=float(number),
        table="default.t",
        definition=False,
        database="default",
        settings={"max_threads": "1"},
        parameters={},
        text=text,
    )


def numbers(log: Log, vector: dict[str, int]) -> list[tuple[str, int]]:
    found = [Entry.read(file.open("rb")) for file in log.missing(vector, wait_seconds=0)]
    return [(each.origin, each.number) for each in found if each]


def test_entries_are_read_as_they_were_written() -> None:
    written = [entry(1, text="INSERT INTO t FORMAT RowBinary \n\xff\x00{"), entry(2)]
    assert list(read_all(io.BytesIO(b"".join(each.encode() for each in written)))) == written
    with pytest.raises(EOFError, match="within a statement"):
        list(read_all(io.BytesIO(written[0].encode()[:-1])))


def test_a_replica_gets_what_it_lacks_in_the_order_of_the_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for each in (entry(1), entry(1, "b/1"), entry(2), entry(2, "b/1")):
        log.append(each)
    assert numbers(log, {}) == [("a/1", 1), ("b/1", 1), ("a/1", 2), ("b/1", 2)]
    assert numbers(log, {"a/1": 1, "b/1": 2}) == [("a/1", 2)]
    assert log.vector == {"a/1": 2, "b/1": 2}


def test_a_statement_is_forgotten_when_all_replicas_have_run_it(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for each in (entry(1), entry(2), entry(3)):
        log.append(each)
    log.trim([{"a/1": 3}, {"a/1": 1}])
    assert numbers(log, {}) == [("a/1", 2), ("a/1", 3)]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_restart_keeps_the_log_and_its_order(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(entry(1))
    log.append(entry(2))
    log.trim([{"a/1": 1}])
    (tmp_path / "000000000003.tmp").write_text("killed while writing")
    again = Log(tmp_path)
    again.append(entry(3))
    assert numbers(again, {}) == [("a/1", 2), ("a/1", 3)]


def test_who_lacks_nothing_waits_for_the_next_statement(tmp_path: Path) -> None:
    log = Log(tmp_path)
    threading.Timer(0.1, log.append, [entry(1)]).start()
    started = time.monotonic()
    assert len(log.missing({}, wait_seconds=10)) == 1
    assert time.monotonic() - started < 5


def test_vectors() -> None:
    assert merged({"a": 1, "b": 2}, {"a": 3}) == {"a": 3, "b": 2}
    assert lowest({"a": 1, "b": 2}, {"a": 3}) == {"a": 1, "b": 0}
