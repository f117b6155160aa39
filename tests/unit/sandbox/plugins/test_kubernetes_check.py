"""Completed inputs: names, namespaces and rejected kinds."""

from __future__ import annotations

import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import check
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.informers import Cancellation
from sandbox.plugins.kubernetes.objects import Object, name
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import UNKNOWN, Properties
from sandbox.plugins.pulumirpc import provider_pb2

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
Autonaming = provider_pb2.CheckRequest.AutonamingOptions


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    return Cluster(Settings(namespace="team"), Cancellation())


def complete(
    cluster: Cluster,
    news: Object,
    olds: Properties | None = None,
    token: str = CONFIG_MAP,
    **request: Autonaming | bytes,
) -> Object:
    urn = f"urn:pulumi:stack::project::{token}::settings"
    return check.complete(cluster, provider_pb2.CheckRequest(urn=urn, **request), token, olds or {}, news)  # type: ignore[arg-type]  # fields by name


def test_kind_name_and_namespace_are_filled_in(cluster: Cluster) -> None:
    completed = complete(cluster, {"data": {"a": "1"}})
    assert (completed["apiVersion"], completed["kind"]) == ("v1", "ConfigMap")
    assert name(completed).startswith("settings-")
    assert len(name(completed)) == len("settings-") + 8
    metadata = completed["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["namespace"] == "team"
    assert metadata["annotations"] == {"pulumi.com/autonamed": "true"}
    assert name(complete(cluster, {})) != name(completed)


def test_a_generated_name_is_kept(cluster: Cluster) -> None:
    first = complete(cluster, {})
    assert complete(cluster, {}, olds=dict(first))["metadata"] == first["metadata"]


@pytest.mark.parametrize("given", ["fixed", UNKNOWN])
def test_an_explicit_name_is_kept(cluster: Cluster, given: str) -> None:
    completed = complete(cluster, {"metadata": {"name": given}})
    assert completed["metadata"] == {"name": given, "namespace": "team"}


def test_the_same_seed_generates_the_same_name(cluster: Cluster) -> None:
    assert name(complete(cluster, {}, randomSeed=b"x")) == name(complete(cluster, {}, randomSeed=b"x"))


def test_the_engine_proposes_names_or_disables_autonaming(cluster: Cluster) -> None:
    proposed = Autonaming(proposed_name="proposed", mode=Autonaming.PROPOSE)
    assert name(complete(cluster, {}, autonaming=proposed)) == "proposed"
    with pytest.raises(PluginError, match="autonaming is disabled"):
        complete(cluster, {}, autonaming=Autonaming(mode=Autonaming.DISABLE))


def test_cluster_scoped_objects_get_no_namespace(cluster: Cluster) -> None:
    completed = complete(cluster, {"metadata": {"name": "x"}}, token="kubernetes:core/v1:Namespace")  # noqa: S106  # a type
    assert completed["metadata"] == {"name": "x"}


def test_generate_name_is_rejected(cluster: Cluster) -> None:
    with pytest.raises(PluginError, match="generateName"):
        complete(cluster, {"metadata": {"generateName": "x-"}})


@pytest.mark.parametrize(
    ("token", "inputs", "named"),
    [
        ("kubernetes:helm.sh/v3:Release", {}, "Helm"),
        ("kubernetes:yaml/v2:ConfigGroup", {}, "YAML"),
        ("kubernetes:apps/v1:DeploymentPatch", {"kind": "Deployment"}, "Patch"),
        ("kubernetes:core/v1:SecretList", {"items": []}, "list resources"),
    ],
)
def test_unsupported_kinds_are_rejected(token: str, inputs: Properties, named: str) -> None:
    with pytest.raises(PluginError) as failure:
        check.refuse_unsupported(token, inputs)
    assert named in failure.value.message
    assert token in failure.value.message


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        ("kubernetes:example.com/v1:ConfigPatch", {"kind": "ConfigPatch"}),
        ("kubernetes:example.com/v1:AllowList", {"kind": "AllowList", "spec": {}}),
    ],
)
def test_kinds_with_similar_names_are_supported(token: str, inputs: Properties) -> None:
    check.refuse_unsupported(token, inputs)
