"""Inputs as Go types serialize them: omitted values, kept values, quantities."""

from __future__ import annotations

import pytest

from sandbox.pins import module_version
from sandbox.plugins.kubernetes.normalize import normalize
from sandbox.plugins.kubernetes.objects import Object
from sandbox.plugins.kubernetes.quantity import canonical
from sandbox.plugins.kubernetes.typed import version
from sandbox.plugins.properties import UNKNOWN, Property


def deployment(spec: Object, **fields: Property) -> Object:
    template: Object = {"spec": spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template, **fields}}


def test_empty_values_of_optional_fields_and_unknown_fields_are_dropped() -> None:
    mount: Object = {"name": "tmp", "mountPath": "/tmp", "readOnly": False, "subPath": ""}  # noqa: S108  # in a pod
    container: Object = {"name": "main", "volumeMounts": [mount], "args": [], "env": [{"name": "A", "value": ""}]}
    given = deployment({"containers": [container], "priorityClasName": "high", "hostNetwork": False, "hostname": None})
    kept: Object = {"name": "main", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}], "env": [{"name": "A"}]}  # noqa: S108
    assert normalize(given) == deployment({"containers": [kept]})


def test_empty_values_of_pointers_and_of_required_fields_are_kept() -> None:
    spec: Object = {
        "automountServiceAccountToken": False,
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "containers": [],
    }
    given = deployment(spec, replicas=0, paused=False)
    assert normalize(given) == deployment(spec, replicas=0)
    role: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "rules": [],
        "metadata": {"labels": {}},
    }
    assert normalize(role) == {**role, "metadata": {}}


def test_quantities_have_one_form_in_fields_of_quantities() -> None:
    resources: Object = {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 2.0}}
    container: Object = {"name": "0.5", "resources": resources}
    same: Object = {"name": "0.5", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2"}}}
    assert normalize(deployment({"containers": [container]})) == deployment({"containers": [same]})


@pytest.mark.parametrize(
    "given",
    [
        deployment({"hostNetwork": "yes", "paused": False}),
        deployment({"terminationGracePeriodSeconds": 1.5, "containers": {}}),
        deployment({"hostname": UNKNOWN, "hostNetwork": False}),
        {"apiVersion": "example.com/v1", "kind": "Deployment", "spec": {"any": "", "size": "1024Mi"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"labels": {}}},
    ],
)
def test_values_of_a_wrong_or_unknown_type_stay_unchanged(given: Object) -> None:
    assert normalize(given) == given


@pytest.mark.parametrize(
    ("given", "spelling"),
    [
        ("1000m", "1"), ("1500m", "1500m"), ("1536Mi", "1536Mi"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("0.1n", "1n"),
        ("0.1Gi", "107374182400m"), ("10000", "10k"), ("1500", "1500"), ("12e6", "12e6"), ("1024", "1024"), ("0", "0"),
        (0.25, "250m"), (2, "2"), ("-5", "-5"), ("abc", None), (True, None), ("", None),
    ],
)  # fmt: skip
def test_quantities_have_the_canonical_form_of_kubernetes(given: Property, spelling: str | None) -> None:
    assert canonical(given) == spelling


def test_the_types_are_those_of_the_pinned_api_server() -> None:
    assert version() == module_version("kubernetes", "k8s.io/api"), "see sandbox/plugins/kubernetes/types.go"
