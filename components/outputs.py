"""The outputs of a stack: names and addresses for its operator, and no value of a credential."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from components.application.component import ApplicationContext
from components.application.sign_in import callback_urls
from components.clients.connection import outputs as client_outputs
from components.network.ingress.component import ingress_kind
from components.schema.environment import Settings
from components.schema.values import release
from components.stores.connections import Endpoint
from components.stores.contract import SecretRefs, StoreMode
from components.stores.images import running_images
from components.stores.modes import StoreModes


def outputs(context: ApplicationContext, web: Endpoint) -> dict[str, JsonValue]:
    """The outputs of the stack: plain values, which are known in a preview."""
    settings, stores = context.settings, context.stores

    def address(endpoint: Endpoint) -> str:
        if "." in endpoint.host:  # external, or the full name of a pod
            return endpoint.authority
        return f"{endpoint.host}.{settings.namespace}.svc:{endpoint.port}"

    return {
        "url": settings.public_url,
        "publicRoute": {
            "kind": settings.ingress.kind,
            "leftToOperator": [*ingress_kind(settings).left_to_operator()],
        },
        "namespace": settings.namespace,
        "versions": {**versions(settings)},
        "images": {**running_images(settings)},
        "services": {
            "web": address(web),
            "postgres": address(stores.postgres.endpoint),
            "clickhouse": address(stores.clickhouse.http),
            "redis": address(stores.redis.endpoint),
            "objectStore": address(stores.object_store.endpoint),
        },
        "backups": {**backups(settings)},
        "buckets": {purpose: bucket.name for purpose, bucket in stores.object_store.buckets.items()},
        "secrets": [*sorted({ref.name for ref in context.refs.values()})],
        "callbackUrls": {**callback_urls(settings)},
        "clients": client_outputs(settings, context.refs),
        "sdks": {**sdk_versions(settings.version)},
        "readme": _readme(settings, web, context.refs),
    }


def backups(settings: Settings) -> dict[str, str]:
    """Who backs up each store: a Job of this stack, the provider of an external store, or nobody."""
    modes = StoreModes.of(settings)
    found: Mapping[str, StoreMode[Any, Any]] = {
        "postgres": modes.postgres,
        "clickhouse": modes.clickhouse,
        "redis": modes.redis,
        "objectStore": modes.object_store,
    }
    return {name: mode.backed_up_by or "none" for name, mode in found.items()}


def versions(settings: Settings) -> dict[str, str]:
    """The running releases. For an external store, only the configuration can state it."""
    modes = StoreModes.of(settings)
    stores = {
        "postgres": modes.postgres.version,
        "clickhouse": modes.clickhouse.version,
        "redis": modes.redis.version,
        "objectStore": modes.object_store.version,
    }
    return {"langfuse": settings.version, **{name: version or "unknown" for name, version in stores.items()}}


def sdk_versions(version: str) -> dict[str, str]:
    """Versions of the SDKs whose traces and scores a release accepts, by package.

    With the write mode `events_only`, Langfuse 4 drops traces of older SDKs, and answers 207 nevertheless
    (langfuse.com/self-hosting/upgrade). Version 5 of the Python SDK sends scores in batches
    (langfuse/_task_manager/score_consumer.py), which a release before 4.82 may refuse: 4.16.0 does.
    """
    if release(version) < (4,):
        return {"langfuse": ">=3,<5", "@langfuse/client": ">=4"}
    return {"langfuse": ">=4.7" if release(version) >= (4, 82) else ">=4.7,<5", "@langfuse/client": ">=5.4"}


def _readme(settings: Settings, web: Endpoint, refs: SecretRefs) -> str:
    """A readme in Markdown, which Pulumi Cloud shows on the page of the stack."""

    def read(id_: str) -> str:
        ref = refs[id_]
        path = f"{{.data.{ref.key.replace('.', chr(92) + '.')}}}"
        return f"kubectl -n {settings.namespace} get secret {ref.name} -o jsonpath='{path}' | base64 -d"

    sign_in = f"Sign in as {settings.first_start.owner_email} with the password of\n  `{read('user_password')}`"
    if not settings.sign_in.password:
        sign_in = f"Sign in as {settings.first_start.owner_email} by single sign-on"
    sdks = ", ".join(f"`{name}{versions}`" for name, versions in sdk_versions(settings.version).items())
    lists = {
        "The public route is complete only with": ingress_kind(settings).left_to_operator(),
        "Callback URLs to register for single sign-on": [
            f"{provider}: {url}" for provider, url in callback_urls(settings).items()
        ],
    }
    lines = [f"- {title}:\n" + "\n".join(f"  - {item}" for item in items) for title, items in lists.items() if items]
    return (
        f"""# Langfuse, {settings.stack}

- URL: {settings.public_url}
- {sign_in}
- SDKs send traces with `LANGFUSE_HOST={settings.public_url}` and the key pair of
  `{read("public_key")}` and
  `{read("secret_key")}`
- SDKs that fit this release: {sdks}
- Without a public route: `kubectl -n {settings.namespace} port-forward service/{web.host} {web.port}`
{chr(10).join(lines)}
""".rstrip()
        + "\n"
    )
