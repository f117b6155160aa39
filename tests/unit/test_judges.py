"""Verdicts are read from samples of each judge's real output, compared with our policies, and waived."""

from pathlib import Path

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.policy import Policy

from tests.judges.report import Judgement, Waiver, checks_of, unused, waivers
from tests.judges.verdicts import (
    ADMITTED,
    CONTROLS,
    Judge,
    Verdict,
    of_admission,
    of_checkov,
    of_kube_score,
    of_schemas,
    pod_of_workload,
)

SAMPLES = Path(__file__).parent.parent / "judges" / "samples"


def outcome(verdicts: list[Verdict]) -> dict[str, bool]:
    return {one.check: one.passed for one in verdicts}


def test_checkov_output_is_read() -> None:
    verdicts = list(of_checkov((SAMPLES / "checkov.json").read_text()))
    assert outcome(verdicts) == {"CKV_K8S_16": True, "CKV_K8S_20": False, "CKV_K8S_43": False}
    assert {one.subject for one in verdicts} == {"Deployment/web"}


def test_kube_score_warnings_fail_and_skipped_checks_are_left_out() -> None:
    verdicts = list(of_kube_score((SAMPLES / "kube-score.json").read_text()))
    assert outcome(verdicts) == {
        "stable-version": True,
        "pod-networkpolicy": False,
        "deployment-has-host-podantiaffinity": False,
    }
    assert {one.subject for one in verdicts} == {"Deployment/web"}


def test_a_mistyped_field_fails_the_schema() -> None:
    verdicts = list(of_schemas((SAMPLES / "kubernetes-validate.txt").read_text()))
    assert [(one.subject, one.passed) for one in verdicts] == [
        ("deployment/langfuse-web", True),
        ("deployment/web", False),
    ]
    assert "replicaz" in verdicts[1].reason


def test_a_pod_security_refusal_lists_the_violated_controls() -> None:
    message = (SAMPLES / "admission.txt").read_text()
    verdicts = list(of_admission("Deployment/web", message, is_pod=True))
    assert {one.check for one in verdicts if not one.passed} == {
        "hostNamespaces",
        "hostPathVolumes",
        "allowPrivilegeEscalation",
        "capabilities_restricted",
        "restrictedVolumes",
        "runAsNonRoot",
        "seccompProfile_restricted",
    }


def test_an_admitted_pod_meets_every_control() -> None:
    assert outcome(list(of_admission("Deployment/web", None, is_pod=True))) == {
        ADMITTED: True,
        **dict.fromkeys(CONTROLS.values(), True),
    }


def test_another_refusal_gives_no_verdict_on_controls() -> None:
    assert outcome(list(of_admission("Service/web", "spec.ports: Required value", is_pod=False))) == {ADMITTED: False}


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_a_workload_is_judged_by_its_pod_template(kind: str) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}}
    spec = {"template": template} if kind == "Deployment" else {"jobTemplate": {"spec": {"template": template}}}
    pod = pod_of_workload({"kind": kind, "metadata": {"name": "web"}, "spec": spec})
    assert pod is not None
    assert pod["spec"]["containers"] == [{"name": "web"}]
    assert pod_of_workload({"kind": "Service", "metadata": {"name": "web"}, "spec": {}}) is None


def test_a_pod_has_the_volumes_of_its_claim_templates() -> None:
    template = {"metadata": {}, "spec": {"containers": [], "volumes": [{"name": "tmp"}]}}
    spec = {"template": template, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    pod = pod_of_workload({"kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec})
    assert pod is not None
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp", "data"]


POLICY = POLICIES["run-as-non-root"]


def judgement(*, passed: bool, findings: int, waived_in: str | None = None) -> Judgement:
    (check,) = [check for judge, check in checks_of(POLICY) if judge is Judge.ADMISSION]
    verdict = Verdict(Judge.ADMISSION, check, "Deployment/web", passed)
    given = [waiver(check, waived_in)] if waived_in else []
    return Judgement("dev", (verdict,), {POLICY.id: findings}, tuple(given))


def waiver(check: str, stack: str) -> Waiver:
    return Waiver(judge=Judge.ADMISSION, check=check, reason="it is right", stacks=(stack,))


@pytest.mark.parametrize(
    ("passed", "findings", "waived_in", "cell"),
    [
        (True, 0, None, "agrees"),
        (False, 2, None, "agrees"),
        (True, 1, None, "DIFFERS"),
        (False, 0, None, "DIFFERS"),
        (False, 0, "dev", "waived"),
        (False, 0, "prod", "DIFFERS"),
    ],
)
def test_a_judge_and_a_policy_agree_when_both_object_or_neither(
    passed: bool, findings: int, waived_in: str | None, cell: str
) -> None:
    assert judgement(passed=passed, findings=findings, waived_in=waived_in).cell(POLICY, Judge.ADMISSION) == cell


def test_an_objection_is_a_failure_unless_it_is_waived_for_the_stack() -> None:
    assert len(judgement(passed=False, findings=0).failures) == 1
    assert len(judgement(passed=False, findings=0, waived_in="prod").failures) == 1
    assert judgement(passed=False, findings=0, waived_in="dev").failures == []
    assert judgement(passed=False, findings=0, waived_in="dev").score(Judge.ADMISSION) == (1, 0, 1)


def test_an_unused_waiver_is_reported() -> None:
    objected = judgement(passed=False, findings=0)
    needed, elsewhere = (waiver(objected.verdicts[0].check, stack) for stack in ("dev", "prod"))
    assert unused([objected], [needed, elsewhere]) == [elsewhere]


def test_every_waiver_has_a_reason() -> None:
    assert all(len(one.reason.split()) > 5 for one in waivers())


def test_policies_name_existing_pod_security_controls() -> None:
    def named(policy: Policy) -> set[str]:
        return {check for judge, check in checks_of(policy) if judge is Judge.ADMISSION}

    baseline = {"hostProbesAndHostLifecycle", "procMount", "capabilities_baseline", "seccompProfile_baseline"}
    assert set().union(*map(named, POLICIES.values())) <= {*CONTROLS.values(), *baseline}
