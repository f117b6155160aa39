"""What the modes of the object store have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from pydantic import JsonValue

from components.credentials.sources import has_admin_api_key
from components.schema.purposes import Purpose
from components.schema.stores import ObjectStore
from components.stores.connections import Bucket, ObjectStoreConnection
from components.stores.contract import (
    APPLICATION,
    DRILL_CLICKHOUSE,
    DRILL_POSTGRES,
    MIGRATIONS,
    REPLAY,
    RESTORE_CLICKHOUSE,
    RESTORE_POSTGRES,
    RETENTION,
    VERIFICATION,
    SecretRefs,
    StoreMode,
    clients_of_copies,
)
from components.stores.object_store.expiry import Expiry, expiries

ConfigT = TypeVar("ConfigT", bound=ObjectStore)


class ObjectStoreMode(StoreMode[ConfigT, ObjectStoreConnection], ABC):
    """A way to store objects. The off-site copy, if it is configured, is a Job of this stack."""

    backed_up_without_copy: Literal["provider"] | None = None
    """Who backs up the media if there is no off-site copy."""

    name = "object-store"

    @property
    def backed_up_by(self) -> Literal["job", "provider"] | None:
        """The off-site copy, if there is one; otherwise the provider of an external store."""
        return "job" if self.settings.backups.off_site else self.backed_up_without_copy

    @property
    def clients(self) -> Sequence[str]:
        """Workloads that use a bucket."""
        backups = (
            "backup-postgres",
            "backup-clickhouse",
            *self.before_upgrade,
            *([RETENTION] if self.can_prune else []),
        )
        checks = (VERIFICATION, DRILL_POSTGRES, DRILL_CLICKHOUSE)
        replay: Sequence[str] = (REPLAY,) if has_admin_api_key(self.settings) else ()
        restores = (RESTORE_POSTGRES, RESTORE_CLICKHOUSE, *replay)
        jobs = (*backups, *checks, *restores, *clients_of_copies(self.settings))
        return [*APPLICATION, MIGRATIONS, "clickhouse", "object-store-provisioning", *jobs]

    @property
    @abstractmethod
    def can_prune(self) -> bool:
        """Whether there are keys that remove old backup sets."""

    @property
    @abstractmethod
    def bucket_names(self) -> Mapping[Purpose, str]:
        """The bucket of each purpose."""

    @property
    def uses_identity(self) -> bool:
        """Whether pods authenticate with their workload identity, so that there are no keys."""
        return False

    @property
    def public_port(self) -> int | None:
        """Port of signed links, if browsers and SDKs reach the store through the public route."""
        return None

    def buckets(self, refs: SecretRefs) -> Mapping[Purpose, Bucket]:
        """The buckets, with the keys of their users if there are any."""
        return {
            purpose: Bucket(
                name=name,
                access_key_id=refs.get(key_ids(purpose)[0]),
                secret_access_key=refs.get(key_ids(purpose)[1]),
            )
            for purpose, name in self.bucket_names.items()
        }

    def prune(self, refs: SecretRefs) -> Bucket | None:
        """The bucket of backups with keys that can delete; None without such keys."""
        return self._backups_bucket(refs, "prune")

    def verify(self, refs: SecretRefs) -> Bucket | None:
        """The bucket of backups with keys that read it and write verdicts; None without such keys."""
        return self._backups_bucket(refs, "verify")

    def _backups_bucket(self, refs: SecretRefs, use: str) -> Bucket | None:
        key, secret = (refs.get(id_) for id_ in key_ids(use))
        return Bucket(name=self.bucket_names["backups"], access_key_id=key, secret_access_key=secret) if key else None

    def warnings(self) -> Sequence[str]:
        """Problems that don't stop an update."""
        return ()

    def visible(self) -> Mapping[str, object]:
        """The settings, and how long the bucket keeps backups that are not part of sets."""
        return {"backup_days": self.settings.backups.retention_days, **self.config.model_dump()}

    @property
    def expiry(self) -> Mapping[Purpose, Sequence[Expiry]]:
        """The rules by which objects expire. Sets do only where nothing else removes them."""
        return expiries(self.config, self.settings.backups.retention_days, pruned=self.can_prune)

    def outputs(self, connection: ObjectStoreConnection) -> Mapping[str, JsonValue]:
        """The buckets, and how long their objects are kept."""
        return {
            "buckets": [bucket.name for bucket in connection.buckets.values()],
            "eventsDays": self.config.events_days,
            "exportsDays": self.config.exports_days,
        }


def key_ids(purpose: str) -> tuple[str, str]:
    """The ids of the credentials of a bucket's user: access key id and secret access key."""
    return f"object_store_{purpose}_access_key_id", f"object_store_{purpose}_secret_access_key"
