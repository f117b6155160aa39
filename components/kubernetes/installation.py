"""An installation and its workloads: names, labels, metadata and resource options. Pure functions of the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.schema.cluster import PriorityClasses, Users
from components.schema.environment import Settings
from components.schema.image_settings import Images


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation of Langfuse: a stack and its namespace."""

    instance: str
    """For example `langfuse-dev`. It is a label, and the prefix of bucket names."""
    namespace: str
    protect: bool
    """Whether Pulumi refuses to delete resources that hold data."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of every object: the profile of the environment and the team that owns it."""
    storage_class: str | None = None
    """StorageClass of new volumes. None selects the cluster's default."""
    memory_per_cpu: str | None = None
    """Memory that the cluster allows for each core that a pod requests. None for any."""
    users: Users = "image"
    """Who chooses the user and group IDs of containers."""
    priority_classes: PriorityClasses = field(default_factory=PriorityClasses)
    """PriorityClasses of pods."""
    images: Images = field(default_factory=Images)
    """Where the images of pods come from."""
    ca: str | None = None
    """Certificates of private CAs that programs trust, in PEM."""

    @classmethod
    def of(cls, settings: Settings) -> "Installation":
        """The installation that the settings describe."""
        return cls(
            instance=settings.instance,
            namespace=settings.namespace,
            protect=settings.protect,
            labels={"environment": settings.profile, "owner": settings.owner},
            storage_class=settings.cluster.storage_class,
            memory_per_cpu=settings.cluster.memory_per_cpu,
            users=settings.cluster.users,
            priority_classes=settings.cluster.priority_classes,
            images=settings.images,
            ca=settings.network.ca,
        )

    def workload(self, name: str, *, component: str, version: str | None = None) -> "Workload":
        """A workload of this installation."""
        return Workload(installation=self, name=name, component=component, version=version)

    def stateful(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """Options of a resource that holds data.

        If it is protected, the engine refuses to replace or delete it. `pulumi state unprotect` allows that once; the
        next update protects it again.
        """
        own = pulumi.ResourceOptions(protect=self.protect, retain_on_delete=self.protect)
        return pulumi.ResourceOptions.merge(opts, own)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One workload of an installation, and the labels that select its pods.

    Labels are the recommended set of kubernetes.io/docs/concepts/overview/working-with-objects/common-labels.
    """

    installation: Installation
    name: str
    """The program, for example `postgres`. It is unique in the namespace, which holds a single installation."""
    component: str
    """Its role in the architecture, for example `database`."""
    version: str | None = None
    """The release that its pods run. None for objects without pods."""

    @property
    def resource_name(self) -> str:
        """The Kubernetes name of the workload and its Service."""
        return f"langfuse-{self.name}"

    @property
    def headless_name(self) -> str:
        """The name of its headless Service."""
        return f"{self.resource_name}-headless"

    @property
    def selector(self) -> dict[str, str]:
        """Labels that never change, because the selector of a Deployment or StatefulSet is immutable."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.installation.instance}

    @property
    def labels(self) -> dict[str, str]:
        """The recommended labels, for every object that belongs to the workload."""
        return {
            **self.installation.labels,
            **self.selector,
            "app.kubernetes.io/component": self.component,
            "app.kubernetes.io/part-of": "langfuse",
            "app.kubernetes.io/managed-by": "pulumi",
        }

    @property
    def pod_labels(self) -> dict[str, str]:
        """Labels of its pods. Only these carry the version, so that a new release changes no other object."""
        return {**self.labels, **({"app.kubernetes.io/version": self.version} if self.version else {})}

    def metadata(
        self, name: str | None = None, annotations: Mapping[str, pulumi.Input[str]] | None = None
    ) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Metadata of an object that belongs to the workload.

        Args:
            name: The object's name; the workload's if not given. It is always explicit: Pulumi would add random
                characters to a generated name, and an update that runs again after an interruption would not find
                the object that the first run created.
            annotations: Annotations, if any.
        """
        result: k8s.meta.v1.ObjectMetaArgsDict = {
            "name": name or self.resource_name,
            "namespace": self.installation.namespace,
            "labels": self.labels,
        }
        if annotations:
            result["annotations"] = dict(annotations)
        return result

    def pod_names(self, replicas: int, *, first: int = 0) -> Sequence[str]:
        """Names that its StatefulSet gives its pods, by ordinal."""
        return [f"{self.resource_name}-{ordinal}" for ordinal in range(first, first + replicas)]

    def host_names(self, replicas: int, *, first: int = 0) -> Sequence[str]:
        """DNS names of its pods, which the headless Service publishes."""
        domain = f"{self.headless_name}.{self.installation.namespace}.svc"
        return [f"{pod}.{domain}" for pod in self.pod_names(replicas, first=first)]
