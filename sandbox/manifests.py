"""Kubernetes manifests out of pinned Go modules: other projects' CRDs, and the rules by which kwok plays a kubelet.

They are copied to the cache once, so that a later start needs neither Go nor a network. The descriptions of the CRDs'
fields are left out: they are two thirds of the text, and only `kubectl explain` shows them; without them the API server
takes the CRDs in half the time and needs 90 MiB less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import cache, golang, pins, toolchain
from sandbox.progress import Steps

FORMAT = "1"  # raise it when `_write` changes: it is part of the cache's key

# Stages of the folder "chaos" (random failures) and of volumes (we have a provisioner) are left out.
KWOK_STAGES = (
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "kustomize/stage/pod/fast/pod-ready.yaml",
    "kustomize/stage/pod/fast/pod-complete.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
)

# module -> where its CustomResourceDefinitions are; External Secrets' generators are left out
CRDS = {
    "istio.io/api": "kubernetes/customresourcedefinitions.gen.yaml",
    "github.com/external-secrets/external-secrets": "config/crds/bases/external-secrets.io_*.yaml",
    "github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd/*.yaml",
    "github.com/kedacore/keda/v2": "config/crd/bases/*.yaml",
    "github.com/cert-manager/cert-manager": "deploy/crds/*.yaml",
}

Manifest = dict[str, Any]  # a Kubernetes object as JSON has it: of any shape


@dataclass(frozen=True)
class Manifests:
    """The files in the cache. `crds` is a JSON list of CustomResourceDefinitions."""

    crds: Path
    kwok: Path

    def read_crds(self) -> list[Manifest]:
        """Every CustomResourceDefinition, ready to be posted."""
        definitions: list[Manifest] = json.loads(self.crds.read_text())
        return definitions


def ensure() -> Manifests:
    """The manifests, from the cache or else from the Go modules."""
    folder = cache.root() / "tools" / f"manifests-{pins.key('crds', pins.key('kwok'), FORMAT)}"
    manifests = Manifests(folder / "crds.json", folder / "kwok.yaml")
    if not folder.exists():
        with cache.disk_errors_explained("preparing the manifests"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with toolchain.locked(), Steps(1).step("CRDs and kwok stages"):
                if not folder.exists():  # else another checkout made them while we waited
                    with cache.published(folder) as partial:
                        _write(golang.find() or golang.fetch(), partial)
    return manifests


def _write(go: golang.Go, folder: Path) -> None:
    import yaml  # noqa: PLC0415  # only ever needed once

    class Loader(yaml.CSafeLoader):
        """Reads a bare `=` as text, as Kubernetes does; YAML 1.1 has a type of its own for it."""

    def text(_: Loader, node: yaml.Node) -> str:
        return str(node.value)

    Loader.add_constructor("tag:yaml.org,2002:value", text)

    crds = [
        without_descriptions(manifest)
        for module, pattern in CRDS.items()
        for file in sorted(_module(go, "crds", module).glob(pattern))
        for manifest in yaml.load_all(file.read_text(), Loader)
        if manifest and manifest["kind"] == "CustomResourceDefinition"
    ]
    (folder / "crds.json").write_text(json.dumps(crds))
    kwok = _module(go, "kwok", "sigs.k8s.io/kwok")
    (folder / "kwok.yaml").write_text("\n---\n".join((kwok / stage).read_text() for stage in KWOK_STAGES))


def without_descriptions(manifest: Manifest) -> Manifest:
    """A CRD without prose. A field that is itself called "description" has a schema, not a text, and stays."""

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
    """(group, version, plural) of everything that these CRDs make the API server serve."""
    for crd in crds:
        spec = crd["spec"]
        for version in spec["versions"]:
            if version["served"]:
                yield spec["group"], version["name"], spec["names"]["plural"]
