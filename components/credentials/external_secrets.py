"""Secrets that External Secrets fills from a store (external-secrets.io/v1)."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
from pydantic import JsonValue

from components.kubernetes.objects import Scope, custom_resource
from components.schema.credentials import External, SecretStore

API_VERSION = "external-secrets.io/v1"

WAIT_UNTIL_READY = {"pulumi.com/waitFor": "condition=Ready"}
"""Pulumi waits until the operator has written the Secret before it creates the pods that read it."""


def external_secret(
    scope: Scope,
    name: str,
    sources: Mapping[str, External],
    store: SecretStore,
    *,
    irreplaceable: bool = False,
    extra_entries: Mapping[str, str],
    type_: str | None = None,
) -> k8s.apiextensions.CustomResource:
    """Create an ExternalSecret. The operator creates a Secret of the same name.

    Args:
        scope: The workload it belongs to.
        name: The name of the ExternalSecret and of the Secret.
        sources: The entry of the store for each key of the Secret.
        store: The store that the operator reads.
        irreplaceable: Whether data is lost without the values. They are read only once then.
        extra_entries: Further entries of the Secret: text, or templates of External Secrets.
        type_: The type of the Secret; `Opaque` if not given.
    """
    return custom_resource(
        scope,
        API_VERSION,
        "ExternalSecret",
        spec(name, sources, store, irreplaceable=irreplaceable, extra_entries=extra_entries, type_=type_),
        name=name,
        annotations=WAIT_UNTIL_READY,
        opts=scope.workload.installation.stateful(pulumi.ResourceOptions()) if irreplaceable else None,
    )


def spec(
    name: str,
    sources: Mapping[str, External],
    store: SecretStore,
    *,
    irreplaceable: bool,
    extra_entries: Mapping[str, str],
    type_: str | None = None,
) -> dict[str, JsonValue]:
    """The specification of an ExternalSecret.

    The Secret has no owner (`Orphan`), and stays when its entry in the store is deleted (`Retain`). Pods that read it
    can start while the store is unavailable, and a mistake in the store does not stop a running installation.
    """
    target: dict[str, JsonValue] = {"name": name, "creationPolicy": "Orphan", "deletionPolicy": "Retain"}
    if irreplaceable:
        target["immutable"] = True
    if extra_entries or type_:
        entries: dict[str, JsonValue] = {"mergePolicy": "Merge", "data": {**extra_entries}} if extra_entries else {}
        target["template"] = {**({"type": type_} if type_ else {}), **entries}
    return {
        "refreshPolicy": "CreatedOnce" if irreplaceable else "Periodic",
        "refreshInterval": store.refresh_interval,
        "secretStoreRef": {"name": store.name, "kind": store.kind},
        "target": target,
        "data": [
            {
                "secretKey": key,
                "remoteRef": {"key": source.remote_key, **({"property": source.property} if source.property else {})},
            }
            for key, source in sorted(sources.items())
        ],
    }
