"""No value of a secret reaches a report, whatever quotes it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from components.schema.redaction import Redaction
from operations.changes.markdown import markdown
from operations.changes.preview import preview
from operations.pulumi import SECRET_MARK, Json, Pulumi
from tests.unit.operations.changes.engine_events import (
    CLAIM,
    DEPLOYMENT,
    PASSWORD,
    SECRET,
    Recorded,
    diagnostic,
    policy,
    replacement,
    step,
    urn,
)

VALUE = "recognizable-5ecret"
ENCODED = base64.b64encode(VALUE.encode()).decode()
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAbc\nMC4CAQAwBQYDK2VwBCIEIXyz\n-----END PRIVATE KEY-----\n"


def everywhere(value: str) -> list[Json]:
    """Events that quote a value wherever an event has room for one."""
    inputs = {"spec": {"password": value, "list": [value]}, "data": {"key": value}}
    return [
        {"preludeEvent": {"config": {"langfuse:key": value}}},
        diagnostic("error", f"Secret is invalid: {value}: no"),
        diagnostic("warning", value),
        diagnostic("info", value),
        step("create", SECRET, "made", new=inputs),
        step("update", DEPLOYMENT, "web", old=inputs, new=inputs, detailed={"spec.password": "update"}),
        step("delete", PASSWORD, "old", old=inputs),
        *replacement(CLAIM, "data", "spec.password"),
        policy("rule", f"spec.password is {value}", resource=urn(DEPLOYMENT, "web")),
        policy("hint", f"{value} is weak", level="advisory"),
        {"policyRemediationEvent": {"before": inputs, "after": inputs}},
        {"stdoutEvent": {"message": value}},
    ]


@pytest.mark.parametrize("value", [VALUE, ENCODED, KEY])
@pytest.mark.parametrize("exit_code", [0, 1])
def test_no_value_is_in_a_report(value: str, exit_code: int) -> None:
    stack = Recorded(
        "dev", sent=everywhere(value), exit_code=exit_code, complaint=f"error: {value}", known={VALUE, KEY}
    )

    report = preview(stack, [])

    assert len(report.changes) == 4
    for text in (report.model_dump_json(), markdown([report])):
        assert VALUE not in text
        assert ENCODED not in text
        assert "MC4CAQAwBQYDK2VwBCIEI" not in text


def test_what_the_command_itself_says_is_searched_too() -> None:
    report = preview(Recorded("dev", exit_code=255, complaint=f"error: cannot use {VALUE}", known={VALUE}), [])
    assert report.problems == ("cannot use [secret]",)


def test_a_name_stays_readable_where_a_secret_is_the_same_word() -> None:
    hide = Redaction({"langfuse"}, public=[urn(DEPLOYMENT, "langfuse-web")])
    assert hide("langfuse-web is down") == "langfuse-web is down"


def test_the_longest_secret_is_hidden_whole() -> None:
    assert Redaction({"abcdef", "abcdefgh"})("x abcdefgh y") == "x [secret] y"


def test_secrets_of_state_and_configuration_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes: `stack export --show-secrets` and `config --show-secrets --json`."""
    state = {
        "deployment": {"resources": [{"outputs": {"result": {SECRET_MARK: "1b47", "plaintext": json.dumps(VALUE)}}}]}
    }
    nested = {SECRET_MARK: "1b47", "plaintext": json.dumps({"data": {"password": ENCODED}})}
    config = {
        "langfuse:open": {"value": "open text", "secret": False},
        "langfuse:license": {"value": "licence-5ecret", "secret": True},
        "langfuse:map": {"value": "{}", "objectValue": {"a": ["deep-5ecret"]}, "secret": True},
    }
    printed = {"stack": json.dumps({**state, "more": [nested]}), "config": json.dumps(config)}

    class Done:
        returncode = 0

        def __init__(self, stdout: str) -> None:
            self.stdout = stdout

    monkeypatch.setattr(Pulumi, "_run", lambda _self, *words: Done(printed[words[0]]))

    assert Pulumi("dev", Path("Pulumi.dev.yaml")).secrets() == {VALUE, ENCODED, "licence-5ecret", "deep-5ecret"}
