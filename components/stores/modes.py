"""The stores of an installation in their configured modes."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.schema.environment import Settings
from components.stores.clickhouse.component import clickhouse_mode
from components.stores.clickhouse.mode import ClickHouseMode
from components.stores.connections import PostgresConnection, RedisConnection
from components.stores.contract import StoreMode
from components.stores.object_store.component import object_store_mode
from components.stores.object_store.mode import ObjectStoreMode
from components.stores.postgres.component import postgres_mode
from components.stores.redis.component import redis_mode


@dataclass(frozen=True, kw_only=True)
class StoreModes:
    """The mode of each store. Iteration is over all of them."""

    postgres: StoreMode[Any, PostgresConnection]
    redis: StoreMode[Any, RedisConnection]
    clickhouse: ClickHouseMode[Any]
    object_store: ObjectStoreMode[Any]

    @classmethod
    def of(cls, settings: Settings) -> "StoreModes":
        """The modes that the settings choose."""
        return cls(
            postgres=postgres_mode(settings),
            redis=redis_mode(settings),
            clickhouse=clickhouse_mode(settings),
            object_store=object_store_mode(settings),
        )

    def __iter__(self) -> Iterator[StoreMode[Any, Any]]:
        """Every store."""
        yield from (self.postgres, self.clickhouse, self.redis, self.object_store)

    @property
    def credentials(self) -> Collection[str]:
        """The ids of the credentials that stores and their clients need."""
        return {id_ for mode in self for id_ in mode.credentials()}

    @property
    def ca_bundles(self) -> Mapping[str, str]:
        """CA bundles of external stores, PEM, by the name of the store."""
        return {mode.name: mode.ca for mode in self if mode.ca}
