import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pydantic import JsonValue

from components.kubernetes.names import content_name
from components.kubernetes.patches import Patches, merged, refuse_lower_limits
from components.schema.extensions import Patch
from components.settings.load import SettingsError, parse
from tests.unit.program import recorded
from tests.unit.recorder import Recording, record

POD: dict[str, Any] = {
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "web:1",
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    },
                    {"name": "proxy", "image": "proxy:1"},
                ],
                "tolerations": [{"key": "a"}],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
    }
}


def pod(patch: dict[str, JsonValue]) -> dict[str, Any]:
    spec: dict[str, Any] = merged(POD, {"spec": {"template": {"spec": patch}}})["spec"]  # type: ignore[assignment]  # of JSON
    found: dict[str, Any] = spec["template"]["spec"]
    return found


def test_maps_are_merged_and_null_removes_a_key() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None, "e": 4}}) == {"a": {"c": 2, "e": 4}, "d": 3}


def test_the_original_object_is_not_changed() -> None:
    before = str(POD)
    pod({"containers": [{"name": "web", "image": "web:2"}], "priorityClassName": "high"})
    assert str(POD) == before


def test_containers_and_their_variables_are_merged_by_name() -> None:
    containers = pod(
        {"containers": [{"name": "web", "env": [{"name": "B", "value": "9"}, {"name": "C", "value": "3"}]}]}
    )
    web, proxy = containers["containers"]
    assert web["image"] == "web:1"
    assert web["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "9"}, {"name": "C", "value": "3"}]
    assert proxy == {"name": "proxy", "image": "proxy:1"}


def test_containers_can_be_added_and_deleted() -> None:
    found = pod({"containers": [{"name": "proxy", "$patch": "delete"}, {"name": "sidecar", "image": "s:1"}]})
    assert [item["name"] for item in found["containers"]] == ["web", "sidecar"]


def test_mounts_are_merged_by_path_and_ports_by_number() -> None:
    base = {"volumeMounts": [{"name": "a", "mountPath": "/a"}], "ports": [{"containerPort": 80, "name": "http"}]}
    patch: dict[str, JsonValue] = {
        "volumeMounts": [{"mountPath": "/a", "readOnly": True}, {"name": "a", "mountPath": "/b"}],
        "ports": [{"containerPort": 80, "name": "web"}],
    }
    assert merged(base, patch) == {
        "volumeMounts": [{"name": "a", "mountPath": "/a", "readOnly": True}, {"name": "a", "mountPath": "/b"}],
        "ports": [{"containerPort": 80, "name": "web"}],
    }


def test_other_lists_are_replaced() -> None:
    assert pod({"tolerations": [{"key": "b"}]})["tolerations"] == [{"key": "b"}]


def test_unknown_outputs_are_kept() -> None:
    later_value = pulumi.Output.from_input(1)
    assert merged({"a": {"b": later_value}}, {"a": {"c": 1}})["a"] == {"b": later_value, "c": 1}
    with pytest.raises(ValueError, match=r"a\.b is not a map"):
        merged({"a": {"b": later_value}}, {"a": {"b": {"c": 1}}})


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"containers": [{"image": "x"}]}, "has no name"),
        ({"containers": ["web"]}, "has no name"),
        ({"containers": [{"name": "none", "$patch": "delete"}]}, "no element with name none to delete"),
        ({"containers": [{"name": "web", "$patch": "replace"}]}, "is not supported; use delete"),
        ({"containers": {"name": "web"}}, "is not a map in the object"),
    ],
)
def test_a_patch_of_another_type_is_refused(patch: dict[str, JsonValue], message: str) -> None:
    with pytest.raises(ValueError, match=r"spec\.template\.spec\.containers") as raised:
        pod(patch)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "name", "path", "container", "limits"),
    [
        ("Deployment", "langfuse-web", "spec.template.spec", "web", {"memory": "512Mi"}),
        ("StatefulSet", "langfuse-clickhouse", "spec.template.spec", "clickhouse", {"memory": "1Gi"}),
        ("StatefulSet", "langfuse-redis", "spec.template.spec", "valkey", {"cpu": "10m"}),
        ("Deployment", "langfuse-worker", "spec.template.spec", "worker", {"ephemeral-storage": "64Mi"}),
        ("CronJob", "langfuse-backup-postgres", "spec.jobTemplate.spec.template.spec", "finish", {"memory": "32Mi"}),
        ("Job", "langfuse-migrations", "spec.template.spec", "migrate", {"memory": "128Mi"}),
    ],
)
def test_a_patch_takes_nothing_from_a_container(
    kind: str, name: str, path: str, container: str, limits: dict[str, str]
) -> None:
    item = recorded("prod").one(kind, name)
    patch: dict[str, Any] = {"containers": [{"name": container, "resources": {"limits": limits}}]}
    for part in reversed(path.split(".")):
        patch = {part: patch}
    more = json.loads(json.dumps(patch).replace(json.dumps(limits), json.dumps(dict.fromkeys(limits, "64Ti"))))
    refuse_lower_limits(item.inputs, merged(item.inputs, more))
    (resource,) = limits
    with pytest.raises(ValueError, match=rf"containers\[{container}\].resources.limits.{resource} is lowered to "):
        refuse_lower_limits(item.inputs, merged(item.inputs, patch))


