"""What every component of one installation has in common, and the small objects that most of them need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.labels import Workload, content_name

SKIP_AWAIT: Mapping[str, str] = {"pulumi.com/skipAwait": "true"}
"""For a Service or a volume: what depends on it waits for the pods behind it. A Service's endpoints are given about ten
seconds to settle, and a volume may be bound only once a pod uses it."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation of Langfuse: a stack, its namespace and how carefully its data is kept."""

    instance: str
    """For example `langfuse-dev`: label, and prefix of bucket names."""
    namespace: str
    protect: bool
    """Whether Pulumi refuses to delete what holds data."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of everything: which kind of environment it belongs to, and who answers for it."""
    storage_class: str | None = None
    """Of new volumes; the cluster's default if not given."""

    def workload(self, name: str, *, component: str, version: str) -> Workload:
        """A workload of this installation."""
        return Workload(instance=self.instance, name=name, component=component, version=version, common=self.labels)

    def metadata(
        self,
        workload: Workload,
        *,
        name: str,
        annotations: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Metadata of an object that belongs to a workload.

        Args:
            workload: Gives the labels.
            name: Its name. Pulumi would add random characters to one of its own, and an update that is tried again
                after an interruption would not find the object that the first try made.
            annotations: Annotations, if any.
        """
        result: k8s.meta.v1.ObjectMetaArgsDict = {
            "name": name,
            "namespace": self.namespace,
            "labels": workload.labels,
        }
        if annotations:
            result["annotations"] = dict(annotations)
        return result

    def stateful(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """Options of a child that holds data.

        Where it is protected, the engine refuses to replace or delete it and says so; `pulumi state unprotect` lets
        one run through, after which it is protected again.
        """
        own = pulumi.ResourceOptions(protect=self.protect, retain_on_delete=self.protect)
        return pulumi.ResourceOptions.merge(opts, own)


def child_options(parent: pulumi.Resource, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Options of a component's children: they wait for what the component was told to wait for.

    Pulumi itself lets children of a component start at once.
    """
    return pulumi.ResourceOptions(parent=parent, depends_on=opts.depends_on if opts else None)


def service_account(
    installation: Installation,
    workload: Workload,
    opts: pulumi.ResourceOptions,
    annotations: Mapping[str, str] | None = None,
) -> k8s.core.v1.ServiceAccount:
    """The workload's own account: no rights in the cluster, no token for it.

    Annotations may give it an identity outside: the token for that is mounted by the cloud's webhook, which doesn't
    depend on the account's own (github.com/aws/amazon-eks-pod-identity-webhook).
    """
    return k8s.core.v1.ServiceAccount(
        workload.resource_name,
        metadata=installation.metadata(workload, name=workload.resource_name, annotations=annotations),
        automount_service_account_token=False,
        opts=opts,
    )


def service(
    installation: Installation,
    workload: Workload,
    ports: Mapping[str, int],
    opts: pulumi.ResourceOptions,
    *,
    headless: bool = False,
) -> k8s.core.v1.Service:
    """A Service inside the cluster.

    Args:
        installation: Gives the namespace.
        workload: Whose pods it reaches.
        ports: Port by name. The prefix tells a mesh the protocol (`http-`, `tcp-`).
        opts: Resource options.
        headless: Gives each pod of a StatefulSet a name of its own, also before it is ready.
    """
    name = f"{workload.resource_name}-headless" if headless else workload.resource_name
    spec: k8s.core.v1.ServiceSpecArgsDict = {
        "type": "ClusterIP",
        "selector": workload.selector,
        "ports": [{"name": key, "port": port, "target_port": port, "protocol": "TCP"} for key, port in ports.items()],
    }
    if headless:
        spec["cluster_ip"] = "None"
        spec["publish_not_ready_addresses"] = True
    return k8s.core.v1.Service(
        name, metadata=installation.metadata(workload, name=name, annotations=SKIP_AWAIT), spec=spec, opts=opts
    )


def volume_claim(
    installation: Installation,
    workload: Workload,
    storage: str,
    opts: pulumi.ResourceOptions,
    *,
    name: str | None = None,
) -> k8s.core.v1.PersistentVolumeClaim:
    """The volume of one replica of a store, apart from its StatefulSet: it outlives it and grows in place.

    Args:
        installation: Gives the namespace, and whether data is protected.
        workload: Whose volume it is.
        storage: Its size. A volume never shrinks.
        opts: Resource options.
        name: What the StatefulSet expects; `<workload>-data` if it doesn't care.
    """
    name = name or f"{workload.resource_name}-data"
    return k8s.core.v1.PersistentVolumeClaim(
        name,
        metadata=installation.metadata(workload, name=name, annotations=SKIP_AWAIT),
        spec=claim_spec(installation, storage),
        # A volume can't change its class: another one would be a new volume, without the data.
        opts=pulumi.ResourceOptions.merge(
            installation.stateful(opts), pulumi.ResourceOptions(ignore_changes=["spec.storageClassName"])
        ),
    )


def claim_spec(installation: Installation, storage: str) -> k8s.core.v1.PersistentVolumeClaimSpecArgsDict:
    """What a volume is asked to be."""
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if installation.storage_class:
        spec["storage_class_name"] = installation.storage_class
    return spec


def config_map(
    installation: Installation, workload: Workload, role: str, data: Mapping[str, str], opts: pulumi.ResourceOptions
) -> k8s.core.v1.ConfigMap:
    """An immutable ConfigMap whose name follows from its content, so that a change rolls the pods that mount it.

    The Pulumi resource has the same name: another content is another resource, and the old one is deleted at the end of
    the update. If it were a replacement, what an update that failed left of the former content would be in the way of
    going back to it ("already exists").
    """
    name = content_name(f"{workload.resource_name}-{role}", data)
    return k8s.core.v1.ConfigMap(
        name,
        metadata=installation.metadata(workload, name=name),
        data=dict(data),
        immutable=True,
        opts=opts,
    )


def disruption_budget(
    installation: Installation, workload: Workload, replicas: int, opts: pulumi.ResourceOptions
) -> k8s.policy.v1.PodDisruptionBudget | None:
    """Lets a node drain take one pod at a time. None for a single replica: it would only block the drain."""
    if replicas == 1:
        return None
    return k8s.policy.v1.PodDisruptionBudget(
        workload.resource_name,
        metadata=installation.metadata(workload, name=workload.resource_name),
        spec={
            "max_unavailable": 1,
            "selector": {"match_labels": workload.selector},
            "unhealthy_pod_eviction_policy": "AlwaysAllow",
        },
        opts=opts,
    )
