"""Fields with several owners: changes by people and controllers, and existing objects."""

from __future__ import annotations

import pytest

from tests.engine.harness import Json
from tests.engine.kube import ClusterProgramFactory, Kube, at

pytestmark = pytest.mark.long


def test_an_outside_change_is_shown_by_a_refresh_and_reverted_by_the_next_update(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster("""
        k8s.apps.v1.Deployment("web", metadata=meta("web"), spec={
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")})
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm"), data={"a": "1"})
        k8s.core.v1.ConfigMap("lost", metadata=meta("lost"), data={"a": "1"})
    """)
    program.up().ok()
    kube.edit({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}, "web", namespace)
    kube.delete("v1", "ConfigMap", "lost", namespace)
    kube.edit({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"not": "ours"}}}, "cm", namespace)

    program.refresh().ok()
    state = program.state()
    assert at(state["web"], "inputs.spec.replicas") == 3
    assert "lost" not in state
    assert program.preview().ok().changes == {"web": "update", "lost": "create"}
    assert program.up().ok().changes == {"web": "update", "lost": "create"}
    mended, cm = (kube.get(*what, namespace) for what in (("apps/v1", "Deployment", "web"), ("v1", "ConfigMap", "cm")))
    assert at(mended, "spec.replicas") == 1
    assert at(cm, "metadata.labels") == {"not": "ours"}
    assert program.up().ok().changes == {}


def test_a_field_of_another_manager_is_a_conflict_unless_forced(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web", annotations={}), spec={
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")})
    """
    program = on_cluster(source)
    program.up().ok()
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment"}
    kube.edit({**deployment, "spec": {"replicas": 5}}, "web", namespace, manager="autoscaler")
    changed = source.replace('"replicas": 2', '"replicas": 3')
    program.write(changed)
    result = program.up()
    assert result.exit_code != 0
    (error,) = (message for message in result.messages("error") if "autoscaler" in message)
    assert "conflict" in error
    assert "patchForce" in error or "troubleshooting" in error

    program.write(changed.replace("annotations={}", 'annotations={"pulumi.com/patchForce": "true"}'))
    assert program.up().ok().changes == {"web": "update"}
    live = kube.get("apps/v1", "Deployment", "web", namespace)
    assert at(live, "spec.replicas") == 3


def test_ignored_changes_are_kept(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web"), spec={
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "image:OLD")},
            opts=pulumi.ResourceOptions(ignore_changes=["spec.replicas"]))
    """
    program = on_cluster(source)
    program.up().ok()
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment"}
    kube.edit({**deployment, "spec": {"replicas": 2}}, "web", namespace, manager="autoscaler")
    program.write(source.replace("OLD", "NEW").replace('"replicas": 1', '"replicas": 7'))
    assert program.up().ok().changes == {"web": "update"}
    live = kube.get("apps/v1", "Deployment", "web", namespace)
    assert at(live, "spec.replicas") == 2


def test_an_existing_object_is_not_adopted(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "theirs"}}
    kube.create(theirs, namespace)
    program = on_cluster('k8s.core.v1.ConfigMap("cm", metadata=meta("theirs"), data={"a": "ours"})')
    result = program.up()
    assert result.exit_code != 0
    (error,) = (message for message in result.messages("error") if "theirs" in message)
    assert "already exists" in error
    assert "pulumi import" in error
    live = kube.get("v1", "ConfigMap", "theirs", namespace)
    assert at(live, "data") == {"a": "theirs"}
    assert "cm" not in program.state()


def test_upserting_adopts_an_existing_object(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"b": "theirs"}}
    kube.create(theirs, namespace)
    program = on_cluster('k8s.core.v1.ConfigMap("cm", metadata=meta("theirs"), data={"a": "ours"})')
    program.config_set("kubernetes:upsertExistingObjects", "true")
    program.up().ok()
    live = kube.get("v1", "ConfigMap", "theirs", namespace)
    assert at(live, "data") == {"a": "ours", "b": "theirs"}
