"""The Kubernetes provider."""

import pulumi
import pulumi_kubernetes as k8s

from components.schema.environment import Settings
from components.settings import kubeconfig


def cluster_provider(settings: Settings, parent: pulumi.Resource) -> k8s.Provider:
    """The only Kubernetes provider, so that no object is created in the cluster of the shell's default context.

    The identifier represents the cluster: as long as it stays the same, another context or kubeconfig replaces nothing
    (DiffConfig of pulumi-kubernetes). Its changes are ignored, because a state may contain an older identifier, and a
    new one would replace the provider and every object with it. `python -m operations preview` reports a context that
    points to another cluster.

    An update takes fields that the program sets back from other managers, for example `kubectl scale`, instead of
    failing with a conflict. ConfigMaps are immutable and replaced, except for Keeper's, which rereads its file while it
    runs.
    """
    return k8s.Provider(
        "cluster",
        cluster_identifier=settings.instance,
        context=settings.cluster.context,
        enable_config_map_mutable=True,
        enable_patch_force=True,
        enable_secret_mutable=True,
        enable_server_side_apply=True,
        kubeconfig=kubeconfig.for_provider(settings.cluster),
        opts=pulumi.ResourceOptions(parent=parent, ignore_changes=["clusterIdentifier"]),
    )
