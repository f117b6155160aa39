"""Autoscaling of a Deployment can be enabled and disabled without removing a pod."""

from __future__ import annotations

import pytest

from tests.engine.harness import CHECKOUT, Json
from tests.engine.kube import ClusterProgram, ClusterProgramFactory, Kube, at
from tests.waiting import eventually

pytestmark = pytest.mark.long

NAME = "langfuse-web"


PREAMBLE = f"""
        import sys
        sys.path.insert(0, {str(CHECKOUT)!r})
        from components.kubernetes.deployments import deployment
        from components.kubernetes.installation import Installation
        from components.kubernetes.objects import Scope
        from components.schema.workloads import Workload

        installation = Installation(instance="test", namespace="NAMESPACE", protect=False)
        workload = installation.workload("web", component="frontend", version="1")
        plain = template("web", "IMAGE", termination_grace_period_seconds=30)
        pods = {{**plain, "metadata": {{"labels": workload.pod_labels}}}}
"""


def source(image: str = "image:1", **settings: object) -> str:
    """A program with one Deployment, created as those of web and worker."""
    resources = {"cpu": "1", "cpuLimit": "1", "memory": "64Mi"}
    return (
        PREAMBLE.replace("IMAGE", image)
        + f"""
        settings = Workload.model_validate({dict(settings, resources=resources)!r})
        deployment(Scope(workload, pulumi.ResourceOptions()), settings, pods, after=[])
    """
    )


def bounds(least: int, most: int) -> Json:
    return {"minReplicas": least, "maxReplicas": most}


def made(on_cluster: ClusterProgramFactory, text: str) -> ClusterProgram:
    program = on_cluster(text)
    program.config_set("kubernetes:enablePatchForce", "true")  # as the program's own provider
    program.up().ok()
    return program


def deployment(kube: Kube, namespace: str) -> Json:
    found = kube.get("apps/v1", "Deployment", NAME, namespace)
    assert found is not None
    return found


def replicas(kube: Kube, namespace: str) -> object:
    return at(deployment(kube, namespace), "spec.replicas")


def scale(kube: Kube, namespace: str, number: int) -> None:
    """Set the number of pods, as an autoscaler does."""
    change: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": number}}
    kube.edit(change, NAME, namespace, manager="kube-controller-manager")


def history(kube: Kube, since: Json) -> list[object]:
    """The desired numbers of replicas of the Deployment since a resource version, in order."""
    numbers = [at(since, "spec.replicas"), *(at(found, "spec.replicas") for found in kube.versions(since, seconds=2))]
    return [number for place, number in enumerate(numbers) if place == 0 or number != numbers[place - 1]]


def test_enabling_changing_and_disabling_autoscaling_keeps_the_pods(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = made(on_cluster, source(replicas=3))
    start = deployment(kube, namespace)

    program.write(source(replicas=3, autoscaling=bounds(3, 6)))
    program.up().ok()
    assert replicas(kube, namespace) == 3

    program.write(source(replicas=3, autoscaling=bounds(4, 6)))
    program.up().ok()
    eventually(lambda: replicas(kube, namespace) == 4)
    program.write(source("image:2", replicas=3, autoscaling=bounds(4, 6)))
    program.up().ok()
    program.refresh().ok()
    assert program.up().ok().changes == {}
    assert replicas(kube, namespace) == 4

    program.write(source("image:2", replicas=3))
    program.up().ok()
    assert history(kube, start) == [3, 4, 3]


def test_an_autoscaled_deployment_starts_with_its_minimum(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    made(on_cluster, source(replicas=1, autoscaling=bounds(3, 6)))
    assert replicas(kube, namespace) == 3


def test_an_autoscaled_deployment_of_an_older_release_keeps_its_pods(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    """Older releases did not set the number of replicas."""
    program = made(
        on_cluster,
        PREAMBLE
        + f"""
        metadata = workload.metadata()
        spec = {{"selector": {{"match_labels": workload.selector}}, "template": pods}}
        k8s.apps.v1.Deployment({NAME!r}, metadata=metadata, spec=spec)
        """,
    )
    scale(kube, namespace, 4)
    start = deployment(kube, namespace)
    program.write(source(replicas=1, autoscaling=bounds(1, 6)))
    program.up().ok()
    program.write(source(replicas=2))
    program.up().ok()
    assert history(kube, start) == [4, 2]
