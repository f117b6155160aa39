"""API versions that clusters no longer serve, or will stop serving soon."""

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.resources import Resource

topic = Topic("apiversions", title="API versions", pack="reliability")

#: Versions of whole groups, and what serves instead: Kubernetes' deprecated API migration guide.
_VERSIONS = {
    "extensions/v1beta1": "apps/v1, networking.k8s.io/v1",
    "apps/v1beta1": "apps/v1",
    "apps/v1beta2": "apps/v1",
    "batch/v1beta1": "batch/v1",
    "batch/v2alpha1": "batch/v1",
    "policy/v1beta1": "policy/v1",
    "autoscaling/v2beta1": "autoscaling/v2",
    "autoscaling/v2beta2": "autoscaling/v2",
    "networking.k8s.io/v1beta1": "networking.k8s.io/v1",
    "rbac.authorization.k8s.io/v1alpha1": "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1": "rbac.authorization.k8s.io/v1",
    "admissionregistration.k8s.io/v1beta1": "admissionregistration.k8s.io/v1",
    "apiextensions.k8s.io/v1beta1": "apiextensions.k8s.io/v1",
    "apiregistration.k8s.io/v1beta1": "apiregistration.k8s.io/v1",
    "certificates.k8s.io/v1beta1": "certificates.k8s.io/v1",
    "coordination.k8s.io/v1beta1": "coordination.k8s.io/v1",
    "discovery.k8s.io/v1beta1": "discovery.k8s.io/v1",
    "events.k8s.io/v1beta1": "events.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1": "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta2": "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta3": "flowcontrol.apiserver.k8s.io/v1",
    "node.k8s.io/v1beta1": "node.k8s.io/v1",
    "scheduling.k8s.io/v1beta1": "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1": "storage.k8s.io/v1",
    # external-secrets/external-secrets#4901: not served as of 0.17
    "external-secrets.io/v1alpha1": "external-secrets.io/v1",
    "external-secrets.io/v1beta1": "external-secrets.io/v1",
    # cert-manager 1.6 removed them
    "cert-manager.io/v1alpha2": "cert-manager.io/v1",
    "cert-manager.io/v1alpha3": "cert-manager.io/v1",
    "cert-manager.io/v1beta1": "cert-manager.io/v1",
    "gateway.networking.k8s.io/v1alpha1": "gateway.networking.k8s.io/v1",
}

#: Kinds of such a version that are still served, or never had a stable version.
_SERVED = frozenset(
    {
        "networking.k8s.io/v1beta1:IPAddress",
        "networking.k8s.io/v1beta1:ServiceCIDR",
        "external-secrets.io/v1alpha1:PushSecret",
        "external-secrets.io/v1alpha1:ClusterPushSecret",
        "storage.k8s.io/v1beta1:VolumeAttributesClass",
        "coordination.k8s.io/v1beta1:LeaseCandidate",
        "certificates.k8s.io/v1beta1:ClusterTrustBundle",
        "certificates.k8s.io/v1beta1:PodCertificateRequest",
        "admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicyBinding",
    }
)


@topic.resources(
    "no-removed-api-version",
    title="Objects use API versions that clusters serve",
    why="After an upgrade of the cluster or of an operator, the version is no longer served and nothing can be "
    "deployed.",
    fix="Use the version that replaced it, with its schema.",
    severity=Severity.HIGH,
    also_in=("Kubernetes: deprecated API migration guide", "KSV107", "kube-linter: no-extensions-v1beta", "pluto"),
)
def no_removed_api_version(subject: Resource) -> Findings:
    package, _, rest = subject.type.partition(":")
    version, _, name = rest.rpartition(":")
    if package != "kubernetes" or f"{version}:{name.removesuffix('Patch')}" in _SERVED:
        return
    if (successor := _VERSIONS.get(version)) is not None:
        yield finding("apiVersion", f"clusters no longer serve {version}; {successor} replaced it")
