"""Objects that most workloads need: service accounts, Services, volumes, ConfigMaps and disruption budgets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Workload
from components.kubernetes.names import content_name, protocol

SKIP_AWAIT: Mapping[str, str] = {"pulumi.com/skipAwait": "true"}
"""For a Service or a volume: dependents wait for the pods behind it instead. Pulumi waits about ten seconds for a
Service's endpoints to settle, and a volume may stay unbound until a pod uses it."""


@dataclass(frozen=True)
class Scope:
    """The workload that objects belong to, and the options of the component's children."""

    workload: Workload
    opts: pulumi.ResourceOptions

    def options(self, own: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options of a child, merged with additional ones."""
        return pulumi.ResourceOptions.merge(self.opts, own)

    def in_namespace(self, namespace: str) -> "Scope":
        """The same workload, for objects that must be in the namespace of others, such as that of a gateway."""
        installation = replace(self.workload.installation, namespace=namespace)
        return replace(self, workload=replace(self.workload, installation=installation))


def child_options(parent: pulumi.Resource, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Options of a component's children. They wait for everything that the component depends on.

    Pulumi alone would create the children at once.
    """
    return pulumi.ResourceOptions(parent=parent, depends_on=opts.depends_on if opts else None)


def service_account(scope: Scope, annotations: Mapping[str, str] | None = None) -> k8s.core.v1.ServiceAccount:
    """The service account of a workload, without permissions in the cluster and without a token.

    Annotations may give it an identity in the cloud. The cloud's webhook mounts that token, which does not depend on
    the account's own (github.com/aws/amazon-eks-pod-identity-webhook).
    """
    return k8s.core.v1.ServiceAccount(
        scope.workload.resource_name,
        metadata=scope.workload.metadata(annotations=annotations),
        automount_service_account_token=False,
        opts=scope.opts,
    )


def service(scope: Scope, ports: Mapping[str, int], *, headless: bool = False) -> k8s.core.v1.Service:
    """A Service that is reachable inside the cluster only.

    Args:
        scope: The workload whose pods it selects.
        ports: Port by name. The prefix tells the protocol (`http-`, `tcp-`, `udp-`), also to a mesh.
        headless: Publishes a DNS name for each pod of a StatefulSet, also before the pod is ready.
    """
    workload = scope.workload
    name = workload.headless_name if headless else workload.resource_name
    spec: k8s.core.v1.ServiceSpecArgsDict = {
        "type": "ClusterIP",
        "selector": workload.selector,
        "ports": [
            {"name": key, "port": port, "target_port": port, "protocol": protocol(key)} for key, port in ports.items()
        ],
    }
    if headless:
        spec["cluster_ip"] = "None"
        spec["publish_not_ready_addresses"] = True
    return k8s.core.v1.Service(name, metadata=workload.metadata(name, SKIP_AWAIT), spec=spec, opts=scope.opts)


def volume_claim(scope: Scope, storage: str, *, name: str | None = None) -> k8s.core.v1.PersistentVolumeClaim:
    """The volume of one replica of a store. It is not part of the StatefulSet, so it outlives it and grows in place.

    Args:
        scope: The workload that uses it.
        storage: Its size. A volume never shrinks.
        name: The name that the StatefulSet expects; `<workload>-data` if not given.
    """
    installation = scope.workload.installation
    name = name or f"{scope.workload.resource_name}-data"
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if installation.storage_class:
        spec["storage_class_name"] = installation.storage_class
    # The class of a volume can't change: another class would mean a new volume without the data.
    own = installation.stateful(pulumi.ResourceOptions(ignore_changes=["spec.storageClassName"]))
    return k8s.core.v1.PersistentVolumeClaim(
        name, metadata=scope.workload.metadata(name, SKIP_AWAIT), spec=spec, opts=scope.options(own)
    )


def config_map(scope: Scope, role: str, data: Mapping[str, str]) -> k8s.core.v1.ConfigMap:
    """An immutable ConfigMap that is named after its content, so that a change restarts the pods that mount it.

    The Pulumi resource has the same name. New content is therefore a new resource, and the old one is deleted at the
    end of the update. As a replacement of one resource, the ConfigMap that a failed update left behind would block the
    way back to its content ("already exists").
    """
    name = content_name(f"{scope.workload.resource_name}-{role}", data)
    return k8s.core.v1.ConfigMap(
        name, metadata=scope.workload.metadata(name), data=dict(data), immutable=True, opts=scope.opts
    )


def disruption_budget(scope: Scope, replicas: int) -> None:
    """Allows a node drain to evict one pod at a time. A single replica gets none, because it would change nothing.

    Args:
        scope: The workload.
        replicas: Its number of pods, or the maximum of its autoscaler: with several pods, a drain could evict all that
            are on its node.
    """
    if replicas == 1:
        return
    workload = scope.workload
    k8s.policy.v1.PodDisruptionBudget(
        workload.resource_name,
        metadata=workload.metadata(),
        spec={
            "max_unavailable": 1,
            "selector": {"match_labels": workload.selector},
            "unhealthy_pod_eviction_policy": "AlwaysAllow",
        },
        opts=scope.opts,
    )


def custom_resource(
    scope: Scope,
    api_version: str,
    kind: str,
    spec: Mapping[str, object],
    *,
    name: str | None = None,
    resource_name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> k8s.apiextensions.CustomResource:
    """An object of a kind that an operator or a mesh defines.

    Args:
        scope: The workload it belongs to.
        api_version: Group and version, for example `security.istio.io/v1`.
        kind: Its kind.
        spec: Its specification.
        name: Its name; the workload's if not given.
        resource_name: The name of the Pulumi resource; `name` if not given.
        annotations: Annotations, if any.
        opts: Options in addition to the scope's.
    """
    name = name or scope.workload.resource_name
    return k8s.apiextensions.CustomResource(
        resource_name or name,
        api_version=api_version,
        kind=kind,
        metadata=scope.workload.metadata(name, annotations),
        spec=dict(spec),
        opts=scope.options(opts) if opts else scope.opts,
    )
