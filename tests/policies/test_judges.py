"""Policies in the SDK's server: all of them answer as they would one by one, and few of them convert the properties."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import UNKNOWN, resource
from pulumi.runtime.proto import analyzer_pb2 as messages
from pulumi_policy import policy as sdk
from pulumi_policy import proxy

from tests.policies.corpus import cases
from tests.policies.engine import Engine, request, served

NAMESPACE = "namespace-enforces-restricted"
CONFIG: dict[str, Any] = {
    "run-as-non-root": "disabled",
    "session-length": {"minutes": 45.0},
    "default-deny": "mandatory",
}


def stack() -> list[Resource]:
    """Everything of a case of many faults, and some values that are unknown."""
    case = next(case for case in cases() if case.bad and case.policy == "stores-by-tls")
    return [*case.resources, resource("kubernetes:core/v1:Pod", {"spec": UNKNOWN}, name="unknown")]


def reports(engine: Engine, resources: Sequence[Resource]) -> list[dict[str, Any]]:
    return [MessageToDict(one) for one in engine.judge(*resources)]


@pytest.mark.parametrize("pack", ["security", "reliability"])
def test_policies_that_share_a_subject_report_what_they_report_one_by_one(pack: Any) -> None:  # noqa: ANN401
    together, apart = Engine(pack, config=CONFIG), Engine(pack)
    apart.analyzer = served(f"langfuse-{pack}", list(apart.policies))
    apart.configure(CONFIG)
    assert reports(together, stack()) == reports(apart, stack())
    assert reports(together, stack())


def test_only_policies_with_something_to_report_convert_the_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[object] = []

    def counting(properties: dict[str, Any]) -> dict[str, Any]:
        converted.append(properties)
        return proxy.unknown_checking_proxy(properties)

    engine = Engine("security")
    engine.judge()
    monkeypatch.setattr(sdk, "unknown_checking_proxy", counting)
    assert not engine.analyzer.Analyze(
        request(resource("kubernetes:core/v1:Service", {"metadata": {"namespace": "shop"}})), None
    ).diagnostics
    assert len(converted) == 1


def test_a_policy_with_findings_that_is_disabled_reports_nothing_and_uses_no_waiver(tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"- {{policy: {NAMESPACE}, resource: '*/core/Namespace/*', reason: its own, owner: me, expires: 2027-01-01}}"
    )
    engine = Engine("security", waivers=waivers, config={NAMESPACE: "disabled"})
    named = {one.policyName for one in engine.judge(resource("kubernetes:core/v1:Namespace", {}))}
    assert not {NAMESPACE, "security-waived", "security-waivers-used"} & named


def test_what_is_waived_is_not_changed(tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"- {{policy: {NAMESPACE}, resource: '*/core/Namespace/shop', reason: its own, owner: me, expires: 2027-01-01}}"
    )
    engine = Engine("security", waivers=waivers, config={NAMESPACE: "remediate"})
    assert engine.remedied(resource("kubernetes:core/v1:Namespace", {}, name="shop")) is None
    assert engine.remedied(resource("kubernetes:core/v1:Namespace", {}, name="other")) is not None


def test_pulumi_shows_what_a_policy_is_about() -> None:
    infos = Engine("security").analyzer.GetAnalyzerInfo(None, None).policies
    info = next(one for one in infos if one.name == "no-privileged-container")
    assert info.severity == messages.POLICY_SEVERITY_CRITICAL
    assert info.framework.name == "PSS baseline"
    assert info.framework.specification == "privileged"
    assert info.url.endswith("#no-privileged-container")
    assert info.remediation_steps
