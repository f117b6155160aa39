"""The client of the API server: what it connects to, and what it reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from components.schema import cluster as settings
from components.settings import kubeconfig
from operations.cluster import Cluster
from operations.errors import OperationError
from tests.http_server import Answer, Request, serving
from tests.unit.operations import test_cluster_identity as identity


def test_in_a_pod_without_a_kubeconfig_its_service_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.touch()
    monkeypatch.setattr(kubeconfig, "TOKEN", token)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with serving(lambda _: identity.namespace("a-uid")) as url:

        def load(client_configuration: Any) -> None:  # noqa: ANN401  # kubernetes has no types
            client_configuration.host = url

        monkeypatch.setattr(config, "load_incluster_config", load)
        assert Cluster(settings.Cluster()).namespace_uid("langfuse-dev") == "a-uid"


def test_a_namespace_that_does_not_exist_has_no_uid(tmp_path: Path) -> None:
    with serving(lambda _: Answer({"kind": "Status"}, status=404)) as url:
        cluster = Cluster(settings.Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url)))
        assert cluster.namespace_uid("langfuse-dev") is None


def test_what_the_cluster_refuses_is_reported(tmp_path: Path) -> None:
    with serving(lambda _: Answer({"kind": "Status"}, status=403)) as url:
        cluster = Cluster(settings.Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url)))
        with pytest.raises(OperationError, match="the cluster refused the request: 403"):
            cluster.namespace_uid("langfuse-dev")


@pytest.mark.parametrize("text", ["", "- a list", "{"])
def test_a_kubeconfig_that_cannot_be_used_gives_one_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(OperationError, match="kubeconfig"):
        Cluster(settings.Cluster(kubeconfig=str(file))).namespace_uid("langfuse-dev")


KINDS = [
    {"name": "configmaps", "singularName": "configmap", "namespaced": True, "kind": "ConfigMap", "verbs": ["get"]},
]
API: dict[str, Any] = {
    "/version": {"major": "1", "minor": "36"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": KINDS},
    "/api/v1/namespaces/ns/configmaps/there": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "there", "creationTimestamp": "2026-01-01T00:00:00Z"},
    },
}


@pytest.mark.parametrize(
    ("kind", "name", "exists"), [("ConfigMap", "there", True), ("ConfigMap", "x", False), ("X", "x", False)]
)
def test_objects_are_found_by_kind_and_name(tmp_path: Path, kind: str, name: str, *, exists: bool) -> None:
    def answer(request: Request) -> Answer:
        found = API.get(request.path.partition("?")[0])
        return Answer(found) if found else Answer({"kind": "Status"}, status=404)

    with serving(answer) as url:
        cluster = Cluster(settings.Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url)))
        found = cluster.get({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ns"}})
    assert bool(found) == exists
    assert not found or found["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
