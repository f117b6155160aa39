"""An unusable kubeconfig is reported once, with its path and the fix, before anything connects with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.schema.cluster import Cluster
from components.settings import kubeconfig


def content(*contexts: str, current: str | None = "one", cluster: str = "one") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "one", "user": {"token": "hunter2"}}],
        "contexts": [{"name": name, "context": {"cluster": cluster, "user": "one"}} for name in contexts],
        **({"current-context": current} if current else {}),
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without a kubeconfig."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(kubeconfig.VARIABLE, raising=False)
    monkeypatch.setattr(kubeconfig, "TOKEN", tmp_path / "token")
    return tmp_path


def write(file: Path, value: object) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return str(file)


def problem(cluster: Cluster | None = None, *, needed: bool = True) -> str:
    with pytest.raises(pulumi.RunError) as raised:
        kubeconfig.check(cluster or Cluster(), needed=needed)
    assert "hunter2" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("needed", [True, False])
def test_a_usable_kubeconfig_is_accepted(home: Path, monkeypatch: pytest.MonkeyPatch, needed: bool) -> None:
    file = write(home / "a", content("one", "two"))
    kubeconfig.check(Cluster(kubeconfig=file), needed=needed)
    kubeconfig.check(Cluster(kubeconfig="~/a"), needed=needed)
    monkeypatch.setenv(kubeconfig.VARIABLE, file)
    kubeconfig.check(Cluster(), needed=needed)
    kubeconfig.check(Cluster(context="two"), needed=needed)


def test_the_default_file_is_checked_too(home: Path) -> None:
    write(home / ".kube" / "config", content("one"))
    kubeconfig.check(Cluster(), needed=True)
    assert 'langfuse:cluster.context is "other"' in problem(Cluster(context="other"))


def test_a_missing_kubeconfig_is_an_error_only_if_one_is_needed(home: Path) -> None:
    kubeconfig.check(Cluster(), needed=False)
    assert problem().startswith("there is no kubeconfig: KUBECONFIG is not set, and ~/.kube/config does not exist; set")
    (home / "token").touch()
    kubeconfig.check(Cluster(), needed=True)  # in a pod


@pytest.mark.parametrize("needed", [True, False])
def test_a_configured_file_that_is_missing_is_an_error_in_previews_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, needed: bool
) -> None:
    assert problem(Cluster(kubeconfig="/none"), needed=needed).startswith(
        "langfuse:cluster.kubeconfig is /none, which does not exist; set KUBECONFIG or langfuse:cluster.kubeconfig"
    )
    monkeypatch.setenv(kubeconfig.VARIABLE, "/none:/nothing")
    assert problem(needed=needed).startswith("KUBECONFIG is /none:/nothing, which does not exist; set")


def test_several_files_are_merged_and_missing_ones_are_skipped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        write(home / "a", content("one", current=None)),
        str(home / "none"),
        write(home / "b", {"contexts": [{"name": "two", "context": {"cluster": "one"}}], "current-context": "two"}),
    ]
    monkeypatch.setenv(kubeconfig.VARIABLE, os.pathsep.join(files))
    kubeconfig.check(Cluster(), needed=True)
    kubeconfig.check(Cluster(context="one"), needed=True)
    said = problem(Cluster(context="three"))
    assert files[0] in said
    assert files[2] in said
    assert "choose one of one, two" in said


def test_several_files_are_left_to_the_provider(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kubeconfig.for_provider(Cluster()) is None
    monkeypatch.setenv(kubeconfig.VARIABLE, "/a")
    assert kubeconfig.for_provider(Cluster()) is None
    monkeypatch.setenv(kubeconfig.VARIABLE, "/a:/b")
    assert kubeconfig.for_provider(Cluster()) == ""
    assert kubeconfig.for_provider(Cluster(kubeconfig="/c")) == "/c"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clusters: [", "line 1: is not YAML"),
        ("apiVersion: v1\nusers:\n\t- hunter2\n", "line 3: is not YAML"),
        ("hunter2", "line 1: the file must be a map of keys"),
        ("{}", "there is no current context; set langfuse:cluster.context to one; the file has none"),
        ("contexts: 3", "there is no current context"),
        (content("one", current=None), "there is no current context; set langfuse:cluster.context to one of one"),
        (
            content("one", current="gone"),
            'current-context is "gone", which is not a context of this kubeconfig; choose one of one',
        ),
        (content("one", cluster="gone"), 'context "one" refers to a cluster that is not under `clusters`'),
    ],
)
def test_an_unusable_file_is_reported_with_its_path(home: Path, text: object, says: str) -> None:
    file = write(home / "a", text)
    said = problem(Cluster(kubeconfig=file))
    assert file in said
    assert says in said


def test_a_folder_is_not_a_kubeconfig(home: Path) -> None:
    assert "Is a directory" in problem(Cluster(kubeconfig=str(home)))


def test_inline_content_is_checked_and_not_shown(home: Path) -> None:
    kubeconfig.check(Cluster(kubeconfig=yaml.safe_dump(content("one"))), needed=True)
    assert "langfuse:cluster.kubeconfig" in problem(Cluster(kubeconfig=yaml.safe_dump(content("one", current="gone"))))
