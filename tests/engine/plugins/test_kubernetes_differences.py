"""What counts as a difference, and the result of a change that the API server refuses."""

from __future__ import annotations

import pytest

from tests.engine.harness import Json
from tests.engine.kube import ClusterProgramFactory, Kube, at
from tests.waiting import eventually

pytestmark = pytest.mark.long


def test_a_change_that_the_server_refuses_fails_without_a_replacement(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.core.v1.PersistentVolumeClaim("claim", metadata=meta("claim"), spec={
            "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "1Gi"}}})
    """
    program = on_cluster(source)
    program.up().ok()
    before = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    program.write(source.replace("Filesystem", "Block"))
    for step in (program.preview, program.up):
        result = step()
        assert result.exit_code != 0, step.__name__
        assert any("spec is immutable after creation" in message for message in result.messages("error"))
        assert result.changes == {"claim": "update"}
    assert program.state()["claim"]["initErrors"]
    program.write(source)
    assert program.up().ok().changes == {"claim": "update"}
    assert "initErrors" not in program.state()["claim"]
    assert program.up().ok().changes == {}
    after = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    assert at(after, "metadata.uid") == at(before, "metadata.uid")


def test_values_that_the_server_changes_differ_in_every_run(on_cluster: ClusterProgramFactory) -> None:
    """An empty list that the server returns as null, and empty labels, which are not normalized in Secrets."""
    program = on_cluster("""
        k8s.rbac.v1.Role("role", metadata=meta("role"), rules=[])
        k8s.core.v1.Secret("secret", metadata=meta("secret", labels={}), string_data={"a": "b"})
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm", labels={}), data={"a": "b"})
    """)
    program.up().ok()
    again = {"role": "update", "secret": "update"}
    assert program.preview().ok().changes == again
    assert program.up().ok().changes == again


def test_an_unknown_field_is_dropped_at_creation_and_refused_in_updates(
    on_cluster: ClusterProgramFactory, namespace: str
) -> None:
    group = f"{namespace}.example.com"
    program = on_cluster(f"""
        crd = k8s.apiextensions.v1.CustomResourceDefinition("crd", metadata={{"name": "things.{group}"}}, spec={{
            "group": "{group}", "scope": "Namespaced",
            "names": {{"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"}},
            "versions": [{{"name": "v1", "served": True, "storage": True, "schema": {{"openAPIV3Schema": {{
                "type": "object", "properties": {{"spec": {{"type": "object", "properties": {{
                    "size": {{"type": "integer"}}}}}}}}}}}}}}]}})
        k8s.apiextensions.CustomResource("thing", api_version="{group}/v1", kind="Thing", metadata=meta("thing"),
            spec={{"size": 1, "sise": 2}}, opts=pulumi.ResourceOptions(depends_on=crd))
    """)
    program.up().ok()
    refused = program.preview()
    assert refused.exit_code != 0
    assert any(".spec.sise: field not declared in schema" in message for message in refused.messages("error"))
    program.destroy().ok()


def test_inputs_of_builtin_kinds_are_normalized(on_cluster: ClusterProgramFactory) -> None:
    program = on_cluster("""
        k8s.apps.v1.Deployment("web", metadata=meta("web", labels={}), spec={
            "replicas": 1, "paused": False, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "automountServiceAccountToken": False, "hostNetwork": False, "priorityClasName": "high",
                "containers": [{"name": "main", "image": "image:1", "args": [],
                    "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/data", "readOnly": False}]}],
                "volumes": [{"name": "tmp", "emptyDir": {}}]}}})
    """)
    program.up().ok()
    state = program.state()["web"]
    assert at(state, "inputs.spec.template.spec") == {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "main",
                "image": "image:1",
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    assert program.up().ok().changes == {}
    program.refresh().ok()
    assert program.up().ok().changes == {}


def test_a_claim_is_not_replaced_while_a_pod_uses_it(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.core.v1.PersistentVolumeClaim("claim", metadata=meta("claim", annotations={
            "pulumi.com/timeoutSeconds": "8"}), spec={
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
    """
    program = on_cluster(source)
    program.up().ok()
    volume: Json = {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "user"},
        "spec": {"containers": [{"name": "main", "image": "image:1"}], "volumes": [volume]},
    }
    kube.create(pod, namespace)
    # A pod without a node does not use its claims (pkg/controller/volume/pvcprotection).
    eventually(lambda: "nodeName" in str(kube.get("v1", "Pod", "user", namespace)), "the pod has no node")
    before = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    program.write(source.replace("ReadWriteOnce", "ReadWriteOncePod"))
    result = program.up()
    assert result.exit_code != 0
    assert any("kubernetes.io/pvc-protection" in text for text in result.messages("error", "warning", "info"))
    held = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    assert at(held, "metadata.uid") == at(before, "metadata.uid")
    assert at(held, "metadata.deletionTimestamp")

    kube.delete("v1", "Pod", "user", namespace)
    program.up().ok()
    after = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    assert at(after, "spec.accessModes") == ["ReadWriteOncePod"]


def test_a_preview_shows_a_conflict_that_the_update_resolves(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    """The update takes ownership of kubectl's fields before it applies; a preview does not change ownership."""
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web", annotations={"step": "STEP"}), spec={
            "replicas": COUNT, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")})
    """
    program = on_cluster(source.replace("STEP", "1").replace("COUNT", "1"))
    program.up().ok()
    program.write(source.replace("STEP", "2").replace("COUNT", "1"))
    program.up().ok()
    kube.edit({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 5}}, "web", namespace)
    program.write(source.replace("STEP", "2").replace("COUNT", "2"))
    preview = program.preview()
    assert preview.exit_code != 0
    assert any("conflict" in message and "kubectl" in message for message in preview.messages("error"))
    assert program.up().ok().changes == {"web": "update"}
    live = kube.get("apps/v1", "Deployment", "web", namespace)
    assert at(live, "spec.replicas") == 2
