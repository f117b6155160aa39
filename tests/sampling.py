"""Random samples of exhaustive checks and of long tests.

`make test` runs a part of each, which differs from run to run. `make test-whole` runs everything. The head of a run
and a failed test print the `SAMPLE_SEED` that chooses the same part again.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterable
from typing import Final, TypeVar

SHARE: Final = float(os.environ.get("SAMPLE", "0.15"))
"""The share that is checked: from 0 to 1."""
SEED: Final = int(os.environ.get("SAMPLE_SEED") or secrets.randbelow(2**32))
LEAST: Final = 4

T = TypeVar("T")


def chooser(what: str) -> random.Random:
    """A source of random choices. `what` tells tests apart, so that each can be repeated alone."""
    print(f"SAMPLE={SHARE:g} SAMPLE_SEED={SEED}")  # noqa: T201  # pytest shows it if the test fails
    return random.Random(f"{SEED} {what}")  # noqa: S311  # no secret


def sample(items: Iterable[T], what: str) -> list[T]:
    """A part of the items in their order: the share of this run, but at least four."""
    known = list(items)
    number = min(len(known), max(LEAST, round(len(known) * SHARE)))
    return [known[index] for index in sorted(chooser(what).sample(range(len(known)), number))]
