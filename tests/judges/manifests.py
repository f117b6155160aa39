"""The manifests that the program passes to the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tests.unit.program import recorded

Manifest = dict[str, Any]  # a Kubernetes object of any kind


def manifests(stack: str, config: Mapping[str, object] | None = None) -> list[Manifest]:
    """Every object of a stack. Objects without a name get one, as from the provider."""
    found = []
    for one in recorded(stack, config).resources:
        if one.type.startswith("kubernetes:"):
            metadata = {"name": one.name, **one.inputs.get("metadata", {})}
            found.append({**one.inputs, "metadata": metadata})
    return found


def as_yaml(objects: list[Manifest]) -> str:
    """The manifests as one YAML file."""
    return yaml.safe_dump_all(objects, sort_keys=False)
