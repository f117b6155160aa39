"""Builders of restricted pods.

Pure functions that return typed dicts, so that tests read them as tables. Pods satisfy the Pod Security Standard
"restricted" (kubernetes.io/docs/concepts/security/pod-security-standards). In addition they have a read-only root file
system, no service account token, and a request and a limit for every resource.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Workload
from components.kubernetes.names import protocol
from components.kubernetes.trust import trusted_volumes, with_trust
from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema.base import Resources
from components.schema.images import Image
from components.schema.requests import cpu_for_memory

Container = k8s.core.v1.ContainerArgsDict
PodTemplate = k8s.core.v1.PodTemplateSpecArgsDict
Probe = k8s.core.v1.ProbeArgsDict
Volume = k8s.core.v1.VolumeArgsDict


JOB_RESOURCES = Resources(cpu="50m", memory="256Mi", cpu_limit="500m")
"""For short scripts that run a client."""


ASSIGNED_USERS: Mapping[str, str] = {"openshift.io/required-scc": "restricted-v2"}
"""OpenShift admits the pod with this constraint or refuses it (github.com/openshift/apiserver-library-go,
pkg/securitycontextconstraints/sccadmission). Without it, the pods of somebody who may use a constraint with a higher
priority, such as `anyuid`, would run as the user of the image. Elsewhere it has no effect. The policies know by it that
a pod has no IDs on purpose."""


def requirements(resources: Resources) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """A request and a limit for every resource.

    The memory request equals the limit, so a pod is never evicted for using memory that it requested.
    """
    fixed = {"memory": resources.memory, "ephemeral-storage": resources.ephemeral_storage}
    return {"requests": {"cpu": resources.cpu, **fixed}, "limits": {"cpu": resources.cpu_limit, **fixed}}


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A volume and the path where a container mounts it."""

    volume: Volume
    path: str
    read_only: bool = False

    @staticmethod
    def scratch(name: str, path: str, size: str = "64Mi") -> "Mount":
        """An empty directory that lives as long as the pod; `size` counts against ephemeral storage."""
        return Mount(volume={"name": name, "empty_dir": {"size_limit": size}}, path=path)

    @staticmethod
    def claim(name: str, claim: pulumi.Input[str], path: str) -> "Mount":
        """A PersistentVolumeClaim."""
        return Mount(volume={"name": name, "persistent_volume_claim": {"claim_name": claim}}, path=path)

    @staticmethod
    def ephemeral(name: str, path: str, *, size: str, storage_class: str) -> "Mount":
        """A volume of its own for each pod, which Kubernetes deletes together with the pod."""
        claim: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
            "access_modes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storage_class_name": storage_class,
        }
        return Mount(volume={"name": name, "ephemeral": {"volume_claim_template": {"spec": claim}}}, path=path)

    @staticmethod
    def config(name: str, config_map: pulumi.Input[str], path: str, *, executable: bool = False) -> "Mount":
        """Every key of a ConfigMap as a file."""
        mode = 0o555 if executable else 0o444
        return Mount(
            volume={"name": name, "config_map": {"name": config_map, "default_mode": mode}}, path=path, read_only=True
        )

    @staticmethod
    def template(name: str, path: str) -> "Mount":
        """A volume that a StatefulSet's claim template provides for each pod."""
        return Mount(volume={"name": name}, path=path)

    @property
    def from_template(self) -> bool:
        """Whether the StatefulSet provides the volume. The pod must not list it then."""
        return set(self.volume) == {"name"}


TMP = Mount.scratch("tmp", "/tmp")  # noqa: S108  # inside the pod
"""A directory for temporary files."""


def container(  # noqa: PLR0913  # a container has this many independent parts
    name: str,
    image: Image,
    *,
    resources: Resources,
    mounts: Sequence[Mount] = (),
    env: Environment | None = None,
    command: Sequence[str] | None = None,
    args: Sequence[str] | None = None,
    ports: Mapping[str, int] | None = None,
    startup: Probe | None = None,
    readiness: Probe | None = None,
    liveness: Probe | None = None,
    pre_stop: Sequence[str] | None = None,
) -> Container:
    """A restricted container that can write only to its mounts."""
    result: Container = {
        "name": name,
        "image": image.reference,
        "image_pull_policy": "IfNotPresent",
        "resources": requirements(resources),
        "security_context": _security_context(image.uid),
        "volume_mounts": [
            {"name": mount.volume["name"], "mount_path": mount.path, "read_only": mount.read_only} for mount in mounts
        ],
    }
    if env:
        result["env"] = [_variable(key, value) for key, value in env.items()]
    if command is not None:
        result["command"] = list(command)
    if args is not None:
        result["args"] = list(args)
    if ports:
        result["ports"] = [
            {"name": key, "container_port": port, "protocol": protocol(key)} for key, port in ports.items()
        ]
    if startup:
        result["startup_probe"] = startup
    if readiness:
        result["readiness_probe"] = readiness
    if liveness:
        result["liveness_probe"] = liveness
    if pre_stop:
        # No postStart hook: the kubelet publishes no address of the pod while one runs.
        result["lifecycle"] = {"pre_stop": {"exec_": {"command": list(pre_stop)}}}
    return result


