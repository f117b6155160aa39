"""The applications that send traces: each gets a key pair of its own."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.schema.base import Model
from components.schema.credentials import Source
from components.schema.values import DnsLabel, Name

LONGEST_NAME = 40
"""Names of containers and Secrets are made of it."""


def _client_name(text: str) -> str:
    if not re.fullmatch(rf"[a-z]([-a-z0-9]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?", text) or text.endswith("-external"):
        raise ValueError(
            f"is not the name of a client: at most {LONGEST_NAME} lower-case letters, digits and '-', a letter first, "
            'no "-external" at the end'
        )
    return text


def _environment(text: str) -> str:
    """Langfuse changes other names, most of them to `default` (PublicEnvironmentName in its ingestion/types.ts)."""
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", text):
        raise ValueError("is not an environment of Langfuse: at most 40 lower-case letters, digits, '-' and '_'")
    if text.startswith("langfuse"):
        raise ValueError('begins with "langfuse", which Langfuse removes; use another name')
    return text


ClientName = Annotated[str, AfterValidator(_client_name)]
EnvironmentName = Annotated[str, AfterValidator(_environment)]


class ClientProject(Model):
    """The project whose traces a client sends. If no project has the id, it is created in the first organization."""

    id: Name = Field(description="Id of the project in Langfuse.")
    name: str | None = Field(
        default=None, min_length=1, description="Name of a new project. Langfuse ignores later changes. Default: `id`."
    )


class Client(Model):
    """An application that sends traces.

    A client gets a key pair of its own, so that its usage can be told apart and its keys can be deleted alone. A
    `namespace` gets the Secret and the ConfigMap `langfuse-NAME`, and its pods may call web. `docs/clients.md` has the
    lines for each kind.
    """

    kind: Literal["litellm", "dify", "sdk", "otel"] = Field(
        description="What sends the traces. `litellm`: LiteLLM's proxy; `dify`: apps in Dify; `sdk`: Langfuse's SDKs "
        "for Python and JavaScript, and what uses them; `otel`: an exporter of OpenTelemetry."
    )
    namespace: DnsLabel | None = Field(
        default=None,
        description="Namespace of its pods in this cluster. It must exist. Default: the client is outside of the "
        "cluster, and reads its keys from the Secret `langfuse-client-NAME` in the stack's namespace.",
    )
    environment: EnvironmentName | None = Field(
        default=None, description="Environment of its traces in Langfuse. Default: `default`."
    )
    project: ClientProject | None = Field(
        default=None, description="Project of its key pair. Default: the first project."
    )
    allow_egress: bool = Field(
        default=False,
        description="Whether the stack creates a network policy in `namespace` by which its pods may connect to web. "
        "Set it only if another policy already denies egress of all its pods: otherwise, this one would deny every "
        "other connection.",
    )
    public_key: Source | None = Field(
        default=None,
        description="Public key: `pk-lf-` and a UUID. A new `epoch` in both keys adds a key pair; the old one stays "
        "valid until it is deleted in Langfuse.",
    )
    secret_key: Source | None = Field(
        default=None,
        description="Secret key: `sk-lf-` and a UUID. Langfuse ignores a new one for the same public key.",
    )
