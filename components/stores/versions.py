"""Which releases of the stores fit which releases of Langfuse."""

import json
from collections.abc import Iterator, Sequence

from components.kubernetes.variables import Environment
from components.schema.environment import Settings
from components.schema.values import release

Release = tuple[int, ...]

FLOORS: dict[int, dict[str, Release]] = {
    3: {"postgres": (12,), "clickhouse": (24, 3), "redis": (7, 0)},
    4: {"postgres": (15,), "clickhouse": (25, 12), "redis": (7, 0)},
}
"""Oldest stores by major version of Langfuse. Valkey 7.2 and 8 count as Redis 7.2."""

BROKEN_CLICKHOUSE: Sequence[tuple[Release, Release]] = (
    ((26, 5, 1, 651), (26, 5, 6, 70)),
    ((26, 6), (26, 6, 2, 108)),
    ((26, 7), (26, 7, 1, 1334)),
    ((26, 7, 2), (26, 7, 2, 11)),
)
"""First broken release and the one that mends it (packages/shared/src/server/clickhouse/compatibility.ts). The releases
before 26.4.1.1005 that the file also lists are not here: Langfuse turns off by itself what is broken in them."""

NUMBERS_ARE_SECONDS: Release = (26, 8)
"""From this ClickHouse on, a number in JSON is a time in seconds (input_format_read_datetime_number_as_raw_value)."""

WRITES_TIMES_AS_TEXT: dict[int, Release] = {3: (3, 225, 7), 4: (4, 28, 0)}
"""The first Langfuse of each major version that works with these: older ones write milliseconds as numbers, and
ClickHouse drops every trace (langfuse issue 16858; pull requests 16957 and 16892)."""

LAZY_MATERIALIZATION: tuple[Release, Release] = ((25, 4), (26, 6))
"""ClickHouse releases in which lazy materialization has to be off: Langfuse turns it off by itself only up to
26.4.1.1005, its upgrade guide asks for it below 26.6 (langfuse.com/self-hosting/upgrade)."""


def versions_fit(settings: Settings) -> Iterator[str]:
    """Stores that are older than Langfuse needs, known to be broken, or newer than it can deal with."""
    floors = FLOORS[settings.major]
    for name, store in (
        ("postgres", settings.postgres),
        ("clickhouse", settings.clickhouse),
        ("redis", settings.redis),
    ):
        if store.version is not None and release(store.version) < floors[name]:
            given = json.dumps(store.version)
            yield (
                f"{name}.version: {given} is too old for Langfuse {settings.major}; use {dotted(floors[name])} or newer"
            )
    if settings.clickhouse.version is not None:
        yield from _clickhouse_fits(settings, settings.clickhouse.version)


def _clickhouse_fits(settings: Settings, version: str) -> Iterator[str]:
    found, key = release(version), f"clickhouse.version: {json.dumps(version)}"
    mended = WRITES_TIMES_AS_TEXT[settings.major]
    too_new = dotted(NUMBERS_ARE_SECONDS) if release(settings.version) < mended else None
    if too_new and found >= NUMBERS_ARE_SECONDS:
        yield (
            f"{key} drops every trace that Langfuse {settings.version} writes; use a ClickHouse before {too_new}, or "
            f"Langfuse {dotted(mended)} or newer"
        )
    if settings.major == 4:  # noqa: PLR2004  # of Langfuse
        for first, fixed in BROKEN_CLICKHOUSE:
            if first <= found < fixed:
                until = f", before {too_new}" if too_new else ""
                yield f"{key} answers some queries of Langfuse wrongly; use {dotted(fixed)} or newer{until}"


def release_check_environment(version: str) -> Environment:
    """What the check of a running ClickHouse needs to know of a Langfuse release."""
    major = release(version)[0]
    mended = WRITES_TIMES_AS_TEXT[major]
    return {
        "LANGFUSE_VERSION": version,
        "MINIMUM_CLICKHOUSE": dotted(FLOORS[major]["clickhouse"]),
        # Empty for a release that works with every ClickHouse.
        "MENDED_LANGFUSE": dotted(mended) if release(version) < mended else "",
    }


def query_environment(clickhouse: str | None) -> Environment:
    """For web and worker: what ClickHouse of a release must not do. Of a release that is not stated Langfuse asks."""
    first, fixed = LAZY_MATERIALIZATION
    if clickhouse is None or not first <= release(clickhouse) < fixed:
        return {}
    return {"CLICKHOUSE_DISABLE_LAZY_MATERIALIZATION": "true"}


def dotted(numbers: Release) -> str:
    """A release as it is written: `26.8`."""
    return ".".join(map(str, numbers))