def _security_context(uid: int) -> k8s.core.v1.SecurityContextArgsDict:
    return {
        "allow_privilege_escalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "read_only_root_filesystem": True,
        "run_as_group": uid,
        "run_as_non_root": True,
        "run_as_user": uid,
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def pod(  # noqa: PLR0913  # a pod has this many independent parts
    workload: Workload,
    containers: Sequence[Container],
    *,
    fs_group: int,
    mounts: Sequence[Mount],
    grace_seconds: int,
    service_account: pulumi.Input[str],
    init_containers: Sequence[Container] = (),
    restart_policy: str | None = None,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
) -> PodTemplate:
    """A restricted pod template. It sets no user and group if the cluster assigns them (`langfuse:cluster.users`).

    Args:
        workload: The workload it belongs to. Its labels are those of the pod.
        containers: Created by `container`.
        fs_group: Group that owns the volumes: that of a container's original image. Ownership changes only if it
            differs: with the default policy, PGDATA becomes group-writable at the second start and Postgres refuses it.
        mounts: Every mount of every container; each volume is listed once.
        grace_seconds: Time between SIGTERM and SIGKILL.
        service_account: The account of the workload. It has no permissions, and its token is not mounted.
        init_containers: They run in this order before the containers.
        restart_policy: `Never` or `OnFailure` for Jobs. Other pods are spread over zones and nodes where there is room.
        annotations: For example checksums of the Secrets that the pod reads when it starts.
    """
    own = _from_registry(workload, containers)
    first = _from_registry(workload, init_containers)
    spec: k8s.core.v1.PodSpecArgsDict = {
        "automount_service_account_token": False,
        "containers": own,
        "enable_service_links": False,
        "security_context": _pod_security_context(_user_of_build(workload, containers, fs_group)),
        "service_account_name": service_account,
        "termination_grace_period_seconds": grace_seconds,
        "volumes": [*_volumes(mounts), *trusted_volumes(workload.installation, [*first, *own])],
    }
    if first:
        spec["init_containers"] = first
    if secrets := workload.installation.images.pull_secrets:
        spec["image_pull_secrets"] = [{"name": secret} for secret in secrets]
    _place(spec, workload, restart_policy)
    metadata: k8s.meta.v1.ObjectMetaArgsDict = {"labels": workload.pod_labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    template: PodTemplate = {"metadata": metadata, "spec": spec}
    return template if workload.installation.users == "image" else _without_ids(template)


def _volumes(mounts: Sequence[Mount]) -> list[Volume]:
    """Each volume once."""
    volumes = {str(mount.volume["name"]): mount.volume for mount in mounts if not mount.from_template}
    return list(volumes.values())


def _without_ids(template: PodTemplate) -> PodTemplate:
    """The template without user and group IDs. The cluster refuses IDs outside of the range of the namespace."""
    metadata, spec = cast("dict[str, Any]", template["metadata"]), cast("dict[str, Any]", template["spec"])
    changed = {key: [_part(one) for one in spec[key]] for key in ("init_containers", "containers") if key in spec}
    annotations = {**metadata.get("annotations", {}), **ASSIGNED_USERS}
    return {
        "metadata": cast("k8s.meta.v1.ObjectMetaArgsDict", {**metadata, "annotations": annotations}),
        "spec": cast("k8s.core.v1.PodSpecArgsDict", {**_part(spec), **changed}),
    }


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """A pod or a container without IDs in its security context."""
    context = part["security_context"].items()
    kept = {key: value for key, value in context if key not in {"run_as_user", "run_as_group", "fs_group"}}
    return {**part, "security_context": kept}


def _pod_security_context(fs_group: int) -> k8s.core.v1.PodSecurityContextArgsDict:
    return {
        "fs_group": fs_group,
        "fs_group_change_policy": "OnRootMismatch",
        "run_as_group": fs_group,
        "run_as_non_root": True,
        "run_as_user": fs_group,
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def _from_registry(workload: Workload, containers: Sequence[Container]) -> list[Container]:
    """The containers with the images of this environment: from its mirror, of its builds, with their digests.

    A build runs as its own user.
    """
    images = workload.installation.images
    result: list[Container] = []
    for one in containers:
        changed = one.copy()
        changed["image"] = images.reference(str(one["image"]))
        if uid := images.uid(str(one["image"])):
            changed["security_context"] = _security_context(uid)
        changed["resources"] = _with_cpu(one["resources"], workload.installation.memory_per_cpu)
        with_trust(workload.installation, str(one["image"]), changed)
        result.append(changed)
    return result


def _with_cpu(resources: Any, per_cpu: str | None) -> k8s.core.v1.ResourceRequirementsArgsDict:  # noqa: ANN401  # input
    """Requests and limits with the CPU that the cluster requires for this memory. Those of keys fit already."""
    requests, limits = resources["requests"], resources["limits"]
    cpu, limit = cpu_for_memory(requests["cpu"], limits["cpu"], requests["memory"], per_cpu)
    return {"requests": {**requests, "cpu": cpu}, "limits": {**limits, "cpu": limit}}


def _user_of_build(workload: Workload, containers: Sequence[Container], user: int) -> int:
    """The user of the pod: that of the original image, or that of the build which takes its place."""
    for one in containers:
        own = cast("dict[str, Any]", one["security_context"])["run_as_user"] == user
        if own and (uid := workload.installation.images.uid(str(one["image"]))):
            return uid
    return user


STORES = frozenset({"analytics", "coordination", "database", "object-store", "queue"})
"""Components whose pods hold data (the label `app.kubernetes.io/component`)."""


def _place(spec: k8s.core.v1.PodSpecArgsDict, workload: Workload, restart_policy: str | None) -> None:
    """Where and before which others the pods are placed. Those of Jobs are not spread."""
    classes = workload.installation.priority_classes
    servers = classes.stores if workload.component in STORES else classes.application
    if restart_policy:
        spec["restart_policy"] = restart_policy
    else:
        spec["topology_spread_constraints"] = _spread(workload)
    if chosen := classes.jobs if restart_policy else servers:
        spec["priority_class_name"] = chosen


def _spread(workload: Workload) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict]:
    return [
        {
            "max_skew": 1,
            "topology_key": key,
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": workload.selector},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def secret_names(environment: Environment) -> set[str]:
    """The names of the Secrets that the environment refers to. Pods read them only when they start."""
    return {value.name for value in environment.values() if isinstance(value, SecretRef)}


def _variable(name: str, value: str | SecretRef | PodField) -> k8s.core.v1.EnvVarArgsDict:
    if isinstance(value, str):
        return {"name": name, "value": value}
    if isinstance(value, PodField):
        return {"name": name, "value_from": {"field_ref": {"field_path": value.path}}}
    reference: k8s.core.v1.SecretKeySelectorArgsDict = {"name": value.name, "key": value.key}
    if value.optional:
        reference["optional"] = True
    return {"name": name, "value_from": {"secret_key_ref": reference}}


def http_probe(path: str, port: int, *, period: int, failures: int, timeout: int = 5, delay: int = 0) -> Probe:
    """A probe by HTTP GET; times in seconds."""
    return {**_probe(period, failures, timeout, delay), "http_get": {"path": path, "port": port}}


def exec_probe(command: Sequence[str], *, period: int, failures: int, timeout: int = 5, delay: int = 0) -> Probe:
    """A probe by a command in the container; times in seconds."""
    return {**_probe(period, failures, timeout, delay), "exec_": {"command": list(command)}}


def tcp_probe(port: int, *, period: int, failures: int, timeout: int = 5, delay: int = 0) -> Probe:
    """A probe that opens a TCP connection; times in seconds."""
    return {**_probe(period, failures, timeout, delay), "tcp_socket": {"port": port}}


def _probe(period: int, failures: int, timeout: int, delay: int) -> Probe:
    probe: Probe = {"period_seconds": period, "failure_threshold": failures, "timeout_seconds": timeout}
    if delay:
        probe["initial_delay_seconds"] = delay
    return probe
