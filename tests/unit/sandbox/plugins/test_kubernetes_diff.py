"""The differences between inputs and the live object, and which of them replace it."""

from __future__ import annotations

import pytest

from sandbox.plugins.kubernetes import paths
from sandbox.plugins.kubernetes.apply import merge_patch
from sandbox.plugins.kubernetes.diff import (
    ADD,
    DELETE,
    UPDATE,
    changes,
    detailed,
    expanded,
    is_replacing,
)
from sandbox.plugins.kubernetes.objects import Object, prune_object
from sandbox.plugins.kubernetes.replacing import replacing_paths
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import UNKNOWN, Property


def differences(old: Object, new: Object) -> dict[str, int]:
    return {paths.render(change.path): change.kind for change in changes(old, new)}


def replaced(obj: Object, old: Object, settings: Settings | None = None) -> set[str]:
    replacing = replacing_paths(obj, settings or Settings())
    details = detailed([part for change in changes(old, obj) for part in expanded(change, old, replacing)], replacing)
    return {path for path, detail in details.items() if is_replacing(detail)}


def test_an_unknown_map_replaces_by_its_immutable_fields() -> None:
    """The engine diffs a StatefulSet this way if its claim is replaced; the official plugin returns the same."""
    spec: Object = {"replicas": 1, "selector": {"a": "b"}, "serviceName": "db", "revisionHistoryLimit": 3}
    kind: Object = {"apiVersion": "apps/v1", "kind": "StatefulSet"}
    old: Object = {**kind, "spec": spec}
    assert replaced({**kind, "spec": UNKNOWN}, old) == {
        "spec.selector",
        "spec.serviceName",
        "spec.revisionHistoryLimit",
    }
    assert replaced({**kind, "spec": {**spec, "replicas": UNKNOWN}}, old) == set()
    assert replaced({"apiVersion": "v1", "kind": "Service", "spec": UNKNOWN}, {"spec": {"ports": []}}) == set()


def test_differences_have_the_paths_of_fields() -> None:
    old: Object = {"spec": {"replicas": 1, "ports": [{"port": 80}, {"port": 81}], "gone": True, "same": 1.0}}
    new: Object = {"spec": {"replicas": 2, "ports": [{"port": 80, "name": "web"}], "new": {"a": 1}, "same": 1}}
    assert differences(old, new) == {
        "spec.replicas": UPDATE,
        "spec.ports[0].name": ADD,
        "spec.ports[1]": DELETE,
        "spec.new": ADD,
        "spec.gone": DELETE,
    }


def test_null_equals_a_missing_value_and_true_does_not_equal_one() -> None:
    assert differences({"a": None, "b": 1}, {"c": None, "b": 1}) == {}
    assert differences({"a": 1}, {"a": None}) == {"a": DELETE}
    assert differences({"a": 1}, {"a": True}) == {"a": UPDATE}


def test_unknown_values_always_differ() -> None:
    assert differences({"a": "x"}, {"a": UNKNOWN, "b": UNKNOWN}) == {"a": UPDATE, "b": ADD}


def test_fields_that_the_server_added_are_no_difference() -> None:
    live: Object = {"spec": {"replicas": 1, "strategy": {"type": "x"}, "list": [{"a": 1, "b": 2}]}, "status": {}}
    inputs: Object = {"spec": {"replicas": 1, "list": [{"a": 1}]}}
    assert prune_object(live, inputs) == inputs


def kind(api_version: str, name: str, **fields: Property) -> Object:
    return {"apiVersion": api_version, "kind": name, **fields}


def test_identity_always_replaces() -> None:
    old, new = (kind("x/v1", "Y", metadata={"name": name, "namespace": name}) for name in ("a", "b"))
    assert replaced(new, old) == {"metadata.name", "metadata.namespace"}


@pytest.mark.parametrize(
    ("api_version", "name", "path", "replaces"),
    [
        ("apps/v1", "Deployment", "spec.selector.matchLabels.app", True),
        ("apps/v1", "Deployment", "spec.template.spec.hostname", False),
        ("apps/v1", "StatefulSet", "spec.serviceName", True),
        ("apps/v1", "StatefulSet", "spec.volumeClaimTemplates", True),
        ("apps/v1", "StatefulSet", "spec.replicas", False),
        ("batch/v1", "Job", "spec.template.spec.restartPolicy", True),
        ("batch/v1", "CronJob", "spec.jobTemplate", False),
        ("v1", "PersistentVolumeClaim", "spec.storageClassName", True),
        ("v1", "PersistentVolumeClaim", "spec.resources.requests.storage", False),
        ("v1", "Service", "spec.clusterIP", True),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef.name", True),
        ("v1", "Secret", "type", True),
        ("v1", "Secret", "data.key", True),
        ("v1", "ConfigMap", "data.key", True),
        ("example.com/v1", "Secret", "data.key", False),
    ],
)
def test_changes_of_immutable_fields_replace(api_version: str, name: str, path: str, *, replaces: bool) -> None:
    def with_value(value: str) -> Object:
        obj = kind(api_version, name)
        node = obj
        *parents, last = path.split(".")
        for parent in parents:
            inner: Object = {}
            node[parent] = inner
            node = inner
        node[last] = value
        return obj

    assert bool(replaced(with_value("new"), with_value("old"))) == replaces


def test_adding_a_map_with_an_immutable_field_replaces() -> None:
    new = kind("v1", "Pod", spec={"containers": [{"name": "a", "image": "x"}]})
    assert replaced(new, kind("v1", "Pod")) == {"spec"}
    old = kind("v1", "Pod", spec={"containers": [{"name": "a", "image": "y"}]})
    assert replaced(new, old) == {"spec.containers[0].image"}


def test_mutable_data_updates_in_place_unless_the_object_is_immutable() -> None:
    settings = Settings(config_map_mutable=True, secret_mutable=True)
    for name in ("ConfigMap", "Secret"):
        old, new = (kind("v1", name, data={"key": value}) for value in ("old", "new"))
        assert replaced(new, old, settings) == set()
        assert replaced({**new, "immutable": True}, {**old, "immutable": True}, settings) == {"data.key"}


def test_merge_patches_set_fields_that_differ_and_remove_fields_that_are_no_longer_inputs() -> None:
    live: Object = {"a": {"b": 5, "c": 2, "theirs": 1}, "d": [{"x": 1, "default": 2}], "e": "x", "theirs": True}
    old: Object = {"a": {"b": 1, "c": 2}, "d": [{"x": 1}], "e": "x", "never": 1}
    new: Object = {"a": {"b": 1, "f": 3}, "d": [{"x": 1}]}
    assert merge_patch(old, new, live) == {"a": {"b": 1, "c": None, "f": 3}, "e": None}
    assert merge_patch(old, {**new, "d": [{"x": 2}]}, live)["d"] == [{"x": 2}]
    assert merge_patch(new, new, new) == {}


@pytest.mark.parametrize("path", ["spec.ports[0].name", 'metadata.labels["a.b/c"]', "a[*].b", 'x["quo\\"te"]'])
def test_paths_are_parsed_and_rendered(path: str) -> None:
    parsed = paths.parse(path)
    assert paths.render(parsed) == path.replace("[*]", ".*")
    assert paths.covers(parsed, (*parsed, "more"))
    assert not paths.covers((*parsed, "more"), parsed)
