"""Checks that the releases of the stores work with the release of Langfuse."""

import json
from collections.abc import Iterator

from components.kubernetes.variables import Environment
from components.schema.environment import Settings
from components.schema.policy_library import store_releases as releases
from components.schema.values import release
from components.stores.modes import StoreModes

LAZY_MATERIALIZATION: tuple[releases.Release, releases.Release] = ((25, 4), (26, 6))
"""ClickHouse releases that need lazy materialization off. Langfuse turns it off up to 26.4.1.1005; its upgrade guide
requires it below 26.6 (langfuse.com/self-hosting/upgrade)."""


def versions_fit(settings: Settings) -> Iterator[str]:
    """Report stores that are too old for Langfuse, known to be broken, or too new for it."""
    floors = releases.FLOORS[settings.major]
    for store in StoreModes.of(settings):
        name, version = store.name, store.version
        if version is not None and name in floors and release(version) < floors[name]:
            oldest = releases.dotted(floors[name])
            yield (
                f"{name}.version: {json.dumps(version)} is too old for Langfuse {settings.major}; use {oldest} or newer"
            )
        if version is not None and name == "clickhouse":
            yield from _clickhouse_fits(settings, version)


def _clickhouse_fits(settings: Settings, version: str) -> Iterator[str]:
    found, key = release(version), f"clickhouse.version: {json.dumps(version)}"
    mended = releases.WRITES_TIMES_AS_TEXT[settings.major]
    too_new = releases.dotted(releases.NUMBERS_ARE_SECONDS) if release(settings.version) < mended else None
    if too_new and found >= releases.NUMBERS_ARE_SECONDS:
        yield (
            f"{key} drops every trace that Langfuse {settings.version} writes; use a ClickHouse before {too_new}, or "
            f"Langfuse {releases.dotted(mended)} or newer"
        )
    if settings.major >= releases.SENDS_BROKEN_QUERIES:
        for first, fixed in releases.BROKEN_CLICKHOUSE:
            if first <= found < fixed:
                until = f", before {too_new}" if too_new else ""
                yield f"{key} answers some queries of Langfuse wrongly; use {releases.dotted(fixed)} or newer{until}"


def floor_environment(version: str) -> Environment:
    """The variables of the scripts that compare running servers with the floors of a Langfuse release."""
    floors = releases.FLOORS[release(version)[0]]
    return {
        "LANGFUSE_VERSION": version,
        "MINIMUM_POSTGRES": releases.dotted(floors["postgres"]),
        "MINIMUM_REDIS": releases.dotted(floors["redis"]),
    }


def release_check_environment(version: str) -> Environment:
    """The variables of the script that checks a running ClickHouse before a migration."""
    major = release(version)[0]
    mended = releases.WRITES_TIMES_AS_TEXT[major]
    return {
        "LANGFUSE_VERSION": version,
        "MINIMUM_CLICKHOUSE": releases.dotted(releases.FLOORS[major]["clickhouse"]),
        # Empty if the release works with every ClickHouse.
        "FIXED_LANGFUSE": releases.dotted(mended) if release(version) < mended else "",
    }


def query_environment(clickhouse: str | None) -> Environment:
    """The variables of web and worker for a ClickHouse release. Without one, Langfuse asks the server."""
    first, fixed = LAZY_MATERIALIZATION
    if clickhouse is None or not first <= release(clickhouse) < fixed:
        return {}
    return {"CLICKHOUSE_DISABLE_LAZY_MATERIALIZATION": "true"}
