"""The client of the API server: what it connects to, and what it reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from components.schema import application as settings
from components.settings import kubeconfig
from operations.cluster import Cluster
from operations.errors import OperationError
from tests.http_server import Answer, serving
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
