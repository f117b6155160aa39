"""Selects the cluster: a configured kubeconfig (path or content), the ambient one, or the pod's service account."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.objects import Object, dig, mapping, objects, text
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import Property

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

IN_CLUSTER_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_PATH: Final = Path("~/.kube/config")
FILES: Final = frozenset({"certificate-authority", "client-certificate", "client-key", "tokenFile"})
SUGGESTION: Final = "set KUBECONFIG or the kubeconfig of the provider, and its context if there are several"


@dataclass(frozen=True)
class Target:
    """A resolved kubeconfig. Empty `content` means the service account of the pod."""

    content: Object
    base_path: str

    @property
    def server(self) -> str:
        """The API server's URL."""
        return text(_cluster(self.content, {}) or {}, "server")

    @property
    def namespace(self) -> str:
        """The namespace of the active context, or `default`."""
        if not self.content:
            file = IN_CLUSTER_FOLDER / "namespace"
            return file.read_text().strip() if file.exists() else "default"
        return text(_context(self.content, {}) or {}, "namespace") or "default"

    def connect(self) -> ApiClient:
        """Return a client of the official library, which supports every authentication of kubeconfigs."""
        from kubernetes import client, config  # noqa: PLC0415  # takes 0.3 s of CPU time, which a no-op update does not need

        configuration = client.Configuration()
        try:
            if self.content:
                loader = config.kube_config.KubeConfigLoader(self.content, config_base_path=self.base_path)  # type: ignore[no-untyped-call]  # the library is untyped
                loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # ditto
            else:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # ditto
        except config.ConfigException as error:
            raise PluginError(f"the kubeconfig can't be used: {error}; {SUGGESTION}") from error
        return client.ApiClient(configuration)


def resolve(settings: Settings) -> Target:
    """Find the cluster that the settings select. Raises PluginError if there is none."""
    overrides: dict[str, Property] = {"context": settings.context, "cluster": settings.cluster}
    content, base_path = _load(settings.kubeconfig) if settings.kubeconfig else _ambient()
    if not content:
        if not (IN_CLUSTER_FOLDER / "token").exists():
            raise PluginError(f"no Kubernetes cluster is configured; {SUGGESTION}")
        return Target({}, "")
    current = settings.context or text(content, "current-context")
    if _context(content, overrides) is None:
        known = ", ".join(text(item, "name") for item in objects(content, "contexts")) or "none"
        raise PluginError(f'the kubeconfig has no context "{current}" (it has: {known}); {SUGGESTION}')
    if _cluster(content, overrides) is None:
        raise PluginError(f'the kubeconfig has no cluster for context "{current}"; correct it or kubernetes:cluster')
    return Target(_with_overrides(content, settings), base_path)


def active_cluster(inputs: Mapping[str, Property]) -> Object | None:
    """Return the cluster entry that a provider's inputs select, None if they select none."""
    config = inputs.get("kubeconfig")
    try:
        content = config if isinstance(config, dict) else _load(str(config))[0] if config else {}
    except PluginError:
        return None
    return _cluster(content, inputs)


def _with_overrides(content: Object, settings: Settings) -> Object:
    current = settings.context or text(content, "current-context")
    contexts: list[Property] = []
    for entry in objects(content, "contexts"):
        context = dict(mapping(entry, "context"))
        if entry.get("name") == current and settings.cluster:
            context["cluster"] = settings.cluster
        contexts.append({**entry, "context": context})
    return {**content, "current-context": current, "contexts": contexts}


def _context(content: Object, overrides: Mapping[str, Property]) -> Object | None:
    current = overrides.get("context") or content.get("current-context")
    found = [item for item in objects(content, "contexts") if item.get("name") == current]
    return mapping(found[0], "context") if found else None


def _cluster(content: Object, overrides: Mapping[str, Property]) -> Object | None:
    selected = overrides.get("cluster") or dig(_context(content, overrides), "cluster")
    found = [item for item in objects(content, "clusters") if item.get("name") == selected]
    return mapping(found[0], "cluster") if found else None


def _load(path_or_content: str) -> tuple[Object, str]:
    """Read a kubeconfig. Errors must not quote its content."""
    one_line = "\n" not in path_or_content and not path_or_content.lstrip().startswith("{")
    path = Path(path_or_content).expanduser() if one_line else None
    try:
        if path is not None and path.is_file():
            return _parse(path.read_text(), f"the kubeconfig {path}"), str(path.parent.resolve())
    except OSError as error:
        raise PluginError(f"the kubeconfig {path} can't be read: {error.strerror}") from error
    if path is not None and ":" not in path_or_content:
        raise PluginError(f"kubernetes:kubeconfig: {path} is not a file; {SUGGESTION}")
    return _parse(path_or_content, "kubernetes:kubeconfig"), os.getcwd()


def _parse(content: str, what: str) -> Object:
    try:
        loaded = json.loads(content) if content.lstrip().startswith("{") else yaml.load(content, _LOADER)  # noqa: S506  # the C form of the safe loader
    except (ValueError, yaml.YAMLError):
        raise PluginError(f"{what} is neither YAML nor JSON; correct it") from None  # the cause quotes it
    if not isinstance(loaded, dict):
        raise PluginError(f"{what} is not a kubeconfig: it must be a mapping with clusters, contexts and users")
    return loaded


def _ambient() -> tuple[Object, str]:
    paths = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    present = [path for path in paths or [DEFAULT_PATH.expanduser()] if path.is_file()]
    if paths and not present:
        raise PluginError(f"KUBECONFIG: {paths[0]} is not a file; {SUGGESTION}")
    if len(present) > 1:
        return _merged(present), ""
    return _load(str(present[0])) if present else ({}, "")


def _merged(paths: Sequence[Path]) -> Object:
    """Merge kubeconfigs: for each name and each other key, the first file wins."""
    merged: Object = {}
    for path in paths:
        content, folder = _load(str(path))
        for key, value in content.items():
            if isinstance(value, list):
                known = objects(merged, key)
                new = [
                    entry for entry in objects(content, key) if entry.get("name") not in {e.get("name") for e in known}
                ]
                merged[key] = [*known, *(_absolute(entry, folder) for entry in new)]
            else:
                merged[key] = merged.get(key) or value
    return merged


def _absolute(entry: Object, folder: str) -> Object:
    """Return an entry with absolute paths to its files."""
    return {
        part: {key: os.path.join(folder, text(fields, key)) if key in FILES else value for key, value in fields.items()}
        if isinstance(fields, dict)
        else fields
        for part, fields in entry.items()
    }


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
