"""Versions: supported releases, and releases that work together."""

import datetime
from collections.abc import Iterator
from itertools import zip_longest
from typing import Annotated

import msgspec
from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import is_langfuse, langfuse_servers, store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.image_references import ImageReference, images_of
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.store_releases import (
    BROKEN_CLICKHOUSE,
    FLOORS,
    NUMBERS_ARE_SECONDS,
    SENDS_BROKEN_QUERIES,
    WRITES_TIMES_AS_TEXT,
    dotted,
)
from langfuse_policies.facts.workloads import Pod, pods_of

topic = Topic("versions", title="Versions", pack="security")

_POSTGRES = ("postgres", "postgresql", "pgvector", "timescaledb")
_ENGINES = {"clickhouse-server": "ClickHouse", "clickhouse": "ClickHouse", "valkey": "Redis", "redis": "Redis",
            "redis-stack-server": "Redis", **dict.fromkeys(_POSTGRES, "Postgres")}  # fmt: skip


Version = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,9})*$")]


class Floor(Settings):
    """The minimum version of Langfuse."""

    minimum: Annotated[Version, Meta(description="The oldest release, for example `4.16.0`.")] = "3.137.0"


@topic.pods(
    "langfuse-version-floor",
    title="Langfuse has no known remote code execution",
    why="Before 3.137.0, a single request can run code in the web server (CVE-2025-55182 in React, langfuse issue "
    "10933).",
    fix="Upgrade: to the newest release of version 3 first, then to version 4.",
    severity=Severity.CRITICAL,
    langfuse=True,
    settings=Floor,
)
def langfuse_version_floor(pod: Pod, settings: Floor) -> Findings:
    minimum = _numbers(settings.minimum)
    for field, image in _langfuse_images(pod):
        if _older(image.version, minimum):
            yield finding(field, f"is older than {settings.minimum}")


class Support(Settings):
    """The end of support of Langfuse's versions."""

    # langfuse.com/self-hosting/v2, and its guide for upgrades from version 3 to 4
    last_days: Annotated[dict[int, datetime.date], Meta(description="Last day of support by major version.")] = (
        msgspec.field(default_factory=lambda: {2: datetime.date(2025, 3, 31), 3: datetime.date(2027, 1, 31)})
    )
    on: Annotated[datetime.date | None, Meta(description="The date of the check; the default is today.")] = None


@topic.pods(
    "langfuse-supported",
    title="The version of Langfuse gets security fixes",
    why="A version past its end of support keeps every vulnerability that is found later.",
    fix="Upgrade to a supported version.",
    severity=Severity.CRITICAL,
    langfuse=True,
    settings=Support,
)
def langfuse_supported(pod: Pod, settings: Support) -> Findings:
    today = settings.on or datetime.datetime.now(datetime.UTC).date()
    oldest = min(settings.last_days, default=0)
    for field, image in _langfuse_images(pod):
        major = image.version[0] if image.version else None
        if major is not None and (last := settings.last_days.get(max(major, oldest))) and today > last:
            yield finding(field, f"gets no fixes since {last}")


def _langfuse_images(pod: Pod) -> Iterator[tuple[Field, ImageReference]]:
    for container in pod.containers:
        if is_langfuse(container) and (text := container["image"].text):
            yield container["image"], ImageReference.of(text)


def _older(version: tuple[int, ...], minimum: tuple[int, ...]) -> bool:
    """Whether a version is certainly older: `4` may be any 4.x, and is not older than 4.1."""
    for found, wanted in zip_longest(version[: len(minimum)], minimum):
        if found is None or wanted is None or found != wanted:
            return found is not None and wanted is not None and found < wanted
    return False


def _floors(store: str) -> dict[int, str]:
    return {major: dotted(floors[store]) for major, floors in FLOORS.items()}


class Matrix(Settings):
    """The oldest stores by major version of Langfuse (its documentation of the infrastructure)."""

    postgres: Annotated[dict[int, Version], Meta(description="Oldest Postgres.")] = msgspec.field(
        default_factory=lambda: _floors("postgres")
    )
    clickhouse: Annotated[dict[int, Version], Meta(description="Oldest ClickHouse.")] = msgspec.field(
        default_factory=lambda: _floors("clickhouse")
    )
    redis: Annotated[dict[int, Version], Meta(description="Oldest Redis or Valkey.")] = msgspec.field(
        default_factory=lambda: _floors("redis")
    )


