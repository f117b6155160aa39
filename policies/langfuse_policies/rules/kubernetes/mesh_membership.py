"""Mesh membership: which pods are in the mesh, and how."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.mesh import meshed, mode_of
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Pod, pods_of

topic = Topic("mesh-membership", title="Mesh membership", pack="security")


class Membership(Settings):
    """Which workloads must be in the mesh."""

    required: Annotated[bool, Meta(description="Whether every namespace with pods must be in the mesh.")] = False
    exempt: Annotated[
        tuple[str, ...], Meta(description="Workloads that may stay outside, as patterns `NAMESPACE/NAME`.")
    ] = ()


@topic.stack(
    "pods-in-the-mesh",
    title="Pods of a meshed namespace are in the mesh",
    why="A pod outside the mesh has no identity, so mutual TLS and authorization need exceptions for it.",
    fix="Remove the label or annotation, or list the workload in the setting `exempt` of this policy.",
    severity=Severity.MEDIUM,
    also_in=("Istio: sidecar injection", "Kyverno: prevent-disabling-injection-for-pods"),
    settings=Membership,
)
def pods_in_the_mesh(stack: Stack, settings: Membership) -> Findings:
    inside = {namespace.object_name for namespace in meshed(stack)}
    outside = {one.object_name: one for one in stack.of("core/Namespace") if _is_outside(one)}
    populated = set()
    for pod in pods_of(stack):
        populated.add(pod.resource.namespace)
        name = f"{pod.resource.namespace}/{pod.resource.object_name}"
        if pod.resource.namespace in inside and not any(fnmatchcase(name, pattern) for pattern in settings.exempt):
            yield from (finding(field, "keeps the pod out of the mesh", of=pod.resource) for field in _opt_outs(pod))
    if settings.required:
        for name in sorted(populated & outside.keys()):
            yield finding(outside[name], "is not in the mesh")


def _is_outside(namespace: Resource) -> bool:
    labels = namespace.metadata["labels"]
    keys = ("istio.io/dataplane-mode", "istio-injection", "istio.io/rev")
    return all(labels[key].known for key in keys) and mode_of(namespace) is None


def _opt_outs(pod: Pod) -> Iterator[Field]:
    for place in (pod.labels, pod.metadata["annotations"]):
        if (inject := place["sidecar.istio.io/inject"]).equals("false"):
            yield inject
    if (mode := pod.labels["istio.io/dataplane-mode"]).equals("none"):
        yield mode


class NativeSidecars(Settings):
    """How Istio was installed."""

    native_sidecars: Annotated[
        bool, Meta(description="Whether ENABLE_NATIVE_SIDECARS is on, as it is by default since Istio 1.27.")
    ] = True


@topic.stack(
    "jobs-end-in-the-mesh",
    title="Sidecars of Jobs end with them",
    why="An ordinary sidecar keeps running when the Job's container is done, and the Job never completes (istio "
    "issue 11659).",
    fix='Annotate the pod with sidecar.istio.io/nativeSidecar: "true".',
    severity=Severity.MEDIUM,
    also_in=("Istio: sidecar injection",),
    settings=NativeSidecars,
)
def jobs_end_in_the_mesh(stack: Stack, settings: NativeSidecars) -> Findings:
    inside = {namespace.object_name for namespace in meshed(stack) if mode_of(namespace) == "sidecar"}
    for pod in pods_of(stack):
        if not pod.resource.kind.startswith("batch/") or pod.resource.namespace not in inside or any(_opt_outs(pod)):
            continue
        native = pod.metadata["annotations"]["sidecar.istio.io/nativeSidecar"]
        if native.equals("false") or (native.absent and not settings.native_sidecars):
            yield finding(native, "the sidecar keeps the Job from completing", of=pod.resource)


class Cni(Settings):
    """How traffic gets into sidecars."""

    cni: Annotated[bool, Meta(description="Whether istio-cni is installed on the nodes.")] = False


@topic.resources(
    "mesh-without-privileges",
    "core/Namespace",
    title="The mesh needs no privileges in pods",
    why="The container istio-init needs NET_ADMIN and NET_RAW, so no pod starts in a namespace that enforces the "
    "restricted standard.",
    fix="Use ambient mode, or install istio-cni and set `cni` of this policy to true.",
    severity=Severity.MEDIUM,
    also_in=("Istio: pod security admission",),
    settings=Cni,
)
def mesh_without_privileges(namespace: Resource, settings: Cni) -> Findings:
    enforced = namespace.metadata["labels"]["pod-security.kubernetes.io/enforce"]
    if not settings.cni and enforced.equals("restricted", "baseline") and mode_of(namespace) == "sidecar":
        yield finding(enforced, "refuses the init container of injected sidecars")
