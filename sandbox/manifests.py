"""Kubernetes manifests from pinned Go modules: CRDs of other projects, and the stages with which kwok acts as kubelet.

They are copied to the cache once; a later start needs neither Go nor a network. The descriptions of fields are removed
from the CRDs. They are two thirds of the text, and only `kubectl explain` shows them. Without them the API server loads
the CRDs in half the time and needs 90 MiB less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import cache, golang, pins, toolchain
from sandbox.progress import Progress

FORMAT = "2"  # part of the cache key; increase it when `_write` changes

# Without the stages for random failures ("chaos") and for volumes, which sandbox.storage provisions.
KWOK_STAGES = (
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "kustomize/stage/pod/fast/pod-ready.yaml",
    "kustomize/stage/pod/fast/pod-complete.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
)

# module -> its CustomResourceDefinitions, without the generators of External Secrets
CRDS = {
    "istio.io/api": "kubernetes/customresourcedefinitions.gen.yaml",
    "github.com/external-secrets/external-secrets": "config/crds/bases/external-secrets.io_*.yaml",
    "github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd/*.yaml",
    "github.com/kedacore/keda/v2": "config/crd/bases/*.yaml",
    "github.com/cert-manager/cert-manager": "deploy/crds/*.yaml",
    "sigs.k8s.io/gateway-api": "config/crd/standard/*.yaml",
    "github.com/traefik/traefik/v3": "docs/content/reference/dynamic-configuration/traefik.io_middlewares.yaml",
}

# Kinds that deploy and configure Prometheus and Alertmanager themselves. They are two fifths of the text of all CRDs,
# and applications need none of them: they are monitored with the others (ServiceMonitor, PodMonitor, PrometheusRule).
LEFT_OUT = frozenset(
    {"alertmanagerconfigs", "alertmanagers", "prometheusagents", "prometheuses", "scrapeconfigs", "thanosrulers"}
)

Manifest = dict[str, Any]  # a Kubernetes object


@dataclass(frozen=True)
class Manifests:
    """The files in the cache. `crds` is a JSON list of CustomResourceDefinitions."""

    crds: Path
    kwok: Path

    def read_crds(self) -> list[Manifest]:
        """Read the CustomResourceDefinitions."""
        definitions: list[Manifest] = json.loads(self.crds.read_text())
        return definitions


def ensure() -> Manifests:
    """Return the manifests; create them from the Go modules if the cache does not have them."""
    folder = cache.root() / "tools" / f"manifests-{pins.key('crds', pins.key('kwok'), FORMAT)}"
    manifests = Manifests(folder / "crds.json", folder / "kwok.yaml")
    if not folder.exists():
        with cache.disk_errors_explained("preparing the manifests"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with toolchain.locked(), Progress(1).step("CRDs and kwok stages"):
                if not folder.exists():  # another checkout may have created them meanwhile
                    with cache.published(folder) as partial:
                        _write(golang.find() or golang.fetch(), partial)
    return manifests


def _write(go: golang.Go, folder: Path) -> None:
    import yaml  # noqa: PLC0415  # only the first run needs it

    class Loader(yaml.CSafeLoader):
        """Reads a bare `=` as a string, as Kubernetes does; YAML 1.1 has a separate type for it."""

    def text(_: Loader, node: yaml.Node) -> str:
        return str(node.value)

    Loader.add_constructor("tag:yaml.org,2002:value", text)

    crds = [
        without_descriptions(manifest)
        for module, pattern in CRDS.items()
        for file in sorted(_module(go, "crds", module).glob(pattern))
        for manifest in yaml.load_all(file.read_text(), Loader)
        if manifest
        and manifest["kind"] == "CustomResourceDefinition"
        and manifest["spec"]["names"]["plural"] not in LEFT_OUT
    ]
    (folder / "crds.json").write_text(json.dumps(crds))
    kwok = _module(go, "kwok", "sigs.k8s.io/kwok")
    (folder / "kwok.yaml").write_text("\n---\n".join((kwok / stage).read_text() for stage in KWOK_STAGES))


def without_descriptions(manifest: Manifest) -> Manifest:
    """A CRD without descriptions. A field named "description" stays: its value is a schema, not a string."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {
                key: strip(item) for key, item in value.items() if key != "description" or not isinstance(item, str)
            }
        return [strip(item) for item in value] if isinstance(value, list) else value

    return {key: strip(item) for key, item in manifest.items() if key != "status"}


def _module(go: golang.Go, folder: str, module: str) -> Path:
    return go.module_folder(module, pins.module_version(folder, module), pins.TOOLS / folder)


def served(crds: list[Manifest]) -> Iterator[tuple[str, str, str]]:
    """(group, version, plural) of all resources that the API server serves for these CRDs."""
    for crd in crds:
        spec = crd["spec"]
        for version in spec["versions"]:
            if version["served"]:
                yield spec["group"], version["name"], spec["names"]["plural"]
