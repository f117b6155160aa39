"""An existing namespace must have the labels that add its pods to the mesh."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.network.namespace import check_labels
from tests.unit.configuration import settings

SIDECAR: dict[str, Any] = {"mode": "sidecar"}
REVISION: dict[str, Any] = {"mode": "sidecar", "revision": "1-27"}

REFUSED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {}, "does not have the label istio.io/dataplane-mode=ambient"),
    ({}, {"istio-injection": "enabled"}, "does not have the label istio.io/dataplane-mode=ambient"),
    ({}, {"istio.io/dataplane-mode": "none"}, "does not have the label istio.io/dataplane-mode=ambient"),
    (SIDECAR, {}, "does not have the label istio-injection=enabled"),
    (SIDECAR, {"istio-injection": "disabled"}, "does not have the label istio-injection=enabled"),
    (SIDECAR, {"istio-injection": "disabled", "istio.io/rev": "1-27"}, "does not have the label istio-injection"),
    (REVISION, {"istio-injection": "enabled"}, "does not have the label istio.io/rev=1-27"),
    (REVISION, {"istio.io/rev": "1-26"}, "does not have the label istio.io/rev=1-27"),
    (REVISION, {"istio.io/rev": "1-27", "istio-injection": "enabled"}, "label istio-injection, which overrides"),
]
ACCEPTED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"istio.io/dataplane-mode": "ambient"}),
    ({"mode": "none"}, {}),
    (SIDECAR, {"istio-injection": "enabled"}),
    (SIDECAR, {"istio.io/rev": "default"}),
    (REVISION, {"istio.io/rev": "1-27"}),
]


@pytest.mark.parametrize(("mesh", "labels", "says"), REFUSED)
def test_pods_that_would_run_outside_the_mesh_are_refused(
    mesh: Mapping[str, Any], labels: dict[str, str], says: str
) -> None:
    with pytest.raises(pulumi.RunError, match=f'langfuse:namespace: "langfuse-dev" .*{says}.*kubectl label'):
        check_labels(settings(mesh=mesh), labels)


@pytest.mark.parametrize(("mesh", "labels"), ACCEPTED)
def test_a_namespace_whose_pods_join_the_mesh_is_accepted(mesh: Mapping[str, Any], labels: dict[str, str]) -> None:
    check_labels(settings(mesh=mesh), labels)
