"""`make drill`: backs up, loses and restores a whole installation on this machine, and measures it."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.drill.rehearsal import RehearsalError, rehearse, stores


def main() -> None:
    """Run the rehearsal, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of ClickHouse (default: %(default)s)")
    parser.add_argument("--objects", type=int, default=10_000, help="media (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, stores(Path(folder), print) as rehearsal:
        try:
            rehearse(rehearsal, options.rows, options.objects)
        except RehearsalError as error:
            sys.exit(f"error: {error}")


main()
