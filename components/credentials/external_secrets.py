"""Secrets that External Secrets fills from a store (external-secrets.io/v1)."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
from pydantic import JsonValue

from components.kubernetes.installation import Installation
from components.kubernetes.labels import Workload
from components.schema.credentials import External, SecretStore

API_VERSION = "external-secrets.io/v1"

WAIT_UNTIL_READY = {"pulumi.com/waitFor": "condition=Ready"}
"""Pods are not made before the operator has written their Secret."""


def external_secret(  # a resource has this many independent parts
    installation: Installation,
    workload: Workload,
    name: str,
    sources: Mapping[str, External],
    store: SecretStore,
    *,
    permanent: bool,
    beside: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> k8s.apiextensions.CustomResource:
    """An ExternalSecret and thereby a Secret of the same name.

    Args:
        installation: Gives the namespace, and whether data is protected.
        workload: Gives the labels.
        name: Name of both.
        sources: Entry of the store by key of the Secret.
        store: Where they are read.
        permanent: Whether data is lost with the values: then they are read once.
        beside: Plain entries that the Secret has as well.
        opts: Resource options.
    """
    return k8s.apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind="ExternalSecret",
        metadata=installation.metadata(workload, name=name, annotations=WAIT_UNTIL_READY),
        spec=spec(name, sources, store, permanent=permanent, beside=beside),
        opts=installation.stateful(opts) if permanent else opts,
    )


def spec(
    name: str,
    sources: Mapping[str, External],
    store: SecretStore,
    *,
    permanent: bool,
    beside: Mapping[str, str],
) -> dict[str, JsonValue]:
    """The specification of an ExternalSecret.

    The Secret is nobody's child (`Orphan`) and stays when its entry goes (`Retain`): pods that read it must be able
    to start while the store is away, and a mistake there must not take a running installation down.
    """
    target: dict[str, JsonValue] = {"name": name, "creationPolicy": "Orphan", "deletionPolicy": "Retain"}
    if permanent:
        target["immutable"] = True
    if beside:
        target["template"] = {"mergePolicy": "Merge", "data": {**beside}}
    return {
        "refreshPolicy": "CreatedOnce" if permanent else "Periodic",
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
