"""The namespace of an installation. It admits restricted pods only."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.network.mesh import MESH_LABELS
from components.schema.environment import Settings

POD_SECURITY_VERSION = "v1.30"
"""The oldest supported Kubernetes. An API server must know the version of the standard that it enforces."""


class Namespace(pulumi.ComponentResource):
    """The namespace. It contains all objects of one installation and nothing else.

    With `createNamespace: false`, the namespace is only read, so an update fails at once if it does not exist. If the
    stack created the namespace before, it stops managing it and does not delete it.
    """

    resource: k8s.core.v1.Namespace

    def __init__(self, name: str, installation: Installation, settings: Settings, opts: pulumi.ResourceOptions) -> None:
        super().__init__("langfuse:index:Namespace", name, {"namespace": installation.namespace}, opts)
        child = child_options(self, opts)
        if settings.create_namespace:
            self.resource = _namespace(installation, MESH_LABELS[settings.mesh_mode], child)
        else:
            self.resource = k8s.core.v1.Namespace.get(installation.namespace, installation.namespace, child)
        self.register_outputs({"namespace": installation.namespace})


def _namespace(
    installation: Installation, mesh_labels: Mapping[str, str], opts: pulumi.ResourceOptions
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
                **mesh_labels,
            },
        },
        opts=installation.stateful(opts),
    )
