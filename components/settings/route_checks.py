"""Rules that join keys of the public routes. Each yields `key: value rule; fix` for everything that it finds wrong."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from components.schema.environment import Settings
from components.schema.stores import ExternalObjectStore


def files_have_a_host(settings: Settings) -> Iterator[str]:
    """A host of its own is for managed buckets, and the UI's pages load files of other hosts by https alone.

    That is in the policy of Langfuse's pages (web/next.config.mjs).
    """
    host = settings.ingress.bucket_host
    key = f"ingress.bucketHost: {json.dumps(host)}"
    if host and isinstance(settings.object_store, ExternalObjectStore):
        yield f"{key} has no effect on an external store; set objectStore.publicEndpoint"
    if host and not settings.ingress.tls:
        yield f"{key} needs https: Langfuse's pages load files of other hosts by https alone; set ingress.tls to true"
    if host == settings.host and settings.ingress.kind == "istio":
        yield f"{key} is the UI's host, where the buckets are without it; remove it, or name another"


def external_files_are_elsewhere(settings: Settings) -> Iterator[str]:
    """The UI's host is served by our own VirtualService, which has no headers for the files of another store."""
    store = settings.object_store
    endpoint = store.public_endpoint if isinstance(store, ExternalObjectStore) else None
    if endpoint and settings.ingress.kind == "istio" and urlsplit(endpoint).hostname == settings.host:
        yield (
            f"objectStore.publicEndpoint: {json.dumps(endpoint)} is the UI's host, where an uploaded file could act as "
            "whoever opens it; serve the store under a host of its own"
        )


ROUTE_RULES = (files_have_a_host, external_files_are_elsewhere)
