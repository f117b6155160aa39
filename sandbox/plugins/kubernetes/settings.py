"""The provider's configuration: its keys, their defaults, and the keys that the stand-in does not support."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.plugins.errors import PluginError

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
UNSUPPORTED: Final = {
    "helmReleaseSettings": "it configures Helm releases",
    "rejectUnknownResources": "only the API server validates objects",
}
ENGINE_KEYS: Final = ("version", "pluginDownloadURL", "pluginChecksums", "__internal")


@dataclass(frozen=True)
class Settings:
    """The configuration of this provider; see the arguments of `pulumi_kubernetes.Provider`."""

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
    """Limit for one request in seconds; None waits as long as the server needs."""


def read(variables: Mapping[str, str]) -> Settings:
    """Return the settings of a `Configure` request; switches that it leaves out come from environment variables."""
    config = {key.removeprefix(PREFIX): value for key, value in variables.items()}
    refuse_unsupported(config)

    def switch(key: str, *, default: bool = False) -> bool:
        value = config.get(key) or os.environ.get(SWITCHES[key] or "-", "")
        return value == "true" if value else default

    return Settings(
        kubeconfig=config.get("kubeconfig", ""),
        context=config.get("context", ""),
        cluster=config.get("cluster", ""),
        namespace=config.get("namespace", ""),
        render_directory=config.get("renderYamlToDirectory", ""),
        always_render=switch("alwaysRender"),
        server_side_apply=switch("enableServerSideApply", default=True),
        patch_force=switch("enablePatchForce"),
        upsert=switch("upsertExistingObjects"),
        config_map_mutable=switch("enableConfigMapMutable"),
        secret_mutable=switch("enableSecretMutable"),
        delete_unreachable=switch("deleteUnreachable"),
        skip_update_unreachable=switch("skipUpdateUnreachable"),
        suppress_deprecation_warnings=switch("suppressDeprecationWarnings"),
        request_timeout=_request_timeout(config.get("kubeClientSettings", "")),
    )


def refuse_unsupported(config: Iterable[str]) -> None:
    """Raise PluginError for a key that the stand-in does not support or the provider does not have."""
    for key in config:
        if key in UNSUPPORTED:
            raise PluginError(
                f"kubernetes:{key} is not supported by the stand-in plugin ({UNSUPPORTED[key]}); "
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
