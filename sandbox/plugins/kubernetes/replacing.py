"""Immutable fields, whose changes replace the object: the table in `diff.go` of the official provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.plugins.kubernetes import paths
from sandbox.plugins.kubernetes.objects import Kind, Object
from sandbox.plugins.kubernetes.paths import WILDCARD, Path
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import Property

ALWAYS: Final = ("metadata.name", "metadata.namespace")
SELECTOR: Final = ("spec.selector",)
ROLE_BINDING: Final = ("roleRef",)
JOB: Final = ("spec.completions", "spec.parallelism", "spec.selector", "spec.template")
STATEFUL_SET: Final = (
    "spec.podManagementPolicy",
    "spec.revisionHistoryLimit",
    "spec.selector",
    "spec.serviceName",
    "spec.volumeClaimTemplates",
)
POD_FIELDS: Final = """
    affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork hostPID
    hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority priorityClassName readinessGates
    restartPolicy runtimeClassName schedulerName securityContext serviceAccount serviceAccountName shareProcessNamespace
    subdomain terminationGracePeriodSeconds volumes
"""
CONTAINER_FIELDS: Final = """
    args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources securityContext stdin
    stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir
"""
VOLUME_SOURCES: Final = """
    awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs
    hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume
"""
POD: Final = (
    *(f"spec.{field}" for field in POD_FIELDS.split()),
    *(f"spec.{kind}[*].{field}" for kind in ("containers", "initContainers") for field in CONTAINER_FIELDS.split()),
)
TABLE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): SELECTOR,
    ("apps", "Deployment"): SELECTOR,
    ("apps", "StatefulSet"): STATEFUL_SET,
    ("batch", "Job"): JOB,
    ("", "PersistentVolume"): tuple(f"spec.{source}" for source in VOLUME_SOURCES.split()),
    ("", "PersistentVolumeClaim"): ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ("", "Pod"): POD,
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ROLE_BINDING,
    ("rbac.authorization.k8s.io", "RoleBinding"): ROLE_BINDING,
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}


def replacing_paths(obj: Object, settings: Settings) -> list[Path]:
    """Return the paths of an object whose changes need a replacement."""
    kind = Kind.of(obj)
    fields = [*ALWAYS, *TABLE.get((kind.group, kind.kind), ())]
    is_immutable = obj.get("immutable") is True
    if (kind.group, kind.kind) == ("", "Secret") and (is_immutable or not settings.secret_mutable):
        fields += ["stringData", "data"]
    if (kind.group, kind.kind) == ("", "ConfigMap") and (is_immutable or not settings.config_map_mutable):
        fields += ["binaryData", "data"]
    return [paths.parse(field) for field in fields]


def touches(path: Path, value: Property, pattern: Path) -> bool:
    """Return whether a change at `path` to `value` affects the field of a pattern: at, below or above its path."""
    if paths.covers(pattern, path):
        return True
    return len(path) < len(pattern) and paths.covers(pattern[: len(path)], path) and _has(value, pattern[len(path) :])


def _has(value: Property, rest: Path) -> bool:
    if not rest:
        return True
    step, tail = rest[0], rest[1:]
    if isinstance(value, Mapping) and isinstance(step, str):
        return step in value and _has(value[step], tail)
    return step == WILDCARD and isinstance(value, list) and any(_has(item, tail) for item in value)
