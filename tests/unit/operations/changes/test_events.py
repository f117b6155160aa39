from __future__ import annotations

from typing import Any

import pytest

from operations.changes.events import observe
from tests.unit.operations.changes.engine_events import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    PASSWORD,
    SECRET,
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


SERVER = "kubernetes:apps/v1:StatefulSet"
IMMUTABLE = ["spec.podManagementPolicy", "spec.selector", "spec.serviceName"]


def server(claim: str, **spec: object) -> dict[str, Any]:
    """Inputs of a StatefulSet that mounts a claim."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"spec": {"serviceName": "db", "selector": {"a": "b"}, "template": {"spec": {"volumes": volumes}}, **spec}}


def replaced_along(claim: str, new: dict[str, Any]) -> list[dict[str, Any]]:
    """A claim that is replaced, and the StatefulSet with it, for which a provider names all that would replace it."""
    old, other = ({"metadata": {"name": claim}, "spec": {"accessModes": [mode]}} for mode in ("a", "b"))
    return [
        step("delete-replaced", SERVER, "db", old=server(claim)),
        step("delete-replaced", CLAIM, claim, old=old),
        step("replace", CLAIM, claim, keys=["spec.accessModes[0]"], old=old, new=other),
        step("replace", SERVER, "db", keys=IMMUTABLE, old=server(claim), new=new),
    ]


@pytest.mark.parametrize("mounted", ["db-data", "04da6b54-80e4-46f7-96ec-b56ff0331ba9"], ids=["known", "unknown"])
def test_a_server_that_is_replaced_along_with_its_claim_names_the_claim_and_no_property(mounted: str) -> None:
    events = replaced_along("db-data", server(mounted))
    follower, claim = observe(events).changes
    assert claim.because == ("spec.accessModes[0]",)
    assert (follower.action, follower.because, follower.follows) == ("replace", (), claim.urn)


def test_a_property_that_really_changes_is_named_all_the_same() -> None:
    follower, _ = observe(replaced_along("db-data", server("db-data", serviceName="other"))).changes
    assert follower.because == ("spec.serviceName",)


def test_a_server_does_not_follow_a_claim_that_it_does_not_mount() -> None:
    events = [step for step in replaced_along("db-data", {}) if step["resourcePreEvent"]["metadata"]["type"] == CLAIM]
    events += [step("replace", SERVER, "db", keys=IMMUTABLE, old=server("other"), new=server("other"))]
    assert [change.follows for change in observe(events).changes] == ["", ""]


@pytest.mark.parametrize(
    "path",
    [
        "status",
        "status.readyReplicas",
        'status["conditions"][0].type',
        "metadata.managedFields[0].time",
        "metadata.resourceVersion",
        "metadata.generation",
        "__inputs.spec",
        "__fieldManager",
    ],
)
def test_what_the_server_keeps_is_neither_a_reason_nor_drift(path: str) -> None:
    detailed = {path: "update", "spec.replicas": "update"}
    (change,) = observe([step("update", DEPLOYMENT, "web", detailed=detailed)]).changes
    assert change.because == ("spec.replicas",)
    found = {"resOutputsEvent": step("update", DEPLOYMENT, "web", detailed={path: "update"})["resourcePreEvent"]}
    assert observe([found], steps="resOutputsEvent").changes == ()


def test_a_field_of_that_name_elsewhere_is_a_reason() -> None:
    detailed = {"spec.status": "update", "statusPage": "update", "metadata.generationId": "update"}
    (change,) = observe([step("update", DEPLOYMENT, "web", detailed=detailed)]).changes
    assert set(change.because) == set(detailed)


def test_an_update_names_what_differs_between_its_inputs() -> None:
    old = {"metadata": {"labels": {"a.b/c": "1"}}, "spec": {"list": [{"x": 1}], "same": 1}}
    new = {"metadata": {"labels": {"a.b/c": "2"}}, "spec": {"list": [{"x": 1}, {"x": 2}], "same": 1}}
    detailed = dict.fromkeys(['metadata.labels["a.b/c"]', "spec.list[1]", "spec.list[0].x", "spec.same"], "update")
    (change,) = observe([step("update", DEPLOYMENT, "web", detailed=detailed, old=old, new=new)]).changes
    assert change.because == ('metadata.labels["a.b/c"]', "spec.list[1]")


def test_an_update_that_only_takes_back_what_somebody_changed_names_it() -> None:
    same = {"spec": {"replicas": 1}}
    (change,) = observe(
        [step("update", DEPLOYMENT, "web", detailed={"spec.replicas": "update"}, old=same, new=same)]
    ).changes
    assert change.because == ("spec.replicas",)


def test_a_secret_that_changes_is_named_although_events_hide_its_value() -> None:
    old, new = ({"data": {"a": "[secret]"}, "type": kind} for kind in ("x", "y"))
    detailed = {"data.a": "update", "type": "update"}
    (change,) = observe([step("update", SECRET, "s", detailed=detailed, old=old, new=new)]).changes
    assert change.because == ("data.a", "type")


def test_a_job_that_has_failed_is_replaced_without_a_difference() -> None:
    path = '.metadata.annotations["pulumi.com/replaceUnready"]'
    same = {"metadata": {"annotations": {"pulumi.com/replaceUnready": "true"}}}
    (change,) = observe([step("replace", JOB, "migrations", keys=[path], old=same, new=same)]).changes
    assert change.because == (path,)


def test_a_refresh_is_read_from_its_outcome() -> None:
    begun = step("refresh", DEPLOYMENT, "web")
    found = {
        "resOutputsEvent": step("update", DEPLOYMENT, "web", detailed={"spec.replicas": "update"})["resourcePreEvent"]
    }
    (change,) = observe([begun, found], steps="resOutputsEvent").changes
    assert (change.action, change.because) == ("update", ("spec.replicas",))
