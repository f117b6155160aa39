"""Mesh membership of namespaces."""

from collections.abc import Iterator
from typing import Literal

from langfuse_policies.facts.resources import Resource, Stack


def mode_of(namespace: Resource) -> Literal["sidecar", "ambient"] | None:
    """How the pods of a namespace join the mesh; None when they do not, or it is unknown."""
    labels = namespace.metadata["labels"]
    if labels["istio.io/dataplane-mode"].equals("ambient"):
        return "ambient"
    enabled = labels["istio-injection"].equals("enabled") or labels["istio.io/rev"].present
    return "sidecar" if enabled and not labels["istio-injection"].equals("disabled") else None


def meshed(stack: Stack) -> Iterator[Resource]:
    """The namespaces that are in the mesh."""
    return (namespace for namespace in stack.of("core/Namespace") if mode_of(namespace))
