"""The state of a replica: what it has run, and what a copy of a table means for the rest."""

from __future__ import annotations

from pathlib import Path

from sandbox.images.clickhouse.programs.log import Entry
from sandbox.images.clickhouse.programs.state import State


def entry(origin: str, number: int, table: str) -> Entry:
    return Entry(
        origin=origin,
        number=number,
        created=0.0,
        table=table,
        definition=False,
        database="default",
        settings={},
        parameters={},
        text="",
    )


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "replication" / "state.json"
    assert State.read(file) is None
    state = State.new("replica-1")
    state.vector["other/1"] = 3
    state.write(file)
    assert State.read(file) == state
    assert State.new("replica-1").origin != state.origin


def test_statements_that_a_copy_lacks_are_fetched_again() -> None:
    state = State("own/1", vector={"own/1": 4, "a/1": 10, "b/1": 5}, pending=["default.copied"])
    state.copied("default.copied", {"a/1": 8, "b/1": 7}, ["default.kept", "default.copied"])

    assert state.pending == []
    assert state.vector == {"own/1": 4, "a/1": 8, "b/1": 5}
    assert not state.has_run(entry("a/1", 9, "default.copied")), "the copy does not contain it"
    assert state.has_run(entry("a/1", 9, "default.kept")), "it was run before the copy"
    assert state.has_run(entry("b/1", 7, "default.copied")), "the copy contains it"
    assert not state.has_run(entry("b/1", 7, "default.kept"))
    assert state.has_run(entry("own/1", 4, "default.copied"))
