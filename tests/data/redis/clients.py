"""What the clients of these tests have in common."""

from typing import Final

from redis.backoff import NoBackoff
from redis.retry import Retry

ONCE: Final = Retry(NoBackoff(), 0)
"""No retries: they would hide failures, and take seconds for each server that is unavailable or refuses a password."""
