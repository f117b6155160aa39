"""The names of a cluster in a kubeconfig do not affect what is deployed to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.engine.harness import Result
from tests.engine.stacks import Stack, changed_resources

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(600)]

PROVIDER = "pulumi:providers:kubernetes"
RULES = ("networking.k8s.io/v1:NetworkPolicy", "security.istio.io/v1:AuthorizationPolicy")


def _others(stack: str) -> Callable[[str, list[str]], set[str]]:
    """The files that a copy of the backend leaves out: locks, and other stacks, which may be written meanwhile."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        if Path(folder).parent.name == "stacks":
            return {name for name in names if not name.startswith(f"{stack}.") or name.endswith(".tmp")}
        return {"backups", "history", "locks"}

    return ignored


class Copy(Stack):
    """The dev stack with a copy of its state and its own kubeconfig, for previews on the same cluster."""

    def __init__(self, dev: Stack, folder: Path) -> None:
        kubeconfig, backend = folder / "kubeconfig", folder / "backend"
        shutil.copytree(urlsplit(dev.environment["PULUMI_BACKEND_URL"]).path, backend, ignore=_others(dev.name))
        shutil.copytree(dev.folder, folder / "stacks")
        content = yaml.safe_load(Path(dev.environment["KUBECONFIG"]).read_text())
        (context,) = content["contexts"]
        content["contexts"] += [{**context, "name": name} for name in ("old", "new")]
        kubeconfig.write_text(yaml.safe_dump(content))
        variables = {"PULUMI_BACKEND_URL": backend.as_uri(), "KUBECONFIG": str(kubeconfig)}
        super().__init__(dev.name, folder / "stacks", {**dev.environment, **variables})
        self.elsewhere = str(shutil.copy(kubeconfig, folder / "elsewhere"))

    def edit(self, kind: str, **change: object) -> int:
        """Change the state of every resource of a type, and return their number."""
        exported = json.loads(self.export())
        found = [item for item in exported["deployment"]["resources"] if item["type"].endswith(kind)]
        for item in found:
            item.update(
                {key: {**item[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
            )
        file = self.folder / "state.json"
        file.write_text(json.dumps(exported))
        self._pulumi("stack", "import", "--stack", self.name, "--file", str(file)).ok()
        return len(found)

    def preview_with(self, **cluster: str) -> Result:
        """A preview with this configuration of the cluster."""
        self.configure({"langfuse:cluster": cluster or None})
        return self.preview().ok()


@pytest.fixture
def copy(dev: Stack, tmp_path: Path) -> Copy:
    return Copy(dev, tmp_path)


def replaced(result: Result) -> set[str]:
    return {step.name for step in result.steps if step.op not in {"same", "update"}}


def test_setting_a_context_or_a_kubeconfig_replaces_nothing(copy: Copy) -> None:
    for cluster in ({"context": "new"}, {"kubeconfig": copy.elsewhere, "context": "new"}):
        result = copy.preview_with(**cluster)
        assert (replaced(result), changed_resources(result)) == (set(), set()), cluster


def test_changing_or_removing_the_context_that_identifies_the_cluster_in_the_state_replaces_nothing(copy: Copy) -> None:
    named = {"clusterIdentifier": "old", "context": "old"}
    assert copy.edit(PROVIDER, inputs=named, outputs=named) == 1
    changes: tuple[Mapping[str, str], ...] = ({"context": "new"}, {})
    for cluster in changes:
        result = copy.preview_with(**cluster)
        assert (replaced(result), changed_resources(result)) == (set(), set()), cluster


def test_removing_the_protection_of_policies_does_not_change_them(copy: Copy) -> None:
    assert sum(copy.edit(kind, protect=True, retainOnDelete=True) for kind in RULES) > 10
    result = copy.preview_with()
    assert (replaced(result), changed_resources(result)) == (set(), set())
