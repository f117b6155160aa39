"""Kubernetes objects with the real engine: create, update, replace, repair, import and delete."""

from __future__ import annotations

import base64

import pytest

from tests.engine.harness import Json
from tests.engine.kube import ClusterProgramFactory, Kube, at

EVERY_SORT = """
    labels = {"app": "web"}
    cm = k8s.core.v1.ConfigMap("cm", metadata=meta(), data={"a": "1"})
    k8s.core.v1.Secret("secret", metadata=meta("secret"), string_data={"key": pulumi.Output.secret("PASSWORD")})
    k8s.core.v1.ServiceAccount("account", metadata=meta("account"))
    k8s.core.v1.PersistentVolumeClaim("claim", metadata=meta("claim"), spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}})
    k8s.core.v1.Service("service", metadata=meta("web"), spec={"selector": labels, "ports": [{"port": 80}]})
    k8s.core.v1.Service("headless", metadata=meta("headless"), spec={
        "clusterIP": "None", "selector": labels, "ports": [{"name": "web", "port": 80}]})
    k8s.apps.v1.Deployment("deployment", metadata=meta("web"), spec={
        "replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"automountServiceAccountToken": False, "containers": [{
            "name": "main", "image": "image:1", "env": [{"name": "EMPTY", "value": ""}],
            "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}]}}})
    k8s.apps.v1.StatefulSet("stateful", metadata=meta("stateful"), spec={
        "serviceName": "headless", "replicas": 1, "selector": {"matchLabels": {"app": "stateful"}},
        "template": template("stateful")})
    k8s.batch.v1.Job("job", metadata=meta(), spec={"template": template("job", restartPolicy="Never")})
    k8s.batch.v1.CronJob("cron", metadata=meta("cron"), spec={"schedule": "@daily", "jobTemplate": {
        "spec": {"template": template("cron", restartPolicy="Never")}}})
    k8s.networking.v1.NetworkPolicy("policy", metadata=meta("policy"), spec={
        "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]})
    k8s.rbac.v1.Role("role", metadata=meta("role"), rules=[
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
    pulumi.export("cm", cm.metadata.name)
"""
NAMES = {
    "cm", "secret", "account", "claim", "service", "headless", "deployment", "stateful", "job", "cron", "policy",
    "role",
}  # fmt: skip


