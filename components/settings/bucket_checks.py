"""Rules on the names of buckets. Each yields `key: value rule; fix` for everything that it finds wrong."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from components.schema.environment import Settings
from components.schema.purposes import PURPOSES, Purpose
from components.schema.stores import ExternalObjectStore


def bucket_names(settings: Settings) -> Mapping[Purpose, str]:
    """The bucket of each purpose."""
    store = settings.object_store
    if isinstance(store, ExternalObjectStore):
        return {purpose: getattr(store.buckets, purpose) for purpose in PURPOSES}
    return {purpose: f"{settings.instance}-{purpose}" for purpose in PURPOSES}


def shared_buckets(names: Mapping[Purpose, str]) -> Mapping[str, Sequence[Purpose]]:
    """Buckets that have more than one purpose."""
    purposes = {name: [purpose for purpose in names if names[purpose] == name] for name in names.values()}
    return {name: found for name, found in purposes.items() if len(found) > 1}


def managed_buckets_have_one_purpose(settings: Settings) -> Iterator[str]:
    """A bucket has one set of rules: media would expire with the events, and backups with the exports."""
    store = settings.object_store
    if not isinstance(store, ExternalObjectStore) or not store.manage_buckets:
        return
    for name, purposes in shared_buckets(bucket_names(settings)).items():
        yield (
            f"objectStore.buckets.{purposes[-1]}: {json.dumps(name)} is the bucket of {' and '.join(purposes[:-1])} "
            "too, and with manageBuckets everything in it expires by the rules of one of them; name one for each"
        )


def off_site_is_elsewhere(settings: Settings) -> Iterator[str]:
    """A copy beside the original is lost with it; one into its own bucket copies itself again every night."""
    other = settings.backups.off_site
    if other is None:
        return
    if other.bucket in bucket_names(settings).values():
        yield f"backups.offSite.bucket: {json.dumps(other.bucket)} is the installation's own; name one of another store"
    service = f"langfuse-object-store.{settings.namespace}.svc"
    own = {settings.host, "langfuse-object-store", service, f"{service}.cluster.local"}
    host = other.endpoint.split("://")[1].partition(":")[0]
    if settings.object_store.mode == "managed" and host in own:
        yield (
            f"backups.offSite.endpoint: {json.dumps(other.endpoint)} is the installation's own store, which the copies "
            "would be lost with; name another one"
        )


BUCKET_RULES: Sequence[Callable[[Settings], Iterator[str]]] = (
    managed_buckets_have_one_purpose,
    off_site_is_elsewhere,
)
