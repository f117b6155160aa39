"""What a stack tells its operator. Names and addresses, never a value of a credential."""

from collections.abc import Sequence

from pydantic import JsonValue

from components import images
from components.connections import Endpoint
from components.environment import Stores
from components.settings import Settings


def outputs(settings: Settings, stores: Stores, web: Endpoint, secret_names: Sequence[str]) -> dict[str, JsonValue]:
    """The stack's outputs: plain values, known at preview."""

    def address(endpoint: Endpoint) -> str:
        return f"{endpoint.host}.{settings.namespace}.svc.cluster.local:{endpoint.port}"

    return {
        "url": settings.public_url,
        "namespace": settings.namespace,
        "versions": {
            "langfuse": settings.version,
            "postgres": images.POSTGRES.tag,
            "clickhouse": images.CLICKHOUSE.tag,
            "valkey": images.VALKEY.tag,
            "minio": images.MINIO.tag,
        },
        "services": {
            "web": address(web),
            "postgres": address(stores.postgres.endpoint),
            "clickhouse": address(stores.clickhouse.http),
            "redis": address(stores.redis.endpoint),
            "objectStore": address(stores.object_store.endpoint),
        },
        "buckets": {purpose: bucket.name for purpose, bucket in stores.object_store.buckets.items()},
        "secrets": list(secret_names),
        "readme": _readme(settings, web),
    }


def _readme(settings: Settings, web: Endpoint) -> str:
    """Markdown that Pulumi Cloud shows beside the stack."""
    secret = f"kubectl -n {settings.namespace} get secret langfuse-first-start -o jsonpath"
    return f"""# Langfuse, {settings.stack}

- URL: {settings.public_url}
- Sign in as {settings.first_start.owner_email} with the password of
  `{secret}='{{.data.user-password}}' | base64 -d`
- SDKs send traces with `LANGFUSE_HOST={settings.public_url}` and the key pair in the same Secret
  (`public-key`, `secret-key`).
- Without a public route: `kubectl -n {settings.namespace} port-forward service/{web.host} {web.port}`
"""
