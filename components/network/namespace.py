"""The namespace of an installation. It admits restricted pods only."""

import json
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.network.mesh import mesh_labels
from components.schema.environment import PROJECT, Settings

POD_SECURITY_VERSION = "v1.30"
"""The oldest supported Kubernetes. An API server must know the version of the standard that it enforces."""


class Namespace(pulumi.ComponentResource):
    """The namespace. It contains all objects of one installation and nothing else.

    With `createNamespace: false`, the namespace is only read, so an update fails at once if it does not exist. If the
    stack created the namespace before, it stops managing it and does not delete it.
    """

    ready: pulumi.Input[pulumi.Resource]
    """The namespace. An existing one counts only after its labels are checked: nothing is created in it before."""

    def __init__(self, name: str, installation: Installation, settings: Settings, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:Namespace", name, {"namespace": installation.namespace}, opts)
        child = child_options(self, opts)
        if settings.create_namespace:
            self.ready = _namespace(installation, mesh_labels(settings), child)
        else:
            self.ready = _existing(installation, settings, child)
        self.register_outputs({"namespace": installation.namespace})


def _existing(
    installation: Installation, settings: Settings, opts: pulumi.ResourceOptions
) -> pulumi.Output[pulumi.Resource]:
    found = k8s.core.v1.Namespace.get(installation.namespace, installation.namespace, opts)

    def checked(labels: Mapping[str, str] | None) -> pulumi.Resource:
        check_labels(settings, labels or {})
        return found

    return found.metadata.labels.apply(checked)


def check_labels(settings: Settings, labels: Mapping[str, str]) -> None:
    """Check that the pods of an existing namespace join the mesh of the configuration.

    Otherwise, they would run outside of it: no rule of the mesh would apply, and no message would say so. Where
    several labels contradict each other, Istio's order applies: `istio-injection` comes before `istio.io/rev`
    (istio.io/latest/docs/setup/additional-setup/sidecar-injection).

    Raises:
        pulumi.RunError: With the label that is missing, and how to set it.
    """
    name, mode = settings.namespace, settings.mesh_mode
    fix = f"or set {PROJECT}:mesh.mode to none"
    any_revision = mode == "sidecar" and not settings.mesh.revision and labels.get("istio-injection") != "disabled"
    if any_revision and ("istio-injection" in labels or "istio.io/rev" in labels):
        return
    for key, value in mesh_labels(settings).items():
        if labels.get(key) != value:
            raise pulumi.RunError(
                f"{PROJECT}:namespace: {json.dumps(name)} does not have the label {key}={value}, so its pods would run "
                f"outside the mesh; run `kubectl label namespace {name} {key}={value} --overwrite`, {fix}"
            )
    if settings.mesh.revision and "istio-injection" in labels:
        raise pulumi.RunError(
            f"{PROJECT}:namespace: {json.dumps(name)} has the label istio-injection, which overrides istio.io/rev; run "
            f"`kubectl label namespace {name} istio-injection-`, {fix}"
        )


def _namespace(
    installation: Installation, labels: Mapping[str, str], opts: pulumi.ResourceOptions
) -> k8s.core.v1.Namespace:
    standard = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", POD_SECURITY_VERSION))
    }
    return k8s.core.v1.Namespace(
        installation.namespace,
        metadata={
            "name": installation.namespace,
            "labels": {
                **installation.labels,
                "app.kubernetes.io/instance": installation.instance,
                "app.kubernetes.io/managed-by": "pulumi",
                "app.kubernetes.io/part-of": "langfuse",
                **standard,
                **labels,
            },
        },
        opts=installation.stateful(opts),
    )
