"""How a client connects: its address, its variables, and the lines for its operator. Pure functions of the settings."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from components.application.environment import WEB_PORT
from components.credentials.key_pairs import PUBLIC_KEY, SECRET_KEY
from components.credentials.sources import client_key
from components.kubernetes.variables import SecretRef
from components.schema.clients import Client
from components.schema.environment import Settings
from components.stores.contract import SecretRefs

OTLP_PATH = "/api/public/otel/v1/traces"
"""It speaks OTLP over HTTP, and no gRPC (web/src/pages/api/public/otel)."""

OTLP_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"


def object_name(name: str) -> str:
    """The name of the Secret and the ConfigMap in the client's namespace."""
    return f"langfuse-{name}"


def address(settings: Settings, client: Client) -> str:
    """The URL of Langfuse for a client: that of the Service inside of the cluster, else the public one."""
    if client.namespace:
        return f"http://{settings.api_host}.{settings.namespace}.svc:{WEB_PORT}"
    return settings.public_url


def headers_variable(client: Client) -> str | None:
    """The variable with the header of an exporter of OpenTelemetry."""
    return OTLP_HEADERS if client.kind == "otel" else None


def variables(settings: Settings, client: Client) -> dict[str, str]:
    """The variables of a client that are not secret.

    For exporters of OpenTelemetry, they concern traces only: metrics and logs stay where the application sends them.
    """
    url, environment = address(settings, client), client.environment
    if client.kind == "otel":
        return {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url + OTLP_PATH,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            **({"OTEL_RESOURCE_ATTRIBUTES": f"langfuse.environment={environment}"} if environment else {}),
        }
    return {
        "LANGFUSE_BASE_URL": url,
        "LANGFUSE_HOST": url,  # what SDKs called it before, and LiteLLM
        **({"LANGFUSE_OTEL_HOST": url} if client.kind == "litellm" else {}),
        **({"LANGFUSE_TRACING_ENVIRONMENT": environment} if environment else {}),
    }


def outputs(settings: Settings, refs: SecretRefs) -> dict[str, JsonValue]:
    """What an operator of each client needs: where its keys are and the lines to paste, without any key."""
    return {name: _output(settings, refs, name, client) for name, client in sorted(settings.clients.items())}


def _output(settings: Settings, refs: SecretRefs, name: str, client: Client) -> JsonValue:
    keys = {
        PUBLIC_KEY: refs[client_key(name, "public_key")],
        SECRET_KEY: refs[client_key(name, "secret_key")],
    }
    return {
        "kind": client.kind,
        "url": address(settings, client),
        "project": client.project.id if client.project else settings.project_id,
        **({"environment": client.environment} if client.environment else {}),
        **({"namespace": client.namespace, "secret": object_name(name)} if client.namespace else {}),
        "lines": [*lines(settings, keys, name, client)],
    }


def lines(settings: Settings, keys: Mapping[str, SecretRef], name: str, client: Client) -> Sequence[str]:
    """The lines for the application: YAML for pods, a shell outside of the cluster, values of a form for Dify."""
    reads = {
        variable: f"kubectl -n {settings.namespace} get secret {ref.name} -o jsonpath='{{.data.{_escaped(ref.key)}}}'"
        " | base64 -d"
        for variable, ref in keys.items()
    }
    if client.kind == "dify":
        return [
            "# In Dify, for each app: Monitoring > Tracing app performance > Langfuse",
            f"Host: {address(settings, client)}",
            f"Public Key: $({reads[PUBLIC_KEY]})",
            f"Secret Key: $({reads[SECRET_KEY]})",
        ]
    callback = ["litellm_settings:", '  callbacks: ["langfuse_otel"]'] if client.kind == "litellm" else []
    return [*callback, *(_pod_lines(name) if client.namespace else _shell_lines(settings, reads, client))]


def _pod_lines(name: str) -> Sequence[str]:
    return [
        "envFrom:",
        f"  - configMapRef: {{name: {object_name(name)}}}",
        f"  - secretRef: {{name: {object_name(name)}}}",
    ]


def _shell_lines(settings: Settings, reads: Mapping[str, str], client: Client) -> Sequence[str]:
    exports = [f"export {key}={value}" for key, value in variables(settings, client).items()]
    if client.kind != "otel":
        return [*exports, *(f'export {variable}="$({read})"' for variable, read in reads.items())]
    pair = f'printf "%s:%s" "$({reads[PUBLIC_KEY]})" "$({reads[SECRET_KEY]})" | base64 -w0'
    return [*exports, f'export {OTLP_HEADERS}="Authorization=Basic%20$({pair})"']


def _escaped(key: str) -> str:
    return key.replace(".", "\\.")
