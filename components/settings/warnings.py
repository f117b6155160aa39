"""Warnings that a preview shows: configuration that works but should be changed or reviewed.

A warning check yields `key: what is wrong; what to do`.
"""

import json
from collections.abc import Callable, Iterator, Sequence

from components.application import extra_env, outbound
from components.application.queue_scaling import keda_namespace
from components.backups.drills import postgres_storage
from components.schema.environment import Settings
from components.schema.stores import ExternalObjectStore, ManagedClickHouse
from components.schema.values import quantity_value, release

FIRST_SAFE: dict[int, tuple[str, str]] = {
    3: ("3.225.9", "vulnerabilities in bundled libraries (CLEANSTART-2026-JF56527, CLEANSTART-2026-ZM21306)"),
    4: (
        "4.82.0",
        "a server-side request forgery through the base URL of a GitHub Enterprise sign-in (CVE-2026-134835)",
    ),
}
"""By major version of Langfuse: the oldest release without a published vulnerability, and the vulnerability it fixes.
"""


def release_is_not_vulnerable(settings: Settings) -> Iterator[str]:
    """Older releases of Langfuse have published vulnerabilities."""
    first_safe, fixed = FIRST_SAFE[settings.major]
    if release(settings.version) < release(first_safe):
        yield f"version: {json.dumps(settings.version)} has {fixed}; upgrade to {first_safe} or newer"


def clients_are_in_the_mesh(settings: Settings) -> Iterator[str]:
    """Mutual TLS refuses clients outside the mesh: their connections are reset, and no policy or log says why."""
    clients = [*settings.client_namespaces, *keda_namespace(settings)]
    if clients and settings.mesh_mode != "none" and settings.mesh.outside_clients is None:
        yield (
            f"mesh.outsideClients: is not set, and pods of {', '.join(clients)} can connect only if they are in the "
            "mesh; list the namespaces that are not, or set it to []"
        )


def archive_trusts_public_cas(settings: Settings) -> Iterator[str]:
    """CloudNativePG's plugin would trust a private CA in place of the public ones (AWS_CA_BUNDLE of botocore)."""
    store = settings.object_store
    own = isinstance(store, ExternalObjectStore) and (store.endpoint or "").startswith("https:")
    if settings.network.ca and settings.postgres.mode == "cloudnativepg" and own:
        yield (
            "network.ca: does not apply to CloudNativePG's archive; if the object store has a certificate of a private "
            "CA, name a Secret with it by a patch: kind ObjectStore, spec.configuration.endpointCA"
        )


LOCAL_DISK = "20Gi"
"""Free disk that the nodes of most clusters have for pods. GKE Autopilot grants a pod 10Gi."""


def restored_data_has_room(settings: Settings) -> Iterator[str]:
    """A drill whose pod fits on no node never starts, and restores are not rehearsed."""
    backups, clickhouse = settings.backups, settings.clickhouse
    if backups.drill_schedule == "never" or backups.drill_storage_class is not None:
        return
    sizes = [postgres_storage(settings), *([clickhouse.storage] if isinstance(clickhouse, ManagedClickHouse) else [])]
    largest = max(sizes, key=quantity_value)
    if quantity_value(largest) > quantity_value(LOCAL_DISK):
        yield (
            f"backups.drillStorageClass: is not set, so the drills need a node with {largest} of free disk; set it to "
            "a StorageClass with the reclaim policy Delete"
        )


WARNINGS: Sequence[Callable[[Settings], Iterator[str]]] = (
    release_is_not_vulnerable,
    clients_are_in_the_mesh,
    archive_trusts_public_cas,
    extra_env.extra_variables_are_known,
    outbound.addresses_are_known,
    restored_data_has_room,
)


def warnings(settings: Settings) -> list[str]:
    """All warnings about a stack's configuration."""
    return [warning for check in WARNINGS for warning in check(settings)]
