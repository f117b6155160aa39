"""The kinds that the API server serves, their paths, and whether they are namespaced."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Final, NamedTuple

from sandbox.plugins.kubernetes.api import Api, ApiError
from sandbox.plugins.kubernetes.objects import Kind, Object, objects, text

BUILT_IN_GROUPS: Final = frozenset(
    {"", "apps", "autoscaling", "batch", "extensions", "policy"}
    | {
        f"{group}.k8s.io"
        for group in (
            "admissionregistration",
            "apiextensions",
            "apiregistration",
            "authentication",
            "authorization",
            "certificates",
            "coordination",
            "discovery",
            "events",
            "flowcontrol.apiserver",
            "internal.apiserver",
            "networking",
            "node",
            "rbac.authorization",
            "resource",
            "scheduling",
            "storage",
            "storagemigration",
        )
    }
)
CLUSTER_SCOPED: Final = frozenset(
    {
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "ComponentStatus",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "DeviceTaintRule",
        "FlowSchema",
        "IngressClass",
        "IPAddress",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "SelfSubjectAccessReview",
        "SelfSubjectReview",
        "SelfSubjectRulesReview",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "SubjectAccessReview",
        "TokenReview",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)


class Resource(NamedTuple):
    """The API resource of a kind: its path and scope."""

    root: str
    plural: str
    namespaced: bool

    def collection(self, namespace: str) -> str:
        """Return the path of all objects, or of those in a namespace."""
        if self.namespaced and namespace:
            return f"{self.root}/namespaces/{namespace}/{self.plural}"
        return f"{self.root}/{self.plural}"

    def item(self, namespace: str, name: str) -> str:
        """Return the path of one object."""
        return f"{self.collection(namespace)}/{name}"


class NoSuchKindError(Exception):
    """The API server does not serve the kind; its CustomResourceDefinition may not be installed yet."""

    def __init__(self, kind: Kind) -> None:
        """Describe the kind as the API server does."""
        super().__init__(f'no matches for kind "{kind.kind}" in version "{kind.api_version}"')


class Discovery:
    """The served kinds, requested one group and version at a time and cached."""

    def __init__(self, api: Api) -> None:
        """Discover the kinds of one API server."""
        self._api = api
        self._served: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    def find(self, kind: Kind) -> Resource:
        """Return the API resource of a kind. Raises NoSuchKindError."""
        with self._lock:
            if kind.kind not in self._served.get(kind.api_version, {}):
                self._served[kind.api_version] = self._request(kind)
            found = self._served[kind.api_version].get(kind.kind)
        if found is None:
            raise NoSuchKindError(kind)
        return found

    def _request(self, kind: Kind) -> dict[str, Resource]:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        try:
            answer = self._api.request("GET", root)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return {}
            raise
        return {
            text(item, "kind"): Resource(root, text(item, "name"), item.get("namespaced") is True)
            for item in objects(answer, "resources")
            if "/" not in text(item, "name")
        }


class Scopes:
    """The scopes of built-in kinds and of the program's own CRDs, which are known without the API server."""

    def __init__(self) -> None:
        """Start with the built-in kinds."""
        self._declared: dict[tuple[str, str], bool] = {}

    def declare(self, definition: Object) -> None:
        """Add the kind that a CustomResourceDefinition of the program defines."""
        key = (text(definition, "spec", "group"), text(definition, "spec", "names", "kind"))
        self._declared[key] = text(definition, "spec", "scope") != "Cluster"

    def namespaced(self, kind: Kind) -> bool | None:
        """Return whether the kind is namespaced, None if only the API server knows."""
        if kind.group in BUILT_IN_GROUPS:
            return kind.kind not in CLUSTER_SCOPED
        return self._declared.get((kind.group, kind.kind))
