"""The object store: raw events, media, exports and backups."""

from typing import Any

import pulumi

from components.schema.environment import Settings
from components.schema.stores import ExternalObjectStore, ManagedObjectStore
from components.stores.connections import ObjectStoreConnection
from components.stores.contract import Store, StoreContext
from components.stores.object_store.external import ExternalObjectStoreMode
from components.stores.object_store.managed import ManagedObjectStoreMode
from components.stores.object_store.mode import ObjectStoreMode


class ObjectStore(Store[ObjectStoreConnection]):
    """A bucket for each purpose, with its own rules and credentials, in the mode of `langfuse:objectStore`."""

    def __init__(
        self,
        name: str,
        mode: ObjectStoreMode[Any],
        context: StoreContext,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, mode, context, opts)
        for message in mode.warnings():
            pulumi.log.warn(message, self)


def object_store_mode(settings: Settings) -> ObjectStoreMode[Any]:
    """The configured mode. A new mode is one more case."""
    match settings.object_store:
        case ManagedObjectStore() as config:
            return ManagedObjectStoreMode(settings, config)
        case ExternalObjectStore() as config:
            return ExternalObjectStoreMode(settings, config)
