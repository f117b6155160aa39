"""The minimum resources with which each process starts and works."""

import json
from collections.abc import Iterator, Sequence

from pydantic.alias_generators import to_camel

from components.schema.environment import Settings
from components.schema.values import quantity_value
from components.settings.bounds import bounds
from components.settings.checks.application import resources_of
from components.settings.checks.stores import append_only_file_fits

MINIMUM_MEMORY: Sequence[tuple[str, str, str]] = (
    # Node's heap is three quarters of the memory. A heap of 520 MiB was too small to start web: "Reached heap limit"
    # (github.com/rwlove/home-ops/pull/12561). Langfuse documents 4 GiB for each in production.
    ("web", "resources", "1Gi"),
    ("worker", "resources", "1Gi"),
    # shared_buffers, three autovacuum workers and 46 connections (`components/settings/bounds.py`).
    ("postgres", "resources", "384Mi"),
    # ClickHouse recommends 4 GB for queries that are not trivial. With less, such queries are aborted
    # (clickhouse.com/docs/operations/tips). The server itself uses up to 0.8 of the memory.
    ("clickhouse", "resources", "2Gi"),
    ("clickhouse", "keeper_resources", "256Mi"),
    # 192 MiB was not enough for Langfuse's queues (github.com/rwlove/home-ops/pull/12571).
    ("redis", "resources", "256Mi"),
    # An assumption: MinIO buffers blocks of 1 MiB for every drive and request.
    ("object_store", "resources", "512Mi"),
)
"""Section of the configuration, its key with resources, and the minimum memory."""


def memory_is_enough(settings: Settings) -> Iterator[str]:
    """With less memory, the kernel kills the process during its start or under its first load."""
    for part, resources, minimum in MINIMUM_MEMORY:
        for key, value in resources_of(settings, part, resources):
            if quantity_value(value.memory) < quantity_value(minimum):
                yield (
                    f"{key}.memory: {json.dumps(value.memory)} is less than the process needs to start and work; use "
                    f"{minimum} or more"
                )


MINIMUM_CPU_LIMIT: Sequence[tuple[str, str, str]] = (
    # Web and worker use a core for 3 to 25 s until they answer, and are restarted after 240 s.
    ("web", "resources", "250m"),
    ("worker", "resources", "250m"),
    ("postgres", "resources", "100m"),
    ("clickhouse", "resources", "500m"),
    ("clickhouse", "keeper_resources", "100m"),
    ("redis", "resources", "100m"),
    ("object_store", "resources", "100m"),
)
"""Section of the configuration, its key with resources, and the minimum CPU limit."""

MINIMUM_EPHEMERAL_STORAGE = "192Mi"
"""The scratch volumes of a pod, each 64 MiB (`kubernetes/pods.py`), and its log. The kubelet evicts a pod that uses
more than its limit."""


MINIMUM_STORAGE: Sequence[tuple[str, str, str]] = (
    # Empty databases take 40 MiB, and each segment of the write-ahead log 16 MiB. With less, it fills the volume.
    ("postgres", "storage", "1Gi"),
    # Assumptions, for the server's own tables and the parts that a merge writes again.
    ("clickhouse", "storage", "1Gi"),
    ("clickhouse", "keeper_storage", "512Mi"),
    ("object_store", "storage", "1Gi"),
)
"""Section of the configuration, its key with a size, and the smallest volume. Redis' follows from its memory."""


def storage_is_enough(settings: Settings) -> Iterator[str]:
    """On a smaller volume, the server fails at its start or with the first data."""
    for part, key, minimum in MINIMUM_STORAGE:
        value = getattr(getattr(settings, part), key, None)
        if isinstance(value, str) and quantity_value(value) < quantity_value(minimum):
            yield (
                f"{to_camel(part)}.{to_camel(key)}: {json.dumps(value)} is less than the server needs to start and "
                f"work; use {minimum} or more"
            )


def containers_can_start(settings: Settings) -> Iterator[str]:
    """With less CPU a start takes longer than its probe allows; with less storage the kubelet evicts the pod."""
    for part, resources, cpu in MINIMUM_CPU_LIMIT:
        for key, value in resources_of(settings, part, resources):
            if quantity_value(value.cpu_limit) < quantity_value(cpu):
                yield (
                    f"{key}.cpuLimit: {json.dumps(value.cpu_limit)} is less than the process needs to start before its "
                    f"startup probe fails; use {cpu} or more"
                )
            if quantity_value(value.ephemeral_storage) < quantity_value(MINIMUM_EPHEMERAL_STORAGE):
                yield (
                    f"{key}.ephemeralStorage: {json.dumps(value.ephemeral_storage)} is less than the temporary files "
                    f"and the log of the pod take; use {MINIMUM_EPHEMERAL_STORAGE} or more"
                )


def bounds_hold(settings: Settings) -> Iterator[str]:
    """Otherwise a program is killed, or refused a connection, when it needs what it was promised."""
    others = (*memory_is_enough(settings), *append_only_file_fits(settings))
    reported = {message.partition(":")[0] for message in others}
    for bound in bounds(settings):
        if not bound.fits and bound.key not in reported:
            reported.add(bound.key)  # one error for each key
            yield (
                f"{bound.key}: gives {bound.has:.0f} {bound.unit}, of {bound.uses:.0f} that are needed for "
                f"{bound.what} ({bound.formula}); raise it"
            )
