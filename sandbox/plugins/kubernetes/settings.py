"""The provider's configuration: what each key means here, and which keys the stand-in refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.properties import UNKNOWN, Properties, Property, reveal
from sandbox.plugins.pulumirpc import provider_pb2

PREFIX: Final = "kubernetes:config:"
SWITCHES: Final = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "suppressDeprecationWarnings": "PULUMI_K8S_SUPPRESS_DEPRECATION_WARNINGS",
    "suppressHelmHookWarnings": "PULUMI_K8S_SUPPRESS_HELM_HOOK_WARNINGS",
    "alwaysRender": "",
    "strictMode": "",
}
TEXTS: Final = ("kubeconfig", "context", "cluster", "namespace", "clusterIdentifier", "renderYamlToDirectory")
REFUSED: Final = {
    "helmReleaseSettings": "it configures Helm releases",
    "rejectUnknownResources": "objects are validated by the API server alone",
}
ENGINE_KEYS: Final = ("version", "pluginDownloadURL", "pluginChecksums", "__internal")
NOT_WITH_RENDERING: Final = ("cluster", "context", "kubeconfig")


@dataclass(frozen=True)
class Settings:
    """How this provider was configured; see the keys of `pulumi_kubernetes.Provider`."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    render_directory: str = ""
    always_render: bool = False
    server_side_apply: bool = True
    patch_force: bool = False
    upsert: bool = False
    config_map_mutable: bool = False
    secret_mutable: bool = False
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    suppress_deprecation_warnings: bool = False
    request_timeout: float | None = None
    """Seconds that one request may take; None waits as long as the server does."""


def read(variables: Mapping[str, str]) -> Settings:
    """Return the settings of a `Configure` request; environment variables stand in for switches that are not set."""
    given = {key.removeprefix(PREFIX): value for key, value in variables.items()}
    _refuse(given)

    def switch(key: str, *, default: bool = False) -> bool:
        value = given.get(key) or os.environ.get(SWITCHES[key] or "-", "")
        return value == "true" if value else default

    return Settings(
        kubeconfig=given.get("kubeconfig", ""),
        context=given.get("context", ""),
        cluster=given.get("cluster", ""),
        namespace=given.get("namespace", ""),
        render_directory=given.get("renderYamlToDirectory", ""),
        always_render=switch("alwaysRender"),
        server_side_apply=switch("enableServerSideApply", default=True),
        patch_force=switch("enablePatchForce"),
        upsert=switch("upsertExistingObjects"),
        config_map_mutable=switch("enableConfigMapMutable"),
        secret_mutable=switch("enableSecretMutable"),
        delete_unreachable=switch("deleteUnreachable"),
        skip_update_unreachable=switch("skipUpdateUnreachable"),
        suppress_deprecation_warnings=switch("suppressDeprecationWarnings"),
        request_timeout=_request_timeout(given.get("kubeClientSettings", "")),
    )


def failures(urn: str, news: Properties) -> list[provider_pb2.CheckFailure]:
    """Return what is wrong with a provider's inputs, as `CheckConfig` reports it."""
    found: list[provider_pb2.CheckFailure] = []

    def fail(key: str, reason: str) -> None:
        found.append(provider_pb2.CheckFailure(property=key, reason=reason))

    try:
        _refuse(news)
    except PluginError as error:
        fail("", error.message)
    if _truthy(_stack_config().get("strictMode")) or _truthy(news.get("strictMode")):
        if urn.rpartition("::")[2].startswith("default"):
            fail("", "strict mode prohibits default provider")
        for key in ("kubeconfig", "context"):
            if not news.get(key):
                fail(key, f'strict mode requires Provider "{key}" argument')
    rendering = bool(news.get("renderYamlToDirectory"))
    for key in NOT_WITH_RENDERING if rendering else ():
        ambient = key == "kubeconfig" and reveal(news.get(key)) == os.environ.get("KUBECONFIG")
        if news.get(key) and not ambient:
            fail(key, f'"{key}" arg is not compatible with "renderYamlToDirectory" arg')
    if _truthy(news.get("alwaysRender")) and not rendering:
        fail("alwaysRender", '"alwaysRender" requires "renderYamlToDirectory" to be set')
    return found


def differences(olds: Properties, news: Properties) -> tuple[list[str], list[str]]:
    """Return which keys of a provider changed, and which of them mean another cluster and so a replacement."""
    from sandbox.plugins.kubernetes import kubeconfig  # noqa: PLC0415  # only a changed provider pays for it

    plain_olds, plain_news = dict(_plain(olds)), dict(_plain(news))
    changed = sorted(key for key in plain_olds.keys() | plain_news.keys() if plain_olds.get(key) != plain_news.get(key))
    identifier = plain_news.get("clusterIdentifier")
    if "clusterIdentifier" not in changed and identifier:
        return changed, []
    unknown = [key for key in ("kubeconfig", "context", "cluster") if plain_news.get(key) is UNKNOWN]
    if unknown:
        return changed, unknown[:1]
    replaces = ["renderYamlToDirectory"] if "renderYamlToDirectory" in changed else []
    if "clusterIdentifier" in changed and identifier and plain_olds.get("clusterIdentifier"):
        replaces.append("clusterIdentifier")
    location = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
    if location:
        old, new = (kubeconfig.active_cluster(bag) for bag in (plain_olds, plain_news))
        if old is not None and new is not None and old != new:
            replaces += location
    return changed, replaces


def _refuse(given: Iterable[str]) -> None:
    for key in given:
        if key in REFUSED:
            raise PluginError(
                f"kubernetes:{key} is not supported by the stand-in plugin ({REFUSED[key]}); "
                "remove it or install the official plugin"
            )
        if key not in (*SWITCHES, *TEXTS, *ENGINE_KEYS, "kubeClientSettings"):
            raise PluginError(f"kubernetes:{key} is not a setting of the kubernetes provider; remove or correct it")


def _request_timeout(value: str) -> float | None:
    if not value and "PULUMI_K8S_CLIENT_TIMEOUT" not in os.environ:
        return None
    try:
        settings = json.loads(value) if value else {}
        seconds = settings.get("timeout") or os.environ.get("PULUMI_K8S_CLIENT_TIMEOUT")
        limits = [key for key in ("qps", "burst") if settings.get(key)]
        timeout = float(seconds) if seconds else None
    except (ValueError, AttributeError) as error:
        raise PluginError("kubernetes:kubeClientSettings must be an object whose timeout is in seconds") from error
    if limits:
        raise PluginError(
            f"kubernetes:kubeClientSettings.{limits[0]} is not supported by the stand-in plugin, "
            "which does not throttle its requests; remove it or install the official plugin"
        )
    return timeout


def _stack_config() -> Mapping[str, Property]:
    try:
        config = json.loads(os.environ.get("PULUMI_CONFIG") or "{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _truthy(value: Property) -> bool:
    return reveal(value) in (True, "true")


def _plain(properties: Properties) -> Iterable[tuple[str, Property]]:
    return ((key, reveal(value)) for key, value in properties.items() if value is not None)
