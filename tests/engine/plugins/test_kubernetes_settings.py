"""The configuration of the provider, and its errors about unsupported settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.engine.harness import Engine, Json
from tests.engine.kube import ClusterProgramFactory, Kube, at

pytestmark = pytest.mark.long

CLOSED = "http://127.0.0.1:9"


def unreachable(server: str = CLOSED) -> str:
    cluster: Json = {"name": "c", "cluster": {"server": server}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    content = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
    return json.dumps({"apiVersion": "v1", "kind": "Config", **content})


def test_names_follow_the_autonaming_configuration(on_cluster: ClusterProgramFactory) -> None:
    program = on_cluster("""
        cm = k8s.core.v1.ConfigMap("settings", metadata={"namespace": "NAMESPACE"})
        pulumi.export("name", cm.metadata.name)
        pulumi.export("annotations", cm.metadata.annotations)
    """)
    program.pulumi("config", "set", "--path", "pulumi:autonaming.mode", "verbatim").ok()
    program.up().ok()
    assert program.outputs() == {"name": "settings", "annotations": {"pulumi.com/autonamed": "true"}}
    program.pulumi("config", "set", "--path", "pulumi:autonaming.mode", "disabled").ok()
    program.write('k8s.core.v1.ConfigMap("other", metadata={"namespace": "NAMESPACE"})')
    refused = program.up()
    assert refused.exit_code != 0
    assert any("autonaming is disabled" in message for message in refused.messages("error"))


@pytest.mark.parametrize("kubeconfig", ["missing", "closed"])
def test_without_a_cluster_previews_work_and_updates_report_what_is_missing(
    on_cluster: ClusterProgramFactory, kubeconfig: str
) -> None:
    program = on_cluster("""
        cm = k8s.core.v1.ConfigMap("cm", metadata=meta(), data={"a": "1"})
        k8s.core.v1.Secret("secret", metadata=meta("secret"), string_data={"key": "value"})
        k8s.apiextensions.CustomResource("thing", api_version="example.com/v1", kind="Thing", metadata=meta("thing"))
    """)
    file = program.folder / "kubeconfig"
    program.variables["KUBECONFIG"] = str(file)
    if kubeconfig == "closed":
        file.write_text(unreachable())
    assert program.preview().ok().changes == dict.fromkeys(("cm", "secret", "thing"), "create")
    result = program.up()
    assert result.exit_code != 0
    errors = [message for message in result.messages("error") if "unreachable" in message]
    assert errors
    assert not any("Traceback" in message for message in result.messages("error", "info#err"))
    if kubeconfig == "closed":
        assert any("127.0.0.1:9" in message for message in errors)
    assert not {"cm", "secret", "thing"} & program.state().keys()


def test_objects_are_created_in_the_configured_namespace(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster("""
        k8s.core.v1.ConfigMap("cm", metadata={"name": "cm"})
        k8s.rbac.v1.ClusterRole("role", metadata={"name": "NAMESPACE"}, rules=[
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
    """)
    program.config_set("kubernetes:namespace", namespace)
    program.up().ok()
    assert kube.get("v1", "ConfigMap", "cm", namespace) is not None
    assert program.state()["role"]["id"] == namespace
    assert program.up().ok().changes == {}
    program.destroy().ok()


def test_an_explicit_provider_takes_a_kubeconfig_by_content_or_path(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        from pathlib import Path
        provider = k8s.Provider("cluster", kubeconfig=KUBECONFIG, suppress_deprecation_warnings=True)
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm"), opts=pulumi.ResourceOptions(provider=provider))
    """
    program = on_cluster(source.replace("KUBECONFIG", f"Path('{kube.kubeconfig}').read_text()"))
    program.variables["KUBECONFIG"] = "/nowhere"
    program.up().ok()
    assert kube.get("v1", "ConfigMap", "cm", namespace) is not None
    program.write(source.replace("KUBECONFIG", f"'{kube.kubeconfig}'"))
    assert program.up().ok().changes == {}  # the same cluster, configured differently

    elsewhere = program.folder / "elsewhere"
    elsewhere.write_text(unreachable())
    program.write(source.replace("KUBECONFIG", f"'{elsewhere}'"))
    assert program.preview().ok().ops["cluster"] == "replace"


def test_an_unknown_context_is_reported(on_cluster: ClusterProgramFactory) -> None:
    program = on_cluster('k8s.core.v1.ConfigMap("cm", metadata=meta("cm"))')
    program.config_set("kubernetes:context", "nonexistent")
    result = program.up()
    assert result.exit_code != 0
    assert any("nonexistent" in message for message in result.messages("error"))


def test_a_refresh_of_an_unreachable_cluster_keeps_the_state_by_default(
    on_cluster: ClusterProgramFactory, kube: Kube
) -> None:
    program = on_cluster('k8s.core.v1.ConfigMap("cm", metadata=meta("cm"))')
    program.up().ok()
    away = program.folder / "away"
    away.write_text(unreachable())
    program.variables["KUBECONFIG"] = str(away)
    refused = program.refresh()
    assert refused.exit_code != 0
    assert any("PULUMI_K8S_DELETE_UNREACHABLE" in message for message in refused.messages("error"))
    assert program.up().ok().changes == {}
    assert program.destroy().exit_code != 0
    assert "cm" in program.state()

    program.variables["PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"] = "true"
    program.refresh().ok()
    assert "cm" in program.state()
    del program.variables["PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"]
    program.variables["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    program.refresh().ok()
    assert "cm" not in program.state()


def test_objects_can_be_rendered_as_files(on_cluster: ClusterProgramFactory, tmp_path: Path) -> None:
    source = f"""
        provider = k8s.Provider("files", render_yaml_to_directory="{tmp_path}/yaml")
        opts = pulumi.ResourceOptions(provider=provider)
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm"), data={{"a": "OLD"}}, opts=opts)
        k8s.core.v1.ConfigMap("other", metadata=meta("other"), opts=opts)
        k8s.apps.v1.Deployment("web", metadata=meta("web"), spec={{
            "selector": {{"matchLabels": {{"app": "web"}}}}, "template": template("web")}}, opts=opts)
    """
    program = on_cluster(source)
    program.variables["KUBECONFIG"] = ""
    program.up().ok()
    folder = tmp_path / "yaml" / "1-manifest"
    files = {f"v1-configmap-{program.namespace}-cm.yaml", f"v1-configmap-{program.namespace}-other.yaml"}
    files.add(f"apps_v1-deployment-{program.namespace}-web.yaml")
    assert {file.name for file in folder.iterdir()} == files
    content = yaml.safe_load((folder / f"v1-configmap-{program.namespace}-cm.yaml").read_text())
    assert content["data"] == {"a": "OLD"}
    assert content["metadata"]["name"] == "cm"

    program.write("\n".join(line for line in source.replace("OLD", "NEW").splitlines() if '"other"' not in line))
    program.up().ok()
    content = yaml.safe_load((folder / f"v1-configmap-{program.namespace}-cm.yaml").read_text())
    assert content["data"] == {"a": "NEW"}
    assert f"v1-configmap-{program.namespace}-other.yaml" not in {file.name for file in folder.iterdir()}


def test_without_server_side_apply_objects_are_patched(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web", labels={"gone": "x"}), spec={
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "image:OLD")})
    """
    program = on_cluster(source)
    program.config_set("kubernetes:enableServerSideApply", "false")
    program.up().ok()
    kube.edit({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}}, "web", namespace, manager="x")
    program.write(source.replace("OLD", "NEW").replace(', labels={"gone": "x"}', ""))
    assert program.up().ok().changes == {"web": "update"}
    live = kube.get("apps/v1", "Deployment", "web", namespace)
    assert at(live, "metadata.labels") == {"app.kubernetes.io/managed-by": "pulumi"}
    assert at(at(live, "spec"), "template.spec.containers.0.image") == "image:NEW"
    assert program.up().ok().changes == {}


def test_strict_mode_forbids_the_ambient_cluster(on_cluster: ClusterProgramFactory) -> None:
    program = on_cluster('k8s.core.v1.ConfigMap("cm", metadata=meta("cm"))')
    program.config_set("kubernetes:strictMode", "true")
    result = program.preview()
    assert result.exit_code != 0
    assert any("strict mode prohibits default provider" in message for message in result.messages("error"))


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('k8s.core.v1.ConfigMapPatch("it", metadata=meta("it"), data={"a": "1"})', "ConfigMapPatch"),
        ('k8s.helm.v3.Release("it", chart="nginx")', "helm.sh/v3:Release"),
        ('k8s.yaml.v2.ConfigGroup("it", yaml="kind: ConfigMap")', "yaml/v2:ConfigGroup"),
        ('k8s.core.v1.ConfigMapList("it", items=[])', "list resources"),
        ('k8s.Provider("it", helm_release_settings={"driver": "secret"})', "helmReleaseSettings"),
    ],
)
def test_unsupported_settings_are_reported(
    on_cluster: ClusterProgramFactory, engine: Engine, source: str, named: str
) -> None:
    if not engine.has_standin("resource", "kubernetes"):
        pytest.skip("the official plugin supports what the stand-in refuses")
    result = on_cluster(source).preview()
    assert result.exit_code != 0
    errors = result.messages("error")
    assert any(named in error for error in errors)
    assert not any("defect" in error for error in errors)
