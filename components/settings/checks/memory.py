"""The minimum memory with which each process starts and works."""

import json
from collections.abc import Iterator, Sequence

from pydantic.alias_generators import to_camel

from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.values import quantity_value

MINIMUM_MEMORY: Sequence[tuple[str, str, str]] = (
    # Node's heap is three quarters of the memory. A heap of 520 MiB was too small to start web: "Reached heap limit"
    # (github.com/rwlove/home-ops/pull/12561). Langfuse documents 4 GiB for each in production.
    ("web", "resources", "1Gi"),
    ("worker", "resources", "1Gi"),
    # Twice the default of Postgres' shared_buffers, 128 MB.
    ("postgres", "resources", "256Mi"),
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
        value = getattr(getattr(settings, part), resources, None)
        if isinstance(value, Resources) and quantity_value(value.memory) < quantity_value(minimum):
            yield (
                f"{to_camel(part)}.{to_camel(resources)}.memory: {json.dumps(value.memory)} is less than the process "
                f"needs to start and work; use {minimum} or more"
            )
