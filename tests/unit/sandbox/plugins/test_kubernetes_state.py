"""Stored objects, their secrets and the managers of their fields."""

from __future__ import annotations

import base64

import pytest

from sandbox.plugins.kubernetes import checkpoint, managed_fields
from sandbox.plugins.kubernetes.normalize import normalize
from sandbox.plugins.kubernetes.objects import Object
from sandbox.plugins.kubernetes.scrub import Scrubber
from sandbox.plugins.properties import UNKNOWN, Properties, Secret, decode, encode, reveal


def test_stored_parts_are_loaded() -> None:
    inputs: Object = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}
    live: Object = {**inputs, "metadata": {"uid": "x"}}
    stored = decode(encode(checkpoint.store(inputs, live, inputs, "v1", "manager")))
    assert checkpoint.load(stored) == checkpoint.State(inputs, live, "v1", "manager")


def test_what_the_program_marks_secret_is_secret_in_both_parts() -> None:
    given: Properties = {"kind": "Pod", "spec": {"a": Secret("x"), "b": "y", "list": [{"v": Secret("z")}, {"v": "w"}]}}
    plain = checkpoint.to_object(given)
    stored = checkpoint.store(plain, plain, given, "v1", "m")
    for part in (stored, stored["__inputs"]):
        assert isinstance(part, dict)
        assert part["spec"] == {"a": Secret("x"), "b": "y", "list": Secret([{"v": "z"}, {"v": "w"}])}


def test_data_of_secrets_is_secret_whatever_the_program_says() -> None:
    live: Object = {"kind": "Secret", "metadata": {"annotations": {"open": "1"}}, "data": {"a": "x"}}
    stored = checkpoint.to_properties({**live, "stringData": {"b": "y"}}, {})
    assert stored["data"] == Secret({"a": "x"})
    assert stored["stringData"] == Secret({"b": "y"})
    assert stored["metadata"] == {"annotations": {"open": "1"}}  # as the official plugin: additional_secret_outputs
    assert live["data"] == {"a": "x"}


def test_schema_extensions_are_renamed_in_both_directions() -> None:
    program: Properties = {"spec": {"x_kubernetes_preserve_unknown_fields": True, "x_other": 1}}
    obj = checkpoint.to_object(program)
    assert obj == {"spec": {"x-kubernetes-preserve-unknown-fields": True, "x_other": 1}}
    assert checkpoint.to_properties(obj, {}) == program


def test_string_data_becomes_data_as_on_the_server() -> None:
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "data": {"a": "YQ==\n", "b": "Yg=="},
        "stringData": {"b": "B"},
    }
    normal = normalize(secret)
    assert normal["data"] == {"a": "YQ==", "b": base64.b64encode(b"B").decode()}
    assert "stringData" not in normal
    assert "stringData" in secret


def test_unknown_values_and_other_kinds_stay_unchanged() -> None:
    unknown: Object = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": UNKNOWN}}
    assert normalize(unknown) == unknown
    foreign: Object = {"apiVersion": "example.com/v1", "kind": "Secret", "stringData": {"a": "b"}}
    assert normalize(foreign) == foreign
    assert normalize({"metadata": {"uid": "x", "name": "n"}}) == {"metadata": {"name": "n"}}


@pytest.mark.parametrize(
    "message", ["hunter2-long", base64.b64encode(b"hunter2-long").decode(), 'a "hunter2-long" b', 'quo\\"ted']
)
def test_messages_hide_secret_values_in_every_form(message: str) -> None:
    scrub = Scrubber({"a": [Secret("hunter2-long"), Secret('quo"ted')]})
    hidden = scrub(f"Invalid value: {message}.")
    assert "[secret]" in hidden
    assert "hunter2" not in hidden
    assert "ted" not in hidden.replace("secret", "")


def test_messages_hide_the_data_of_secret_objects() -> None:
    encoded = base64.b64encode(b"from-encoded").decode()
    scrub = Scrubber({"kind": "Secret", "data": {"a": encoded}, "stringData": {"b": "from-plain"}, "type": "Opaque"})
    assert scrub(f"from-encoded {encoded} from-plain Opaque") == "[secret] [secret] [secret] Opaque"


def entry(manager: str, operation: str, fields: Object, **more: str) -> Object:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def managed(*entries: Object) -> Object:
    return {"metadata": {"managedFields": list(entries)}, "spec": {"replicas": 5, "image": "live"}}


def test_fields_of_people_and_of_the_creation_are_taken_over_and_those_of_controllers_are_not() -> None:
    live = managed(
        entry("pulumi-kubernetes", "Update", {"f:spec": {"f:a": {}}}),
        entry("kubectl-edit", "Update", {"f:spec": {"f:b": {}}}),
        entry("kubectl", "Update", {"f:status": {}}, subresource="status"),
        entry("kube-controller-manager", "Update", {"f:spec": {"f:c": {}}}),
        entry("ours", "Apply", {"f:spec": {"f:d": {}}}),
    )
    owned = managed_fields.taken_over(live, "ours")
    assert owned is not None
    assert [(one["manager"], one["operation"]) for one in owned] == [
        ("kubectl", "Update"),
        ("kube-controller-manager", "Update"),
        ("ours", "Apply"),
    ]
    assert owned[-1]["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {}, "f:d": {}}}


def test_without_fields_of_others_nothing_is_taken_over() -> None:
    assert managed_fields.taken_over(managed(entry("ours", "Apply", {})), "ours") is None


def test_ignored_fields_of_others_are_left_out_and_own_ones_keep_their_live_value() -> None:
    live = managed(
        entry("autoscaler", "Update", {"f:spec": {"f:replicas": {}}}),
        entry("ours", "Apply", {"f:spec": {"f:image": {}}}),
    )
    inputs: Object = {"spec": {"replicas": 1, "image": "new", "other": "new"}}
    managed_fields.ignore_changes(inputs, live, ["spec.replicas", "spec.image", "spec.missing"], "ours")
    assert inputs == {"spec": {"image": "live", "other": "new"}}


def test_revealing_does_not_change_what_is_stored() -> None:
    given: Properties = {"a": {"b": Secret("x")}}
    assert reveal(given) == {"a": {"b": "x"}}
    assert given == {"a": {"b": Secret("x")}}
