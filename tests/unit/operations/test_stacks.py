from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.schema.requests import Requests
from components.settings.load import parse
from operations import review, smoke
from operations.__main__ import app
from operations.changes import preview as previews
from operations.changes.model import Capacity, Outcome, Report
from operations.errors import OperationError
from operations.pulumi import Pulumi
from operations.recovery import stack as recovery
from tests.http_server import Answer, serving

UNTIL = datetime(2026, 11, 21, 13, tzinfo=UTC)


class Recorder:
    """Stands in for Pulumi: a preview with this outcome, and what was run after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, url: str = "http://127.0.0.1:9") -> None:
        self.ran: list[Sequence[str]] = []
        self.recovered: list[str] = []
        report = Report(stack="dev", outcome=outcome, capacity=Capacity(before=Requests(), after=Requests()))
        outputs = {"url": url, "versions": {"langfuse": "4.16.0"}}
        monkeypatch.setattr(previews, "preview", lambda *_args, **_flags: report)
        monkeypatch.setattr(Pulumi, "run", lambda _self, *_words: "{}")  # the state: nothing is deployed
        monkeypatch.setattr(recovery, "recover", lambda pulumi, _say: self.recovered.append(pulumi.stack))
        monkeypatch.setattr(Pulumi, "change", lambda _self, *words: self.ran.append(words))
        monkeypatch.setattr(Pulumi, "outputs", lambda _self: outputs)
        self.tested: list[str] = []
        self.works = True
        monkeypatch.setattr(smoke, "missing", lambda: None)
        monkeypatch.setattr(smoke, "run", lambda pulumi, *_, **__: self.smoke(pulumi))

    def smoke(self, pulumi: Pulumi) -> bool:
        self.tested.append(pulumi.stack)
        return self.works


@pytest.mark.parametrize(("outcome", "exit_code"), [("refused", 1), ("failed", 2)])
def test_what_is_refused_is_not_deployed(monkeypatch: pytest.MonkeyPatch, outcome: Outcome, exit_code: int) -> None:
    pulumi = Recorder(monkeypatch, outcome)
    assert CliRunner().invoke(app, ["deploy", "--stack", "dev"]).exit_code == exit_code
    assert pulumi.ran == []


def test_a_deployment_is_judged_by_the_packs_and_ends_when_it_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _request: Answer({"status": "OK", "version": "4.16.0"})) as url:
        pulumi = Recorder(monkeypatch, "fine", url)
        result = CliRunner().invoke(app, ["deploy", "--stack", "dev"])
    assert result.exit_code == 0, result.output
    ((command, *flags),) = pulumi.ran
    assert command == "up"
    assert sum(flag.startswith("--policy-pack=") for flag in flags) == 2
    assert pulumi.tested == ["dev"]


def test_a_deployment_that_fails_its_smoke_tests_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _request: Answer({"status": "OK", "version": "4.16.0"})) as url:
        pulumi = Recorder(monkeypatch, "fine", url)
        pulumi.works = False
        result = CliRunner().invoke(app, ["deploy", "--stack", "dev"])
        assert (result.exit_code, "dev is deployed, and smoke tests failed" in result.stderr) == (2, True)
        monkeypatch.setattr(smoke, "missing", lambda: "kubectl on PATH: install it")
        result = CliRunner().invoke(app, ["deploy", "--stack", "dev"])
        assert (result.exit_code, "kubectl on PATH: install it; or pass --no-smoke" in result.stderr) == (2, True)
        assert len(pulumi.ran) == 1, "nothing is deployed that can't be tested"
        assert CliRunner().invoke(app, ["deploy", "--stack", "dev", "--no-smoke"]).exit_code == 0
    assert pulumi.tested == ["dev"]


def test_a_deployment_recovers_from_one_that_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi = Recorder(monkeypatch, "refused")
    CliRunner().invoke(app, ["deploy", "--stack", "dev"])
    assert pulumi.recovered == ["dev"]


@pytest.mark.parametrize("act", ["up", "destroy"])
def test_a_review_stack_recovers_before_it_is_worked_on(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    did: list[str] = []
    monkeypatch.setattr(review, "listed", lambda: ["pr-7"])
    monkeypatch.setattr(review, "recover", lambda pulumi, _tell: did.append(f"recover {pulumi.stack}"))
    monkeypatch.setattr(Pulumi, "change", lambda _self, *words: did.append(words[0]))
    monkeypatch.setattr(Pulumi, "run", lambda _self, *_words: "")
    monkeypatch.setattr(Pulumi, "outputs", lambda _self: {"url": "x"})
    if act == "up":
        review.up(7, UNTIL, print)
    else:
        review.destroy("pr-7", print)
    assert did == ["recover pr-7", act]


def test_a_deployment_that_does_not_answer_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder(monkeypatch, "fine")
    result = CliRunner().invoke(app, ["deploy", "--stack", "dev", "--attempts", "1"])
    assert result.exit_code == 2
    assert "not healthy" in result.output


@pytest.mark.parametrize(("profile", "config"), [("prod", "prod"), ("staging", "staging"), ("preview", "dev")])
def test_each_profile_is_judged_as_strictly_as_its_configuration(profile: str, config: str) -> None:
    flags = previews.policy_flags(profile)
    assert sum(Path(flag.partition("=")[2]).is_dir() for flag in flags) == 2
    assert [Path(flag.partition("=")[2]).name for flag in flags if "config=" in flag] == [f"{config}.json"] * 2


def test_a_review_stack_is_small_apart_from_the_others_and_easy_to_delete() -> None:
    config = review._settings("pr-7", UNTIL, review.TEMPLATE)
    settings = parse("pr-7", {key.removeprefix("langfuse:"): value for key, value in config.items()})
    template = yaml.safe_load(review.TEMPLATE.read_text())["config"]
    assert (settings.profile, settings.namespace, settings.protect) == ("preview", "langfuse-pr-7", False)
    assert settings.host == f"pr-7.{template['langfuse:host']}"


@pytest.mark.parametrize("stack", ["dev", "prod", "pr-", "pr-0", "pr-7-prod", "my-pr-7"])
def test_only_review_stacks_are_destroyed(stack: str) -> None:
    with pytest.raises(OperationError, match="not a review stack"):
        review.destroy(stack, print)


def test_only_review_stacks_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"pr-1": {"expires": "20261121T1300Z"}, "pr-2": {"expires": "20261121T1301Z"}, "pr-3": {}}
    monkeypatch.setattr(review, "listed", lambda: ["dev", "prod", *tags])
    monkeypatch.setattr(Pulumi, "tags", lambda self: tags[self.stack])
    assert review.expired(UNTIL) == ["pr-1", "pr-3"]


def test_a_stack_that_cannot_be_destroyed_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []

    def destroy(stack: str, _tell: object) -> None:
        if stack == "pr-1":
            raise OperationError("locked")
        gone.append(stack)

    monkeypatch.setattr(review, "expired", lambda _now: ["pr-1", "pr-2"])
    monkeypatch.setattr(review, "destroy", destroy)
    with pytest.raises(OperationError, match="pr-1: locked"):
        review.sweep(UNTIL, lambda _text: None)
    assert gone == ["pr-2"]
