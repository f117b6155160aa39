"""Checks of the applications that send traces."""

import json
from collections.abc import Iterator

from components.credentials.sources import client_key
from components.schema.environment import Settings
from components.stores.modes import installation_credentials


def clients_outlive_the_stack(settings: Settings) -> Iterator[str]:
    """An environment of a pull request would replace what another environment created in the client's namespace."""
    if settings.profile == "preview" and settings.clients:
        yield (
            "clients: an environment with the profile preview has none, because their namespaces outlive it; remove "
            "them, and use the keys of the first project"
        )


def clients_have_a_namespace_of_their_own(settings: Settings) -> Iterator[str]:
    """The network policies and the quota of the stack's namespace are for the stack alone."""
    for name, client in settings.clients.items():
        if client.namespace == settings.namespace:
            yield (
                f"clients.{name}.namespace: {json.dumps(client.namespace)} contains nothing but the stack; set the "
                "namespace of the client's pods"
            )
        if client.allow_egress and client.namespace is None:
            yield f"clients.{name}.allowEgress: has no effect outside of the cluster; set namespace, or remove it"


def projects_have_one_name(settings: Settings) -> Iterator[str]:
    """Langfuse takes the name from the first client that needs the project."""
    names = {settings.project_id: settings.first_start.project}
    for name, client in settings.clients.items():
        project = client.project
        if project and project.name and names.setdefault(project.id, project.name) != project.name:
            yield (
                f"clients.{name}.project.name: {json.dumps(project.name)} differs from the name of the project "
                f"{json.dumps(project.id)} elsewhere ({json.dumps(names[project.id])}); use one name, or remove it"
            )


def keys_of_clients_are_pairs(settings: Settings) -> Iterator[str]:
    """The stack writes both keys of a client into one Secret, or neither."""
    sources = {one.credential.id: one.source for one in installation_credentials(settings)}
    for name in settings.clients:
        public, secret = (sources[client_key(name, part)] for part in ("public_key", "secret_key"))
        if public.source != secret.source:
            yield (
                f"clients.{name}.secretKey.source: {json.dumps(secret.source)} differs from the source of publicKey "
                f"({public.source}); set both to the same source"
            )


def clients_fit_the_phase(settings: Settings) -> Iterator[str]:
    """Dify sends the legacy batch (langgenius/dify#41542), which Langfuse 4 answers with 207 and drops."""
    if settings.phase != "events_only":
        return
    for name, client in settings.clients.items():
        if client.kind == "dify":
            yield (
                f"clients.{name}.kind: Dify sends events of version 3, which Langfuse drops without an error in "
                'ingestion.phase "events_only" (langgenius/dify#41542); set ingestion.phase to "dual"'
            )
