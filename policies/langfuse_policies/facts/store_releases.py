"""Which releases of the stores work with which releases of Langfuse.

The checks of the configuration use the same tables (`components/stores/versions.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

Release = tuple[int, ...]

#: The oldest stores by major version of Langfuse. Valkey 7.2 and 8 count as Redis 7.2.
FLOORS: Final[Mapping[int, Mapping[str, Release]]] = {
    3: {"postgres": (12,), "clickhouse": (24, 3), "redis": (7, 0)},
    4: {"postgres": (15,), "clickhouse": (25, 12), "redis": (7, 0)},
}

#: The first broken release and the one that fixes it (packages/shared/src/server/clickhouse/compatibility.ts). Langfuse
#: works around what is broken in the releases before 26.4.1.1005 that the file also lists.
BROKEN_CLICKHOUSE: Final[Sequence[tuple[Release, Release]]] = (
    ((26, 5, 1, 651), (26, 5, 6, 70)),
    ((26, 6), (26, 6, 2, 108)),
    ((26, 7), (26, 7, 1, 1334)),
    ((26, 7, 2), (26, 7, 2, 11)),
)

#: The first major version of Langfuse that sends the queries which these releases answer wrongly.
SENDS_BROKEN_QUERIES: Final = 4

#: From this release on ClickHouse reads a number in JSON as seconds (input_format_read_datetime_number_as_raw_value).
NUMBERS_ARE_SECONDS: Final[Release] = (26, 8)

#: The first Langfuse of each major version that works with these. Older ones write milliseconds as numbers, and
#: ClickHouse drops every trace (langfuse issue 16858; pull requests 16957 and 16892).
WRITES_TIMES_AS_TEXT: Final[Mapping[int, Release]] = {3: (3, 225, 7), 4: (4, 28, 0)}


def dotted(numbers: Release) -> str:
    """A release as it is written: `26.8`."""
    return ".".join(map(str, numbers))
