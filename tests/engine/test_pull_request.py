"""The pipeline of a pull request on a real API server: reports, the guard and review stacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from components.schema.redaction import Redaction
from operations import review
from operations.pulumi import Pulumi, listed
from sandbox.controlplane import Sandbox
from tests.engine.harness import Result
from tests.engine.matrix import small
from tests.engine.stacks import Stack, operate, secret_texts
from tests.engine.view import View

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

GOLDEN = Path(__file__).parent / "golden"
REVIEW = 7
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim::langfuse-postgres-data"
NEW_VERSION = {"langfuse:version": "4.16.1", "langfuse:web": {"resources": {"cpu": "750m"}}}
OTHER_VOLUME = {"kind": "PersistentVolumeClaim", "name": "langfuse-postgres-data"}
REPLACES_A_VOLUME = {"langfuse:patches": [{**OTHER_VOLUME, "patch": {"spec": {"accessModes": ["ReadWriteOncePod"]}}}]}
WEB = {"kind": "Deployment", "name": "langfuse-web"}
BREAKS_A_POLICY = {
    "langfuse:patches": [{**WEB, "patch": {"spec": {"template": {"spec": {"hostNetwork": True}}}}}],
}


class Branch:
    """The dev stack as a branch configures it, and the changes that the branch acknowledges."""

    def __init__(self, dev: Stack, folder: Path, config: Mapping[str, object]) -> None:
        content = yaml.safe_load(dev.file.read_text())
        content["config"].update(config)
        self._dev = dev
        self._file = folder / "Pulumi.dev.yaml"
        self._file.write_text(yaml.safe_dump(content))
        self._acknowledged = folder / "acknowledged.yaml"

    def acknowledge(self, **entry: str) -> None:
        self._acknowledged.write_text(yaml.safe_dump([entry]))

    def preview(self, *flags: str) -> Result:
        """Run the command of the pipeline."""
        files = ["--config-file", str(self._file), "--acknowledged", str(self._acknowledged)]
        return operate("preview", ["--stack", "dev", *flags, *files], self._dev.environment)


@pytest.mark.parametrize(
    ("name", "config", "exit_code"),
    [("new-version", NEW_VERSION, 0), ("replaced-volume", REPLACES_A_VOLUME, 1), ("only-docs", {}, 0)],
    ids=["a new version", "a volume that would be replaced", "only docs"],
)
def test_the_report_shows_the_changes_of_a_branch(
    dev: Stack, tmp_path: Path, name: str, config: Mapping[str, object], exit_code: int
) -> None:
    result = Branch(dev, tmp_path, config).preview("--no-policies", "--markdown")

    assert result.stdout == (GOLDEN / f"{name}.md").read_text()
    assert result.exit_code == exit_code


def test_a_replaced_volume_is_accepted_only_if_it_is_acknowledged_by_name(dev: Stack, tmp_path: Path) -> None:
    branch = Branch(dev, tmp_path, REPLACES_A_VOLUME)

    branch.acknowledge(stack="dev", resource=CLAIM, action="replace", reason="moved by hand")
    meant = branch.preview("--no-policies", "--json")

    assert meant.exit_code == 0, meant.output
    assert [change["urn"].endswith(CLAIM) for change in json.loads(meant.stdout)["guard"]["acknowledged"]] == [True]


@pytest.mark.long
def test_a_branch_that_breaks_a_policy_is_refused(dev: Stack, tmp_path: Path) -> None:
    result = Branch(dev, tmp_path, BREAKS_A_POLICY).preview("--json")

    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert report["outcome"] == "refused"
    stopping = [found for found in report["findings"] if found["level"] == "mandatory"]
    assert {found["policy"] for found in stopping} == {"no-host-namespace"}
    assert all(found["urn"].endswith("Deployment::langfuse-web") and found["severity"] for found in stopping)
    hide = Redaction(
        secret_texts(json.loads(dev.export("--show-secrets"))), public=[str(item["urn"]) for item in dev.resources()]
    )
    unhidden = hide(result.output) == result.output  # outside the assertion: pytest would show the difference
    assert unhidden


def test_a_failed_preview_is_neither_accepted_nor_refused(dev: Stack, tmp_path: Path) -> None:
    result = Branch(dev, tmp_path, {"langfuse:host": "http://x"}).preview("--no-policies", "--json")
    assert result.exit_code == 2
    assert ["langfuse:host" in problem for problem in json.loads(result.stdout)["problems"]] == [True]


def test_a_change_outside_pulumi_is_detected(sandbox: Sandbox, dev: Stack) -> None:
    view = View(sandbox, "langfuse-dev")
    hosts = view.get("virtualservice", "langfuse")["spec"]["hosts"]
    view.patch("virtualservice", "langfuse", {"spec": {"hosts": ["elsewhere.example.com"]}}, manager="kubectl-edit")
    words = ["--stack", "dev", "--config-file", str(dev.file), "--json"]
    try:
        result = operate("drift", words, dev.environment)
    finally:
        view.patch("virtualservice", "langfuse", {"spec": {"hosts": hosts}}, manager="kubectl-edit")
    assert result.exit_code == 1, result.output
    (change,) = json.loads(result.stdout)["changes"]
    assert change["urn"].endswith("VirtualService::langfuse")
    assert change["because"] == ["spec.hosts[0]"]


@pytest.mark.long
def test_a_review_stack_is_deployed_updated_and_deleted_when_it_expires(
    sandbox: Sandbox, dev: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in dev.environment.items():
        monkeypatch.setenv(key, value)
    neighbour, own = View(sandbox, "langfuse-dev"), View(sandbox, f"langfuse-pr-{REVIEW}")
    before = neighbour.identities("deployments", "statefulsets", "secrets", "persistentvolumeclaims")
    template = tmp_path / "review.yaml"

    def update(config: Mapping[str, object], expires: datetime) -> tuple[str, str]:
        reached = {"langfuse:host": "preview.localhost", "langfuse:ingress": {"kind": "istio", "tls": False}}
        content = {**small(ingress="istio"), **reached, **config}
        template.write_text(yaml.safe_dump({"config": content}))
        url = review.up(REVIEW, expires, pytest.fail, template=template)
        return url, own.get("namespace", own.namespace)["metadata"]["labels"][review.LABEL]

    url, label = update({}, NOW + timedelta(hours=1))
    assert (url, label) == (f"http://pr-{REVIEW}.preview.localhost", "20261121T1300Z")
    review.sweep(NOW, pytest.fail)
    _, label = update({"langfuse:version": "4.16.1"}, NOW + timedelta(hours=2))
    assert label == "20261121T1400Z"
    (main,) = own.get("deployment", "langfuse-web")["spec"]["template"]["spec"]["containers"]
    assert main["image"].endswith(":4.16.1")
    assert review.expired(NOW + timedelta(minutes=119)) == []

    messages: list[str] = []
    review.sweep(NOW + timedelta(hours=2), messages.append)

    assert messages == [f"destroying pr-{REVIEW} ..."]
    assert f"pr-{REVIEW}" not in listed()
    assert "NotFound" in own.kubectl("get", "namespace", own.namespace).stderr
    assert neighbour.identities("deployments", "statefulsets", "secrets", "persistentvolumeclaims") == before
    review.destroy(f"pr-{REVIEW}", messages.append)  # deleting it again is not an error
    assert Pulumi("dev").outputs()["namespace"] == "langfuse-dev"
