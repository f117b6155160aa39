"""How a managed server divides its memory."""

from typing import Final

from components.schema.base import Resources
from components.schema.values import quantity_value

OVERHEAD_BYTES: Final = 64 * 1024**2
"""For the program itself, clients' buffers and the backlog of replicas (`repl-backlog-size`: 10 MiB)."""


def data_bytes(resources: Resources) -> int:
    """The memory for data: half of what remains for data and its copies.

    A rewrite of the append-only file forks the server, and then every page that changes exists twice. Queues change
    nearly all of theirs (valkey.io/topics/persistence, valkey.io/topics/memory-optimization).
    """
    return int(quantity_value(resources.memory) - OVERHEAD_BYTES) // 2