def test_a_patch_takes_nothing_from_a_database_of_an_operator() -> None:
    before = {"spec": {"resources": {"limits": {"memory": "2Gi"}}}}
    with pytest.raises(ValueError, match=r"spec.resources.limits.memory is lowered to 1Gi, .* configured for 2Gi"):
        refuse_lower_limits(before, {"spec": {"resources": {"limits": {"memory": "1Gi"}}}})


class Group(pulumi.ComponentResource):
    def __init__(self, patches: Patches) -> None:
        super().__init__("test:index:Group", "group", {}, patches.options(None))
        child = pulumi.ResourceOptions(parent=self)
        k8s.core.v1.ConfigMap("named", metadata={"name": "in-kubernetes"}, data={"a": "1"}, opts=child)
        k8s.core.v1.ConfigMap("unnamed", data={"a": "1"}, opts=child)
        name = content_name("by-content", {"a": "1"})
        k8s.core.v1.ConfigMap(name, metadata={"name": name}, data={"a": "1"}, opts=child)
        self.register_outputs(patches.check())


def run(*patches: Patch) -> Recording:
    return record(lambda: Group(Patches(patches)))


def config_map(name: str) -> Patch:
    return Patch(kind="ConfigMap", name=name, patch={"data": {"b": "2"}})


def transformed(recording: Recording, type_: str, name: str, props: dict[str, object]) -> object:
    (transform,) = recording.transforms
    args = pulumi.ResourceTransformArgs(True, type_, name, props, pulumi.ResourceOptions())
    result = transform(args)
    return result and result.props  # type: ignore[union-attr]  # not awaitable


def test_a_patch_changes_only_its_object() -> None:
    recording = run(config_map("in-kubernetes"))
    props: dict[str, object] = {"metadata": {"name": "in-kubernetes"}, "data": {"a": "1"}}
    map_, secret = "kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:Secret"
    assert transformed(recording, map_, "named", props) == {**props, "data": {"a": "1", "b": "2"}}
    assert transformed(recording, secret, "named", props) is None
    assert transformed(recording, map_, "named", {"data": {"a": "1"}}) is None


def test_a_patched_immutable_config_map_is_named_after_its_patched_content() -> None:
    recording = run(config_map("by-content"))
    name = content_name("by-content", {"a": "1"})
    props: dict[str, object] = {"metadata": {"name": name}, "data": {"a": "1"}}
    both = {"a": "1", "b": "2"}
    assert transformed(recording, "kubernetes:core/v1:ConfigMap", name, props) == {
        "metadata": {"name": content_name("by-content", both)},
        "data": both,
    }


@pytest.mark.parametrize(
    ("props", "patch", "message"),
    [
        ({"data": {"a": "1"}}, {"data": {"a": {"b": "c"}}}, r"data\.a is not a map"),
        (
            {"spec": {"resources": {"limits": {"cpu": "2"}}}},
            {"spec": {"resources": {"limits": {"cpu": 1}}}},
            r"spec\.resources\.limits\.cpu is lowered to 1, and its program is configured for 2; remove it",
        ),
    ],
)
def test_a_patch_that_does_not_fit_fails_with_one_message(
    props: dict[str, object], patch: dict[str, JsonValue], message: str
) -> None:
    patches = Patches([Patch(kind="ConfigMap", name="unnamed", patch=patch)])

    def program() -> None:
        args = pulumi.ResourceTransformArgs(
            True, "kubernetes:core/v1:ConfigMap", "unnamed", props, pulumi.ResourceOptions()
        )
        patches.transform(args)  # as the engine does when the object is registered
        Group(patches)

    with pytest.raises(pulumi.RunError, match=rf"langfuse:patches\.0: ConfigMap unnamed: {message}"):
        record(program)


def test_objects_without_a_name_are_found_by_their_pulumi_name() -> None:
    recording = run(config_map("unnamed"))
    found = transformed(recording, "kubernetes:core/v1:ConfigMap", "unnamed", {"data": {"a": "1"}})
    assert found == {"data": {"a": "1", "b": "2"}}


def test_without_patches_there_is_no_transform() -> None:
    assert run().transforms == []


def test_a_patch_without_an_object_is_refused() -> None:
    patches = Patches([config_map("named"), config_map("nobody")])
    with pytest.raises(pulumi.RunError, match=r"langfuse:patches\.1: the stack has no ConfigMap nobody") as raised:
        record(lambda: Group(patches))
    assert "patches.0" not in str(raised.value)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            {"kind": "Secret", "name": "x", "patch": {"stringData": {"a": "hunter2"}}},
            "would write the data of a Secret",
        ),
        (
            {"kind": "Service", "name": "x", "patch": {"kind": "Pod"}},
            "langfuse:patches.0.patch.kind: cannot be changed",
        ),
        ({"kind": "Service", "name": "x", "patch": {"metadata": {"name": "y"}}}, "would create another object"),
        ({"kind": "Service", "name": "x", "patch": {}}, "langfuse:patches.0.patch: {} must not be empty"),
        ({"kind": "Service", "patch": {"spec": {}}}, "langfuse:patches.0.name: is required"),
    ],
)
def test_an_invalid_patch_is_refused(patch: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": "langfuse.example.com", "patches": [patch]})
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)
