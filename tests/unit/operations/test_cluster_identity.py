"""A stack whose configuration names another cluster is refused; another name for the same cluster is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations.cluster_identity import check
from operations.errors import OperationError
from operations.pulumi import Pulumi
from tests.http_server import Answer, Request, serving

UID = "6a6f7f3e-0f62-4a94-8f6d-0d6f3c0b3a01"


@dataclass(frozen=True)
class Deployed(Pulumi):
    """A stack with this state and this configuration of `langfuse:cluster`."""

    cluster: Mapping[str, str] = field(default_factory=dict)
    resources: tuple[Mapping[str, Any], ...] = ()

    def run(self, *_words: str, folder: Path = Path(), stdin: str = "") -> str:
        return json.dumps({"deployment": {"resources": self.resources}})

    def settings(self) -> Mapping[str, Any]:
        return {"langfuse:cluster": dict(self.cluster)}


NAMESPACE = {
    "type": "kubernetes:core/v1:Namespace",
    "outputs": {"metadata": {"name": "langfuse-dev", "uid": UID}},
}


def kubeconfig(folder: Path, **contexts: str) -> str:
    """A file with a context for each server."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(contexts)),
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in contexts.items()],
        "users": [{"name": "user", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "user"}} for name in contexts],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def namespace(uid: str) -> Answer:
    return Answer({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "langfuse-dev", "uid": uid}})


def asked(request: Request) -> bool:
    return request.method == "GET" and request.path == "/api/v1/namespaces/langfuse-dev"


def test_two_names_of_the_same_cluster_are_the_same_cluster(tmp_path: Path) -> None:
    with serving(lambda request: namespace(UID) if asked(request) else Answer(status=500)) as url:
        file = kubeconfig(tmp_path, old=url, new=url)
        for context in ({}, {"context": "old"}, {"context": "new"}):
            check(Deployed("dev", cluster={"kubeconfig": file, **context}, resources=(NAMESPACE,)))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (namespace("another"), "has another namespace langfuse-dev"),
        (Answer({"kind": "Status", "reason": "NotFound"}, status=404), "has no namespace langfuse-dev"),
    ],
    ids=["of the same name", "without the namespace"],
)
def test_another_cluster_is_refused(tmp_path: Path, answer: Answer, says: str) -> None:
    with serving(lambda _: namespace(UID)) as own, serving(lambda _: answer) as other:
        file = kubeconfig(tmp_path, own=own, other=other)
        check(Deployed("dev", cluster={"kubeconfig": file}, resources=(NAMESPACE,)))
        with pytest.raises(OperationError, match=r"langfuse:cluster\.context other") as raised:
            check(Deployed("dev", cluster={"kubeconfig": file, "context": "other"}, resources=(NAMESPACE,)))
    assert says in str(raised.value)
    assert UID in str(raised.value)


def test_what_cannot_be_told_is_no_reason_to_refuse(tmp_path: Path) -> None:
    gone = kubeconfig(tmp_path, gone="http://127.0.0.1:9")
    for file in (str(tmp_path / "missing"), gone):
        check(Deployed("dev", cluster={"kubeconfig": file}, resources=(NAMESPACE,)))
    with serving(lambda _: Answer({"kind": "Status"}, status=403)) as url:
        check(Deployed("dev", cluster={"kubeconfig": kubeconfig(tmp_path, own=url)}, resources=(NAMESPACE,)))


def test_a_stack_that_is_not_deployed_is_nowhere() -> None:
    check(Deployed("dev", cluster={"kubeconfig": "/nowhere"}))


def test_a_kubeconfig_in_the_configuration_itself_is_read(tmp_path: Path) -> None:
    with serving(lambda _: namespace("another")) as url:
        content = Path(kubeconfig(tmp_path, own=url)).read_text()
        with pytest.raises(OperationError, match="another namespace"):
            check(Deployed("dev", cluster={"kubeconfig": content}, resources=(NAMESPACE,)))
