"""How a managed server divides its memory: shares of the container's limit."""

from typing import Final

from components.schema.values import quantity_value
from components.stores.clickhouse.files import Value, document

SERVER_PERCENT: Final = 80
"""All that the server counts. The rest is for allocations that it does not count."""

QUERY_PERCENT: Final = 60
"""One query of Langfuse. Without a limit, one can take all memory, and inserts fail."""

SPILL_PERCENT: Final = 30
"""From here on, a query writes to disk: at half of its limit (clickhouse.com/docs/operations/settings/query-complexity,
`max_bytes_before_external_group_by`)."""

MARK_CACHE_PERCENT: Final = 10
INDEX_CACHE_PERCENT: Final = 5
"""Caches count as memory of the server. Their defaults are 5 GiB each."""


def share(memory: str, percent: int) -> int:
    """A percentage of the memory, in bytes."""
    return int(quantity_value(memory) * percent / 100)


def server_memory_configuration(memory: str) -> str:
    """memory.xml: what the server and its caches may use."""
    return document(
        "clickhouse",
        {
            "max_server_memory_usage": share(memory, SERVER_PERCENT),
            "mark_cache_size": share(memory, MARK_CACHE_PERCENT),
            "index_mark_cache_size": share(memory, INDEX_CACHE_PERCENT),
        },
    )


def query_memory_configuration(memory: str) -> str:
    """queries.xml: what one query of Langfuse may use, and when it writes to disk."""
    limits: dict[str, Value] = {
        "max_memory_usage": share(memory, QUERY_PERCENT),
        "max_bytes_before_external_group_by": share(memory, SPILL_PERCENT),
        "max_bytes_before_external_sort": share(memory, SPILL_PERCENT),
    }
    return document("clickhouse", {"profiles": {"default": limits}})
