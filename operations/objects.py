"""Objects of Kubernetes by their names."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def named_object(api_version: str, kind: str, name: str, namespace: str | None = None) -> Json:
    """What names an object, as `Cluster.get` and `Cluster.delete` take it. Without a namespace: one of the cluster."""
    metadata = {"name": name, **({"namespace": namespace} if namespace is not None else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
