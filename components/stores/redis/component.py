"""Redis: the job queues and a cache."""

from typing import Any

from components.schema.environment import Settings
from components.schema.stores import ExternalRedis, ManagedRedis, SentinelRedis
from components.stores.connections import RedisConnection
from components.stores.contract import Store
from components.stores.redis.external import ExternalRedisMode
from components.stores.redis.managed import ManagedRedisMode
from components.stores.redis.mode import RedisMode
from components.stores.redis.sentinel import SentinelRedisMode


class Redis(Store[RedisConnection]):
    """Job queue and cache, in the mode of `langfuse:redis`.

    BullMQ loses jobs when keys are evicted, so eviction is off in every mode.
    """


def redis_mode(settings: Settings) -> RedisMode[Any]:
    """The configured mode. A new mode is one more case."""
    match settings.redis:
        case ManagedRedis() as config:
            return ManagedRedisMode(settings, config)
        case SentinelRedis() as config:
            return SentinelRedisMode(settings, config)
        case ExternalRedis() as config:
            return ExternalRedisMode(settings, config)