def test_every_kind_of_object_becomes_ready_and_a_second_update_changes_nothing(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster(EVERY_SORT)
    preview = program.preview().ok()
    assert preview.changes == dict.fromkeys(NAMES, "create")
    assert kube.get("apps/v1", "Deployment", "web", namespace) is None

    assert program.up().ok().changes == dict.fromkeys(NAMES, "create")
    deployment = kube.get("apps/v1", "Deployment", "web", namespace)
    stateful = kube.get("apps/v1", "StatefulSet", "stateful", namespace)
    assert at(deployment, "status.availableReplicas") == 2
    assert at(stateful, "status.readyReplicas") == 1
    state = program.state()
    assert state["cm"]["id"] == f"{namespace}/{program.outputs()['cm']}"
    assert at(state["job"], "outputs.status.succeeded") == 1

    assert program.up().ok().changes == {}
    program.refresh().ok()
    assert program.preview("--expect-no-changes").ok().changes == {}
    assert program.destroy().ok().exit_code == 0
    for api_version, kind, name in (
        ("v1", "Secret", "secret"),
        ("apps/v1", "Deployment", "web"),
        ("v1", "Service", "web"),
    ):
        assert kube.get(api_version, kind, name, namespace) is None


def test_a_changed_image_updates_in_place_and_a_changed_config_map_replaces_it(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        cm = k8s.core.v1.ConfigMap("cm", metadata=meta(), data={"a": "OLD"})
        fixed = k8s.core.v1.ConfigMap("fixed", metadata=meta("fixed"), data={"a": "OLD"})
        k8s.apps.v1.Deployment("web", metadata=meta("web", annotations={"config": cm.metadata.name}), spec={
            "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "image:OLD")})
        pulumi.export("cm", cm.metadata.name)
    """
    program = on_cluster(source)
    program.up().ok()
    before, old_name = kube.get("apps/v1", "Deployment", "web", namespace), program.outputs()["cm"]
    program.write(source.replace("OLD", "NEW"))

    preview = program.preview().ok()
    assert preview.changes == {"cm": "replace", "fixed": "replace", "web": "update"}
    (web,) = (step for step in preview.steps if step.name == "web")
    assert "spec.template.spec.containers[0].image" in web.detailed
    result = program.up().ok()
    assert result.changes == preview.changes
    first = next(step for step in result.steps if step.name == "fixed")
    assert first.op == "delete-replaced"  # its name is in use

    after, new_name = kube.get("apps/v1", "Deployment", "web", namespace), program.outputs()["cm"]
    assert at(after, "metadata.uid") == at(before, "metadata.uid")
    assert new_name != old_name
    assert kube.names("v1", "ConfigMap", namespace) - {"kube-root-ca.crt"} == {new_name, "fixed"}
    assert program.up().ok().changes == {}


def test_mutable_secrets_and_config_maps_change_in_place(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.core.v1.Secret("secret", metadata=meta("secret"), string_data={"key": "OLD"})
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm"), data={"a": "OLD", "gone": "OLD"})
    """
    program = on_cluster(source)
    program.config_set("kubernetes:enableSecretMutable", "true")
    program.config_set("kubernetes:enableConfigMapMutable", "true")
    program.up().ok()
    program.write(source.replace(', "gone": "OLD"', "").replace("OLD", "NEW"))
    assert program.preview().ok().changes == {"secret": "update", "cm": "update"}
    assert program.up().ok().changes == {"secret": "update", "cm": "update"}
    secret, cm = (kube.get("v1", kind, name, namespace) for kind, name in (("Secret", "secret"), ("ConfigMap", "cm")))
    assert at(secret, "data") == {"key": base64.b64encode(b"NEW").decode()}
    assert at(cm, "data") == {"a": "NEW"}
    assert program.up().ok().changes == {}


def test_changing_an_immutable_field_replaces_the_object(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web"), spec={
            "selector": {"matchLabels": {"app": "OLD"}}, "template": template("OLD")})
        k8s.rbac.v1.RoleBinding("binding", metadata=meta("binding"), subjects=[],
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "OLD"})
        k8s.core.v1.Service("service", metadata=meta("renamed-OLD"), spec={
            "clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]})
        k8s.batch.v1.Job("job", metadata=meta(), spec={"template": template("job", "image:OLD", restartPolicy="Never")})
    """
    source = source.replace("OLD", "old")
    program = on_cluster(source)
    program.up().ok()
    program.write(source.replace("old", "new"))
    replaced = dict.fromkeys(("web", "binding", "service", "job"), "replace")
    assert program.preview().ok().changes == replaced
    assert program.up().ok().changes == replaced
    assert kube.get("v1", "Service", "renamed-old", namespace) is None
    assert kube.get("v1", "Service", "renamed-new", namespace) is not None


def test_an_object_is_imported_unchanged(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "1"}}
    kube.create(theirs, namespace)
    program = on_cluster("""
        k8s.core.v1.ConfigMap("cm", metadata=meta("theirs"), data={"a": "1"},
            opts=pulumi.ResourceOptions(import_="NAMESPACE/theirs"))
        read = k8s.core.v1.ConfigMap.get("read", "NAMESPACE/theirs")
        pulumi.export("read", read.data)
    """)
    assert program.up().ok().changes["cm"] == "import"
    assert program.outputs()["read"] == {"a": "1"}
    assert program.up().ok().changes == {"read": "read"}
    missing = program.pulumi("import", "--yes", "kubernetes:core/v1:ConfigMap", "other", f"{namespace}/nowhere")
    assert missing.exit_code != 0
    assert "nowhere" in missing.output


@pytest.mark.long
def test_a_program_can_create_a_definition_and_its_custom_resource(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    group = f"{namespace}.example.com"
    definition = f"""
        crd = k8s.apiextensions.v1.CustomResourceDefinition("crd", metadata={{"name": "things.{group}"}}, spec={{
            "group": "{group}", "scope": "Namespaced",
            "names": {{"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"}},
            "versions": [{{"name": "v1", "served": True, "storage": True, "schema": {{"openAPIV3Schema": {{
                "type": "object", "x_kubernetes_preserve_unknown_fields": True}}}}}}]}})
    """
    thing = f"""
        k8s.apiextensions.CustomResource("thing", api_version="{group}/v1", kind="Thing", metadata=meta("thing"),
            spec={{"size": 1, "list": [1, 2]}})
    """
    alone = on_cluster(thing)
    assert alone.preview().ok().changes == {"thing": "create"}
    alone.write(
        thing.replace(
            'metadata=meta("thing")', 'metadata=meta("thing", annotations={"pulumi.com/timeoutSeconds": "1"})'
        )
    )
    refused = alone.up()
    assert refused.exit_code != 0
    assert any("CRD" in message and "Thing" in message for message in refused.messages("error"))

    program = on_cluster(definition + thing)
    assert program.preview().ok().changes == {"crd": "create", "thing": "create"}
    program.up().ok()
    live = kube.get(f"{group}/v1", "Thing", "thing", namespace)
    assert at(live, "spec") == {"size": 1, "list": [1, 2]}
    assert program.up().ok().changes == {}
    program.write(definition + thing.replace('"size": 1', '"size": 2'))
    assert program.up().ok().changes == {"thing": "update"}
    program.destroy().ok()
    assert kube.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"things.{group}") is None
