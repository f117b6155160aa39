from __future__ import annotations

from operations.changes.guard import Acknowledgement
from operations.changes.preview import drift, preview
from tests.unit.operations.changes.engine_events import (
    CLAIM,
    DEPLOYMENT,
    Recorded,
    diagnostic,
    policy,
    replacement,
    step,
)

REPLACED = replacement(CLAIM, "data", "spec.storageClassName")
CHANGED = [step("update", DEPLOYMENT, "web", detailed={"spec.replicas": "update"})]
MEANT = Acknowledgement(stack="dev", resource=f"{CLAIM}::data", action="replace", reason="moved by hand")


def test_a_change_that_loses_nothing_is_fine() -> None:
    assert preview(Recorded("dev", sent=CHANGED), []).outcome == "fine"


def test_a_loss_is_refused_unless_it_is_meant() -> None:
    assert preview(Recorded("dev", sent=REPLACED), []).outcome == "refused"
    assert preview(Recorded("dev", sent=REPLACED), [MEANT]).outcome == "fine"


def test_an_acknowledgement_that_nothing_needs_is_refused_but_not_in_a_deployment() -> None:
    stale = preview(Recorded("dev", sent=CHANGED), [MEANT])
    assert (stale.outcome, len(stale.guard.unused)) == ("refused", 1)
    assert preview(Recorded("dev", sent=CHANGED), [MEANT], allow_unused=True).outcome == "fine"


def test_a_preview_that_was_stopped_calls_no_acknowledgement_stale() -> None:
    for event in (policy("rule", "bad"), diagnostic("error", "no cluster")):
        report = preview(Recorded("dev", sent=[event], exit_code=1), [MEANT])
        assert report.guard.unused == ()


def test_a_mandatory_finding_refuses_and_advice_does_not() -> None:
    refused = Recorded("dev", sent=[policy("rule", "bad"), diagnostic("error", "preview failed")], exit_code=1)
    assert preview(refused, []).outcome == "refused"
    assert preview(Recorded("dev", sent=[policy("rule", "so so", level="advisory")]), []).outcome == "fine"


def test_an_error_is_a_failure_whatever_else_was_found() -> None:
    sent = [*REPLACED, policy("rule", "bad"), diagnostic("error", "no cluster")]
    report = preview(Recorded("dev", sent=sent, exit_code=1), [])
    assert (report.outcome, report.problems) == ("failed", ("no cluster",))


def test_a_command_that_fails_without_a_word_is_a_failure() -> None:
    assert preview(Recorded("dev", exit_code=255), []).outcome == "failed"


def test_drift_is_refused_and_its_absence_is_fine() -> None:
    found = [{"resOutputsEvent": event["resourcePreEvent"]} for event in CHANGED]
    assert (drift(Recorded("dev", sent=found)).outcome, drift(Recorded("dev")).outcome) == ("refused", "fine")
