"""What a stack's cluster is called in a kubeconfig is no part of what is deployed to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.engine.harness import Result
from tests.engine.stacks import Stack, touched

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

PROVIDER = "pulumi:providers:kubernetes"
RULES = ("networking.k8s.io/v1:NetworkPolicy", "security.istio.io/v1:AuthorizationPolicy")


def _others(stack: str) -> Callable[[str, list[str]], set[str]]:
    """What a copy of the backend leaves out: other stacks, which are being written meanwhile, and locks."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        if Path(folder).parent.name == "stacks":
            return {name for name in names if not name.startswith(f"{stack}.") or name.endswith(".tmp")}
        return {"backups", "history", "locks"}

    return ignored


class Copy(Stack):
    """The dev stack with a state and a kubeconfig of its own: its previews look at the same cluster."""

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
        """Change the state of every resource of a type; how many there were."""
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

    def asked(self, **cluster: str) -> Result:
        """A preview with this configuration of the cluster."""
        self.configure({"langfuse:cluster": cluster or None})
        return self.preview().ok()


@pytest.fixture
def copy(dev: Stack, tmp_path: Path) -> Copy:
    return Copy(dev, tmp_path)


def replaced(result: Result) -> set[str]:
    return {step.name for step in result.steps if step.op not in {"same", "update"}}


CALLED: list[Mapping[str, str]] = [{"context": "old"}, {"context": "new"}, {}]


def test_a_context_that_is_named_renamed_or_no_longer_named_replaces_nothing(copy: Copy) -> None:
    for cluster in [*CALLED, {"kubeconfig": copy.elsewhere}, {"kubeconfig": copy.elsewhere, "context": "new"}]:
        result = copy.asked(**cluster)
        assert (replaced(result), touched(result)) == (set(), set()), cluster


def test_a_state_that_was_made_under_a_contexts_name_keeps_everything(copy: Copy) -> None:
    named = {"clusterIdentifier": "old", "context": "old"}
    assert copy.edit(PROVIDER, inputs=named, outputs=named) == 1
    for cluster in CALLED:
        result = copy.asked(**cluster)
        assert (replaced(result), touched(result)) == (set(), set()), cluster


def test_protection_of_rules_is_lifted_without_a_change_of_them(copy: Copy) -> None:
    assert sum(copy.edit(kind, protect=True, retainOnDelete=True) for kind in RULES) > 10
    result = copy.asked()
    assert (replaced(result), touched(result)) == (set(), set())
