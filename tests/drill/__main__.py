"""`make drill`: backs up, loses and restores a whole installation on this machine, and measures it."""

import argparse
import functools
import os
import sys
import tempfile
from pathlib import Path

from tests.drill.rehearsal import Size, rehearse
from tests.drill.report import table
from tests.drill.stores import RehearsalError, rehearsal, serving_stores


def main() -> None:
    """Run the drill, and print what was measured as a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of ClickHouse (default: %(default)s)")
    parser.add_argument("--objects", type=int, default=10_000, help="media (default: %(default)s)")
    parser.add_argument("--events", type=int, default=1000, help="events of each kind (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each backup and restore (default: %(default)s)")
    options = parser.parse_args()
    size = Size(rows=options.rows, objects=options.objects, events=options.events, rounds=options.rounds)
    say = functools.partial(print, flush=True)
    with tempfile.TemporaryDirectory() as name, serving_stores(Path(name)) as servers:
        try:
            with rehearsal(Path(name), say, *servers) as stores:
                rows = rehearse(stores, size)
        except RehearsalError as error:
            sys.exit(f"error: {error}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    say(f"\n{os.cpu_count()} cores, {memory:.0f} GiB of memory; the fastest of {size.rounds} runs each\n")
    say(table(rows))


main()
