"""An update whose pods the cluster refuses ends at once, with the reason."""

from __future__ import annotations

import pytest

from tests.engine.harness import CHECKOUT, Json
from tests.engine.kube import ClusterProgramFactory, Kube

pytestmark = pytest.mark.long

SOURCE = f"""
        import sys
        sys.path.insert(0, {str(CHECKOUT)!r})
        from components.admission import Admission
        from components.schema.cluster import Cluster

        options = Admission(Cluster()).options(None)
        parent = pulumi.ComponentResource("test:index:Parent", "parent", None, options)
        inside = pulumi.ResourceOptions(parent=parent)
        apart = {{"selector": {{"match_labels": {{"app": "x"}}}}, "template": template("x", **POD)}}
        once = template("x", restart_policy="Never", **POD)
        if KIND == "Deployment":
            k8s.apps.v1.Deployment("x", metadata=meta("x"), spec=apart, opts=inside)
        elif KIND == "StatefulSet":
            claim = {{"metadata": {{"name": "data"}}, "spec": {{"access_modes": ["ReadWriteOnce"],
                "resources": {{"requests": {{"storage": "1Gi"}}}}}}}}
            mounts = [{{"name": "data", "mount_path": "/data"}}]
            pods = {{**apart["template"]["spec"]}}
            pods["containers"] = [{{**pods["containers"][0], "volume_mounts": mounts}}]
            k8s.apps.v1.StatefulSet("x", metadata=meta("x"), opts=inside, spec={{**apart, "service_name": "x",
                "volume_claim_templates": [claim],
                "template": {{**apart["template"], "spec": pods}}}})
        elif KIND == "Job":
            k8s.batch.v1.Job("x", metadata=meta("x"), spec={{"template": once}}, opts=inside)
        else:
            k8s.batch.v1.CronJob("x", metadata=meta("x"), opts=inside, spec={{"schedule": "0 0 1 1 *",
                "job_template": {{"spec": {{"template": once}}}}}})
"""
PRIVILEGED = '{"host_network": True}'
WHOLE_NUMBER = '{"termination_grace_period_seconds": 5}'


def source(kind: str, pod: str) -> str:
    return SOURCE.replace("KIND", repr(kind)).replace("POD", pod)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job", "CronJob"])
def test_the_reason_is_shown_before_anything_is_created(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str, kind: str
) -> None:
    label: Json = {"pod-security.kubernetes.io/enforce": "baseline"}
    kube.edit({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": label}}, namespace)
    result = on_cluster(source(kind, PRIVILEGED)).up()
    assert result.exit_code != 0
    assert f"{kind} {namespace}/x: the cluster refuses its pods" in result.output
    assert 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' in result.output
    assert kube.get("batch/v1" if "Job" in kind else "apps/v1", kind, "x", namespace) is None


@pytest.mark.parametrize("kind", ["StatefulSet", "CronJob"])
def test_pods_that_are_admitted_are_created(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str, kind: str
) -> None:
    on_cluster(source(kind, WHOLE_NUMBER)).up().ok()
    assert kube.get("batch/v1" if "Job" in kind else "apps/v1", kind, "x", namespace)


CLAIM = f"""
        import sys
        sys.path.insert(0, {str(CHECKOUT)!r})
        from components.storage_classes import StorageClasses
        from components.schema.cluster import Cluster

        options = StorageClasses(Cluster()).options(None)
        parent = pulumi.ComponentResource("test:index:Parent", "parent", None, options)
        spec = {{"access_modes": ["ReadWriteOnce"], "resources": {{"requests": {{"storage": "1Gi"}}}}, **CLASS}}
        annotations = {{"pulumi.com/skipAwait": "true"}}
        k8s.core.v1.PersistentVolumeClaim("x", metadata=meta("x", annotations=annotations), spec=spec,
            opts=pulumi.ResourceOptions(parent=parent))
"""


def test_a_volume_without_a_storage_class_is_refused_before_it_is_created(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    """The cluster of the tests has a default class."""
    result = on_cluster(CLAIM.replace("CLASS", '{"storage_class_name": "missing"}')).up()
    assert result.exit_code != 0
    assert f"PersistentVolumeClaim {namespace}/x: the cluster has no StorageClass missing" in result.output
    assert kube.get("v1", "PersistentVolumeClaim", "x", namespace) is None
    on_cluster(CLAIM.replace("CLASS", "{}")).up().ok()
    assert kube.get("v1", "PersistentVolumeClaim", "x", namespace)
