"""`make drill` in a small size: a chain of backups and a set, everything lost, and every table restored."""

from pathlib import Path

from tests.drill.rehearsal import rehearse, stores


def test_everything_that_was_lost_is_restored(tmp_path: Path) -> None:
    said: list[str] = []
    with stores(tmp_path, said.append) as rehearsal:
        rehearse(rehearsal, rows=2000, objects=20, increments=1, compared=False)
    assert "tables has its rows, and 20 media their content" in said[-1]
