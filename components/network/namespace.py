"""The namespace of one installation, which refuses any pod that is not restricted."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation

POD_SECURITY_VERSION = "v1.30"
"""The oldest Kubernetes supported: its API server knows the version of the standard that it is asked to enforce."""


class Namespace(pulumi.ComponentResource):
    """Holds everything of one installation and nothing else.

    One that was there already is only looked up, which tells before anything is made that it is missing. A stack that
    once made it lets go of it then, and deletes nothing.
    """

    resource: k8s.core.v1.Namespace

    def __init__(
        self,
        name: str,
        installation: Installation,
        opts: pulumi.ResourceOptions | None = None,
        *,
        create: bool,
        mesh_labels: Mapping[str, str],
    ) -> None:
        super().__init__("langfuse:index:Namespace", name, {"namespace": installation.namespace}, opts)
        child = pulumi.ResourceOptions(parent=self)
        if create:
            self.resource = self._own(installation, mesh_labels, child)
        else:
            self.resource = k8s.core.v1.Namespace.get(installation.namespace, installation.namespace, child)
        self.register_outputs({"namespace": installation.namespace})

    def _own(
        self, installation: Installation, mesh_labels: Mapping[str, str], child: pulumi.ResourceOptions
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
            opts=installation.stateful(child),
        )
