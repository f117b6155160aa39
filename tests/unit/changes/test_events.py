from __future__ import annotations

import pytest

from operations.changes.events import observe
from tests.unit.changes.engine_events import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    PASSWORD,
    diagnostic,
    policy,
    replacement,
    step,
    urn,
)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_steps_of_a_replacement_are_one_change_with_what_forces_it(reverse: bool) -> None:
    events = replacement(CLAIM, "data", "spec.storageClassName")

    seen = observe(events[::-1] if reverse else events)

    (change,) = seen.changes
    assert (change.action, change.kind, change.name) == ("replace", "PersistentVolumeClaim", "data")
    assert change.because == ("spec.storageClassName",)


def test_a_replacement_names_only_the_properties_that_force_it() -> None:
    differences = {"metadata.labels.x": "update", "spec.selector": "update-replace"}
    (change,) = observe([step("replace", DEPLOYMENT, "web", detailed=differences)]).changes
    assert change.because == ("spec.selector",)


def test_an_update_names_the_properties_that_differ() -> None:
    (change,) = observe([step("update", DEPLOYMENT, "web", detailed={"spec.replicas": "update"})]).changes
    assert (change.action, change.because) == ("update", ("spec.replicas",))


def test_components_providers_and_the_stack_are_not_counted() -> None:
    seen = observe(
        [
            step("update", "langfuse:index:Web", "web", custom=False),
            step("create", "pulumi:providers:kubernetes", "cluster"),
            step("update", "pulumi:pulumi:Stack", "langfuse-dev", custom=False),
            step("same", JOB, "migrations"),
        ]
    )
    assert seen.changes == ()
    assert seen.unchanged == 1


def test_what_is_created_and_deleted_is_on_one_side_only() -> None:
    seen = observe([step("create", DEPLOYMENT, "new"), step("delete", PASSWORD, "old"), step("same", JOB, "job")])
    assert [change.action for change in seen.changes] == ["create", "delete"]
    assert set(seen.before) == {urn(PASSWORD, "old"), urn(JOB, "job")}
    assert set(seen.after) == {urn(DEPLOYMENT, "new"), urn(JOB, "job")}


def test_a_finding_is_what_the_rule_says_without_colour_and_description() -> None:
    resource = urn(DEPLOYMENT, "web")
    (found,) = observe([policy("no-root", "spec: runs as root. Set it", resource=resource, severity="high")]).findings
    assert (found.policy, found.message, found.urn) == ("no-root", "spec: runs as root. Set it", resource)
    assert (found.severity, found.stops) == ("high", True)


def test_advice_stops_nothing() -> None:
    (found,) = observe([policy("hint", "better so", level="advisory")]).findings
    assert not found.stops


def test_errors_are_told_once_and_without_those_that_only_say_that_there_was_one() -> None:
    events = [
        diagnostic("error", "host is missing\n"),
        diagnostic("error", "host is missing\n"),
        diagnostic("error", "an unhandled error occurred: program exited with non-zero exit code: 1\n"),
        diagnostic("error", "preview failed\n"),
        diagnostic("warning", "a warning"),
    ]
    assert observe(events).errors == ("host is missing",)


def test_a_refresh_is_read_from_its_outcome() -> None:
    begun = step("refresh", DEPLOYMENT, "web")
    found = {
        "resOutputsEvent": step("update", DEPLOYMENT, "web", detailed={"spec.replicas": "update"})["resourcePreEvent"]
    }
    (change,) = observe([begun, found], steps="resOutputsEvent").changes
    assert (change.action, change.because) == ("update", ("spec.replicas",))
