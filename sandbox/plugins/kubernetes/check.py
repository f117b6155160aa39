"""Completes the inputs of a resource before they are stored: name, namespace, normal form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import naming, objects
from sandbox.plugins.kubernetes.checkpoint import to_object
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.normalize import normalize
from sandbox.plugins.kubernetes.objects import Kind, Object
from sandbox.plugins.properties import Property
from sandbox.plugins.protocol import unsupported
from sandbox.plugins.pulumirpc import provider_pb2

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENTS: Final = ("helm.sh", "yaml", "kustomize")
PATCH: Final = "Patch"


def refuse_unsupported(token: str, inputs: Mapping[str, Property]) -> None:
    """Raise an error for features of the official provider that the stand-in lacks."""
    module, _, kind = token.partition(":")[2].partition(":")
    if module.partition("/")[0] in COMPONENTS:
        raise unsupported(f"{token} (a Helm, Kustomize or YAML component)")
    if kind.endswith(PATCH) and inputs.get("kind") == kind.removesuffix(PATCH):
        raise unsupported(f"{token} (a Patch resource)")
    if kind.endswith("List") and "items" in inputs:
        raise PluginError(
            f"{token}: list resources exist for compatibility with YAML manifests and Helm charts, and cannot be "
            "created directly. Use the underlying resource type instead"
        )


def complete(
    cluster: Cluster, request: provider_pb2.CheckRequest, token: str, olds: Mapping[str, Property], news: Object
) -> Object:
    """Return the inputs in the form that is stored and compared."""
    kind = Kind.from_token(token)
    news.setdefault("apiVersion", kind.api_version)
    news.setdefault("kind", kind.kind)
    inputs, old_inputs = normalize(news), to_object(olds)
    if not isinstance(inputs.setdefault("metadata", {}), dict):
        return inputs  # the metadata is unknown
    if old_inputs:
        naming.keep_old_name(inputs, old_inputs)
    engine = request.autonaming if request.HasField("autonaming") else None
    resource_name = request.name or request.urn.split("::", 3)[-1]
    naming.autoname(inputs, resource_name, request.randomSeed, engine)
    if naming.has_generate_name(inputs):
        _refuse_generate_name(cluster)
    if not cluster.settings.server_side_apply and (not old_inputs or _is_labelled(old_inputs)):
        _label(inputs)
    if objects.dig(inputs, "metadata", "namespace") in (None, "") and cluster.namespaced(kind):
        objects.put_metadata(inputs, "namespace", cluster.default_namespace)
    if kind.kind == "CustomResourceDefinition":
        cluster.scopes.declare(inputs)
    return inputs


def _refuse_generate_name(cluster: Cluster) -> None:
    if cluster.settings.render_directory:
        raise PluginError("the `.metadata.generateName` field is not supported in YAML rendering mode")
    if cluster.settings.server_side_apply:
        raise PluginError("the `.metadata.generateName` field is not supported in Server-Side Apply mode")


def _is_labelled(obj: Object) -> bool:
    return objects.text(obj, "metadata", "labels", MANAGED_BY) == "pulumi"


def _label(obj: Object) -> None:
    labels = objects.mapping(obj, "metadata").setdefault("labels", {})
    if isinstance(labels, dict):
        labels[MANAGED_BY] = "pulumi"
