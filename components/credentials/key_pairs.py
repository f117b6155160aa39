"""Secrets with a key pair of Langfuse in the namespaces of clients."""

import base64

import pulumi
import pulumi_kubernetes as k8s

from components.credentials.component import HIDE_METADATA, KEY_PAIR, Credentials
from components.credentials.external_secrets import external_secret
from components.credentials.sources import client_key
from components.kubernetes.objects import Scope
from components.schema.credentials import External, SecretStore

PUBLIC_KEY = "LANGFUSE_PUBLIC_KEY"
SECRET_KEY = "LANGFUSE_SECRET_KEY"  # noqa: S105  # a name

TEMPLATE = f'{{{{ printf "%s:%s" .{PUBLIC_KEY} .{SECRET_KEY} | b64enc }}}}'
"""The key pair for basic authentication, as a template of External Secrets."""


def key_pair_secret(
    scope: Scope, client: str, credentials: Credentials, *, store: SecretStore | None, headers: str | None
) -> pulumi.Resource | None:
    """The Secret `langfuse-CLIENT` with a key pair, in the namespace of the scope.

    Args:
        scope: The workload and the namespace of the Secret.
        client: The name of the client.
        credentials: The credentials of the installation.
        store: The secret store, if there is one.
        headers: The name of a further variable: the headers of an exporter of OpenTelemetry.

    Returns:
        The resource; None if the keys are in an existing Secret, which the stack can't read.
    """
    name = f"langfuse-{client}"
    ids = {PUBLIC_KEY: client_key(client, "public_key"), SECRET_KEY: client_key(client, "secret_key")}
    external = {
        variable: source for variable, id_ in ids.items() if isinstance(source := credentials.sources[id_], External)
    }
    if store and len(external) == len(ids):
        extra = {headers: otlp_headers(TEMPLATE)} if headers else {}
        return external_secret(scope, name, external, store, extra_entries=extra, type_=KEY_PAIR)
    generated = credentials.generated
    if not all(id_ in generated for id_ in ids.values()):
        return None
    values: dict[str, pulumi.Input[str]] = {variable: generated[id_] for variable, id_ in ids.items()}
    if headers:
        values[headers] = pulumi.Output.all(*values.values()).apply(_basic).apply(otlp_headers)
    return k8s.core.v1.Secret(
        name,
        metadata=scope.workload.metadata(name),
        string_data=values,
        type=KEY_PAIR,
        opts=scope.options(HIDE_METADATA),
    )


def otlp_headers(pair: str) -> str:
    """The value of OTEL_EXPORTER_OTLP_HEADERS, in which values are percent-encoded (W3C Baggage).

    In base64, keys of letters, digits, `-` and `:` give no `+` and no `/`, which some exporters would decode.
    """
    return f"Authorization=Basic%20{pair}"


def _basic(pair: list[str]) -> str:
    return base64.b64encode(":".join(pair).encode()).decode()
