"""Namespaces: pod security standards, and namespaces that workloads must not use."""

import re

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.resources import Resource

topic = Topic("namespaces", title="Namespaces", pack="security")

_PREFIX = "pod-security.kubernetes.io/"
_LEVEL = "restricted"
#: The version that a remedy pins; an older cluster uses its own newest version.
_VERSION = "v1.36"


def _enforcing(namespace: Resource) -> dict[str, dict[str, str]]:
    return _missing(namespace, {"enforce": _LEVEL})


def _warning(namespace: Resource) -> dict[str, dict[str, str]]:
    return _missing(namespace, {"audit": _LEVEL, "warn": _LEVEL})


def _pinning(namespace: Resource) -> dict[str, dict[str, str]]:
    return _missing(namespace, {"enforce-version": _VERSION})


def _missing(namespace: Resource, wanted: dict[str, str]) -> dict[str, dict[str, str]]:
    """Existing labels stay: another level is a decision that a reviewer checks."""
    labels = namespace.metadata["labels"]
    missing = {_PREFIX + key: value for key, value in wanted.items() if labels[_PREFIX + key].absent}
    return {"labels": missing} if missing else {}


@topic.resources(
    "namespace-enforces-restricted",
    "core/Namespace",
    title="Namespaces enforce the restricted pod security standard",
    why="Policies check only what the program creates. Pods of operators, charts and people bypass them.",
    fix="Label the namespace pod-security.kubernetes.io/enforce: restricted.",
    severity=Severity.HIGH,
    also_in=("CIS 5.2.1", "NSA: Pod Security Admission", "C-0192"),
    remedy=_enforcing,
)
def namespace_enforces_restricted(namespace: Resource) -> Findings:
    if (level := namespace.metadata["labels"][f"{_PREFIX}enforce"]).differs(_LEVEL):
        yield finding(level, "the namespace does not enforce the restricted standard")


@topic.resources(
    "namespace-warns",
    "core/Namespace",
    title="Namespaces warn about pods that are not restricted, and log them",
    why="Enforcement applies to pods only. Without a warning, applying a Deployment succeeds although its pods "
    "will be refused.",
    fix="Label the namespace pod-security.kubernetes.io/warn and pod-security.kubernetes.io/audit: restricted.",
    severity=Severity.LOW,
    also_in=("CIS 5.2.1", "C-0192", "Kyverno: add-psa-labels"),
    remedy=_warning,
)
def namespace_warns(namespace: Resource) -> Findings:
    for mode in ("audit", "warn"):
        if (level := namespace.metadata["labels"][_PREFIX + mode]).differs(_LEVEL):
            yield finding(level, "nothing warns about pods that are not restricted")


@topic.resources(
    "namespace-pins-standard",
    "core/Namespace",
    title="The version of the enforced standard is pinned",
    why="With the latest version, an upgrade of the cluster can refuse pods that ran before.",
    fix="Label the namespace pod-security.kubernetes.io/enforce-version with a version such as v1.36.",
    severity=Severity.MEDIUM,
    also_in=("CIS 5.2.1",),
    remedy=_pinning,
)
def namespace_pins_standard(namespace: Resource) -> Findings:
    version = namespace.metadata["labels"][f"{_PREFIX}enforce-version"]
    if version.known and not re.fullmatch(r"v1\.\d{1,3}", version.text or ""):
        yield finding(version, "the standard changes with the cluster's version")


_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


@topic.resources(
    "own-namespace",
    "core/Pod", "core/Service", "core/Secret", "core/ConfigMap", "core/ServiceAccount", "core/PersistentVolumeClaim",
    "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job", "batch/CronJob",
    title="Objects are not in the default namespace or in one of the cluster",
    why="The default namespace has no policies, quotas or pod security; namespaces of the cluster hold powerful "
    "credentials.",
    fix="Set metadata.namespace to a namespace of the application.",
    severity=Severity.MEDIUM,
    also_in=("CIS 5.7.4", "CKV_K8S_21", "C-0061", "KSV110", "KSV037"),
)  # fmt: skip
def own_namespace(subject: Resource) -> Findings:
    namespace = subject.metadata["namespace"]
    if namespace.empty:
        yield finding(namespace, "without a namespace it is created in the namespace of the kubeconfig: default")
    elif namespace.equals("default"):
        yield finding(namespace, "it is in the default namespace")
    elif namespace.equals(*_SYSTEM_NAMESPACES):
        yield finding(namespace, "it is in a namespace of the cluster")