@topic.stack(
    "store-versions-in-matrix",
    title="Stores have the versions that Langfuse requires",
    why="On an older store, migrations fail halfway and Langfuse does not start.",
    fix="Upgrade the store first, then Langfuse.",
    severity=Severity.HIGH,
    langfuse=True,
    settings=Matrix,
)
def store_versions_in_matrix(stack: Stack, settings: Matrix) -> Findings:
    floors = {"Postgres": settings.postgres, "ClickHouse": settings.clickhouse, "Redis": settings.redis}
    majors = _langfuse_majors(stack)
    for resource, field, image in _stores(stack):
        engine, major = _ENGINES[image.name], majors.get(resource.namespace, 0)
        floor = floors[engine].get(major)
        if floor and _older(image.version, _numbers(floor)):
            yield finding(field, f"Langfuse {major} needs {engine} {floor} or newer", of=resource)


@topic.stack(
    "no-broken-clickhouse",
    title="ClickHouse has no release that returns wrong results or drops traces",
    why="Some releases of ClickHouse return wrong results to Langfuse 4: traces are missing from lists and sums. "
    "Since 26.8, ClickHouse drops every trace that Langfuse before 4.28.0 (of version 3: before 3.225.7) writes, "
    "while SDKs get 200.",
    fix="Use the release that is named. With ClickHouse 26.8 or newer, use Langfuse 4.28.0 or newer (of version 3: "
    "3.225.7 or newer).",
    severity=Severity.HIGH,
    langfuse=True,
)
def no_broken_clickhouse(stack: Stack) -> Findings:
    releases = _langfuse_releases(stack)
    for resource, field, image in _stores(stack):
        found = releases.get(resource.namespace)
        if _ENGINES[image.name] != "ClickHouse" or not found:
            continue
        writes_numbers = any(_older(one, WRITES_TIMES_AS_TEXT.get(one[0], ())) for one in found)
        if writes_numbers and image.version >= NUMBERS_ARE_SECONDS:
            yield finding(field, "drops every trace that this release of Langfuse writes", of=resource)
        if max(found)[0] < SENDS_BROKEN_QUERIES:
            continue
        for first, mended in BROKEN_CLICKHOUSE:
            if first <= image.version and _older(image.version, mended):
                newest = f", and this release of Langfuse needs one before {dotted(NUMBERS_ARE_SECONDS)}"
                problem = f"is broken until {dotted(mended)}{newest if writes_numbers else ''}"
                yield finding(field, problem, of=resource)


def _langfuse_majors(stack: Stack) -> dict[str, int]:
    """The version of the newest web or worker by namespace."""
    return {namespace: max(found)[0] for namespace, found in _langfuse_releases(stack).items()}


def _langfuse_releases(stack: Stack) -> dict[str, list[tuple[int, ...]]]:
    """The version of every web and worker with a version in its tag, by namespace."""
    releases: dict[str, list[tuple[int, ...]]] = {}
    for pod, container, _ in langfuse_servers(stack):
        version = ImageReference.of(container["image"].text or "").version
        if version:
            releases.setdefault(pod.resource.namespace, []).append(version)
    return releases


def _stores(stack: Stack) -> Iterator[tuple[Resource, Field, ImageReference]]:
    """The images that serve Postgres, ClickHouse or Redis."""
    for pod in pods_of(stack):
        for container in pod.containers:
            if container.restarts and store_of(container) is not None:
                image = ImageReference.of(container["image"].text or "")
                if image.name in _ENGINES:
                    yield pod.resource, container["image"], image
    for cluster in stack.of("postgresql.cnpg.io/Cluster"):
        for field, image in images_of(cluster):
            if image.name in _ENGINES:
                yield cluster, field, image


def _numbers(version: str) -> tuple[int, ...]:
    return ImageReference("", version, "").version


@topic.stack(
    "postgres-client-of-server-major",
    title="Jobs use a Postgres client of the server's major version",
    why="pg_dump refuses a newer server, and a dump of a newer client may not restore on the older server.",
    fix="Use an image of the server's major version for the Job. A Job that copies the database into its own volume "
    "can have a newer one.",
    severity=Severity.HIGH,
)
def postgres_client_of_server_major(stack: Stack) -> Findings:
    servers: dict[str, set[int]] = {}
    for resource, _, image in _stores(stack):
        if image.name in _POSTGRES and image.version:
            servers.setdefault(resource.namespace, set()).add(image.version[0])
    for pod in pods_of(stack):
        if not pod.resource.kind.startswith("batch/"):
            continue
        majors = servers.get(pod.resource.namespace)
        # A Job with a volume of its own copies the database to a newer server, with the programs of that server.
        copies = any(volume["persistentVolumeClaim"].present for volume in pod.volumes)
        for container in pod.containers:
            image = ImageReference.of(container["image"].text or "")
            if not majors or image.name not in _POSTGRES or not image.version or image.version[0] in majors:
                continue
            if not (copies and image.version[0] > max(majors)):
                yield finding(container["image"], "has another major version than the server", of=pod.resource)
