"""The provider's configuration and the cluster that a kubeconfig selects."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import configuration, kubeconfig, settings
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.informers import Cancellation
from sandbox.plugins.kubernetes.objects import Kind, mapping, objects
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import UNKNOWN, Properties, Secret

DEFAULT = "urn:pulumi:s::p::pulumi:providers:kubernetes::default_4_34_2"
EXPLICIT = "urn:pulumi:s::p::pulumi:providers:kubernetes::cluster"


def config(server: str = "https://one", **extra: str) -> str:
    clusters = [{"name": "c", "cluster": {"server": server}}, {"name": "d", "cluster": {"server": "https://two"}}]
    contexts = [
        {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        {"name": "y", "context": {"cluster": "d", "user": "u"}},
    ]
    user = {"name": "u", "user": {"token": "TOKEN", **extra}}
    content = {"clusters": clusters, "contexts": contexts, "users": [user], "current-context": "x"}
    return json.dumps({"apiVersion": "v1", "kind": "Config", **content})


def variables(**given: str) -> dict[str, str]:
    return {f"kubernetes:config:{key}": value for key, value in given.items()}


def test_defaults_are_those_of_the_official_provider() -> None:
    assert settings.read({}) == Settings(server_side_apply=True)


def test_environment_variables_are_the_defaults_of_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SECRET_MUTABLE", "true")
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", "false")
    found = settings.read(variables(enableServerSideApply="true"))
    assert found.secret_mutable
    assert found.server_side_apply


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("helmReleaseSettings", "{}", "not supported by the stand-in"),
        ("enableServerSideAply", "true", "not a setting"),
        ("kubeClientSettings", '{"qps": 5}', "kubeClientSettings.qps"),
        ("kubeClientSettings", "[]", "must be an object"),
        ("kubeClientSettings", '{"timeout": "soon"}', "in seconds"),
    ],
)
def test_unsupported_settings_are_rejected(key: str, value: str, rule: str) -> None:
    with pytest.raises(PluginError) as failure:
        settings.read(variables(**{key: value}))
    assert rule in failure.value.message
    assert key in failure.value.message


def test_the_request_timeout_is_read() -> None:
    assert settings.read(variables(kubeClientSettings='{"timeout": 7}')).request_timeout == 7.0


@pytest.mark.parametrize(
    ("urn", "news", "keys"),
    [
        (DEFAULT, {}, []),
        (DEFAULT, {"strictMode": "true"}, ["", "kubeconfig", "context"]),
        (EXPLICIT, {"strictMode": "true", "kubeconfig": "x", "context": "y"}, []),
        (EXPLICIT, {"renderYamlToDirectory": "d", "context": "y"}, ["context"]),
        (EXPLICIT, {"alwaysRender": "true"}, ["alwaysRender"]),
        (EXPLICIT, {"unheardOf": "1"}, [""]),
    ],
)
def test_every_error_in_a_configuration_is_reported(urn: str, news: Properties, keys: list[str]) -> None:
    assert [failure.property for failure in configuration.failures(urn, news)] == keys


@pytest.mark.parametrize(
    ("olds", "news", "changed", "replaces"),
    [
        ({"kubeconfig": config()}, {"kubeconfig": config()}, [], []),
        ({"kubeconfig": config()}, {"kubeconfig": config(extra="1")}, ["kubeconfig"], []),
        ({"kubeconfig": config()}, {"kubeconfig": Secret(config())}, [], []),
        ({"kubeconfig": config()}, {"kubeconfig": config("https://b")}, ["kubeconfig"], ["kubeconfig"]),
        ({"kubeconfig": config()}, {"kubeconfig": config(), "context": "y"}, ["context"], ["context"]),
        ({"kubeconfig": config()}, {"kubeconfig": UNKNOWN}, ["kubeconfig"], ["kubeconfig"]),
        ({"namespace": "a"}, {"namespace": "b"}, ["namespace"], []),
        (
            {"renderYamlToDirectory": "a"},
            {"renderYamlToDirectory": "b"},
            ["renderYamlToDirectory"],
            ["renderYamlToDirectory"],
        ),
        ({"clusterIdentifier": "a"}, {"clusterIdentifier": "b"}, ["clusterIdentifier"], ["clusterIdentifier"]),
        (
            {"clusterIdentifier": "a", "kubeconfig": config()},
            {"clusterIdentifier": "a", "kubeconfig": config("https://b")},
            ["kubeconfig"],
            [],
        ),
    ],
)
def test_only_another_cluster_replaces_the_provider(
    olds: Properties, news: Properties, changed: list[str], replaces: list[str]
) -> None:
    assert configuration.differences(olds, news) == (changed, replaces)


def test_a_kubeconfig_is_found_by_content_path_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.write_text(config())
    monkeypatch.setenv("KUBECONFIG", str(file))
    for given in (Settings(), Settings(kubeconfig=config()), Settings(kubeconfig=str(file))):
        target = kubeconfig.resolve(given)
        assert (target.server, target.namespace) == ("https://one", "team")
    other = kubeconfig.resolve(Settings(context="y"))
    assert (other.server, other.namespace) == ("https://two", "default")
    assert kubeconfig.resolve(Settings(cluster="d")).server == "https://two"


def test_several_kubeconfigs_are_merged_and_their_files_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a" / "config", tmp_path / "b" / "config"
    for file in (first, second):
        file.parent.mkdir()
    first.write_text(config())
    cluster = {"name": "n", "cluster": {"server": "https://three", "certificate-authority": "ca.crt"}}
    context = {"name": "n", "context": {"cluster": "n", "user": "u"}}
    content = {"clusters": [cluster], "contexts": [context], "current-context": "n"}
    second.write_text(json.dumps(content))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(first), str(tmp_path / "none"), str(second)]))
    assert kubeconfig.resolve(Settings()).server == "https://one"
    target = kubeconfig.resolve(Settings(context="n"))
    assert target.server == "https://three"
    (found,) = (item for item in objects(target.content, "clusters") if item["name"] == "n")
    assert mapping(found, "cluster")["certificate-authority"] == str(tmp_path / "b" / "ca.crt")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (Settings(kubeconfig="/nowhere/at/all"), "is not a file"),
        (Settings(kubeconfig=config(), context="z"), 'no context "z" (it has: x, y)'),
        (Settings(kubeconfig=config(), cluster="z"), "no cluster"),
        (Settings(kubeconfig="a: [TOKEN\nb"), "neither YAML nor JSON"),
        (Settings(kubeconfig="- TOKEN\n- b"), "not a kubeconfig"),
    ],
)
def test_an_unusable_kubeconfig_is_an_error_without_its_content(given: Settings, rule: str) -> None:
    with pytest.raises(PluginError) as failure:
        kubeconfig.resolve(given)
    assert rule in failure.value.message
    assert "TOKEN" not in failure.value.message


def test_scopes_are_known_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    cluster = Cluster(Settings(), Cancellation())
    assert cluster.unreachable
    assert cluster.namespaced(Kind("", "v1", "ConfigMap"))
    assert not cluster.namespaced(Kind("", "v1", "Namespace"))
    assert cluster.namespaced(Kind("example.com", "v1", "Thing"))
    names = {"kind": "Thing"}
    cluster.scopes.declare({"spec": {"group": "example.com", "scope": "Cluster", "names": dict(names)}})
    assert not cluster.namespaced(Kind("example.com", "v1", "Thing"))
