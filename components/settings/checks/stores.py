"""Checks of Postgres, ClickHouse, Redis and the object store."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from components.schema.credentials import Existing
from components.schema.environment import Settings
from components.schema.purposes import shared_buckets
from components.schema.stores import ExternalObjectStore, ExternalRedis, ManagedRedis, SentinelRedis
from components.schema.values import quantity_value
from components.stores.modes import StoreModes, installation_credentials
from components.stores.postgres.release import major


def keepers_match_replicas(settings: Settings) -> Iterator[str]:
    """A single Keeper is a single point of failure, which three ClickHouse replicas are meant to avoid."""
    store = settings.clickhouse
    if store.mode == "managed" and store.keepers < store.replicas:
        yield f"clickhouse.keepers: {store.keepers} is too few for {store.replicas} replicas; set it to 3"


def append_only_file_fits(settings: Settings) -> Iterator[str]:
    """While Redis rewrites its append-only file, the old file still exists."""
    store = settings.redis
    if not isinstance(store, ManagedRedis | SentinelRedis):
        return
    if quantity_value(store.storage) < 2 * quantity_value(store.resources.memory):
        yield (
            f"redis.storage: {json.dumps(store.storage)} is less than twice the memory "
            f"({store.resources.memory}), which a rewrite of the append-only file needs; enlarge it"
        )


def external_redis_has_an_address(settings: Settings) -> Iterator[str]:
    """Each topology of an external Redis requires different keys."""
    store = settings.redis
    if not isinstance(store, ExternalRedis):
        return
    if store.topology == "single" and not store.host:
        yield "redis.host: is required with topology single; set it to the host of the server"
    if store.topology != "single" and not store.nodes:
        yield f'redis.nodes: is required with topology {store.topology}; list "host:port" of each node'
    if store.topology == "sentinel" and not store.master_name:
        yield "redis.masterName: is required with topology sentinel; set it to the name that the Sentinels monitor"
    for node in store.nodes:
        if re.fullmatch(r"[0-9a-f:.\[\]]+", node) and node.count(":") > 1:
            yield (
                f"redis.nodes: {json.dumps(node)} is an IPv6 address, which Langfuse can't parse in a list of nodes; "
                "use a host name"
            )
        elif not re.fullmatch(r"[a-z0-9.-]+:\d{1,5}", node):
            yield f'redis.nodes: {json.dumps(node)} is not "host:port"'


def buckets_of_an_address_are_in_the_path(settings: Settings) -> Iterator[str]:
    """The name of a bucket can come before a DNS name, and not before an IP address."""
    store = settings.object_store
    if not isinstance(store, ExternalObjectStore) or store.force_path_style:
        return
    for key, url in (("endpoint", store.endpoint), ("publicEndpoint", store.public_endpoint)):
        host = urlsplit(url or "").hostname or ""
        if re.fullmatch(r"[0-9.]+|.*:.*", host):
            yield (
                f"objectStore.{key}: {json.dumps(url)} is an IP address, which can't have the name of a bucket before "
                "it; set objectStore.forcePathStyle to true"
            )


def migrations_bypass_the_pooler(settings: Settings) -> Iterator[str]:
    """A migration holds a lock for its session. A pooler in transaction mode gives that session to other clients."""
    store = settings.postgres
    if store.mode == "external" and store.pooler and store.direct_host is None and store.direct_port is None:
        yield "postgres.directHost: is required with pooler true; set it to the server itself, or set directPort"


def postgres_upgrade_is_one_step(settings: Settings) -> Iterator[str]:
    """`operations upgrade-postgres` writes these keys. Another combination would lead to another volume."""
    store, command = settings.postgres, "let `python -m operations upgrade-postgres` set it"
    if store.mode != "managed":
        return
    found = major(store.version)
    if store.volume is not None and store.volume != found:
        yield f"postgres.volume: {store.volume} is not the major release of {json.dumps(store.version)}; {command}"
    if store.upgrade_to and major(store.upgrade_to) <= found:
        yield f"postgres.upgradeTo: {json.dumps(store.upgrade_to)} is not a later major release than {found}; {command}"
    if store.upgrade_to and store.former:
        yield "postgres.upgradeTo: the last upgrade is not finished; run `operations upgrade-postgres --finish`"
    if store.former and (major(store.former.version) >= found or store.volume is None):
        yield f"postgres.former: is not an earlier release on another volume; {command}"


def cloudnative_pg_finds_the_password(settings: Settings) -> Iterator[str]:
    """The operator reads the keys `username` and `password` of one Secret."""
    if settings.postgres.mode != "cloudnativepg":
        return
    needed = installation_credentials(settings)
    source = next(one.source for one in needed if one.credential.id == "postgres_password")
    if isinstance(source, Existing) and source.key != "password":
        yield (
            "credentials.values.postgresPassword.key: is not the key that CloudNativePG reads; "
            'use a Secret that has the password under "password" and "langfuse" under "username"'
        )


def managed_buckets_have_one_purpose(settings: Settings) -> Iterator[str]:
    """A bucket has one set of lifecycle rules: in a shared bucket, media would expire with the events."""
    store = settings.object_store
    if not isinstance(store, ExternalObjectStore) or not store.manage_buckets:
        return
    for name, purposes in shared_buckets(StoreModes.of(settings).object_store.bucket_names).items():
        yield (
            f"objectStore.buckets.{purposes[-1]}: {json.dumps(name)} is also the bucket of "
            f"{' and '.join(purposes[:-1])}. With manageBuckets, the lifecycle rules of one purpose would delete the "
            "objects of the other; use a bucket for each purpose"
        )
