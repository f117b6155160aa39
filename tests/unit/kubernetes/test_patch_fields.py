import importlib
from collections.abc import Mapping
from typing import Any

import pytest
from pulumi import _types
from pydantic import JsonValue

from components.kubernetes.patch_fields import API_VERSIONS, QUANTITIES, field_errors
from components.settings.load import SettingsError, parse
from tests.unit.program import recorded


def pod(spec: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"spec": {"template": {"spec": dict(spec)}}}


def container(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return pod({"containers": [{"name": "web", **fields}]})


def problems(patch: Mapping[str, JsonValue], kind: str = "Deployment") -> list[str]:
    return [problem.removeprefix("spec.template.spec.") for problem in field_errors(kind, patch)]


def is_native(type_: str) -> bool:
    package, module, _ = type_.split(":")
    group = module.split("/")[0]
    return package == "kubernetes" and "/" in module and ("." not in group or group.endswith(".k8s.io"))


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_object_of_the_program_is_checked_and_valid(stack: str) -> None:
    native = [item for item in recorded(stack) if item.custom and is_native(item.type)]
    assert {"Deployment", "StatefulSet", "CronJob"} <= {item.kind for item in native}
    for item in native:
        assert list(field_errors(item.kind, item.inputs)) == [], item.name
        assert "not a field" in str(list(field_errors(item.kind, {"spek": {}}))), item.name


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        (pod({"priorityClasName": "high"}), 'priorityClasName: is not a field; did you mean "priorityClassName"?'),
        (pod({"priorityClasName": None}), 'priorityClasName: is not a field; did you mean "priorityClassName"?'),
        (pod({"priority_class_name": "high"}), 'is not a field; did you mean "priorityClassName"?'),
        (pod({"hostipc": True}), 'hostipc: is not a field; did you mean "hostIPC"?'),
        (pod({"zzz": 1}), "zzz: is not a field; remove it (kubectl explain deployment.spec.template.spec)"),
        (container({"env": [{"name": "A", "valueForm": {}}]}), "containers.0.env.0.valueForm: is not a field"),
        (pod({"tolerations": [{"key": "a"}, {"kee": "b"}]}), 'tolerations.1.kee: is not a field; did you mean "key"?'),
        (pod({"nodeSelector": {"disk": 1}}), "nodeSelector.disk: must be a string, not an integer; put it in quotes"),
        (pod({"nodeSelector": ["disk"]}), "nodeSelector: must be a map, not a list"),
        (pod({"containers": {"name": "web"}}), "containers: must be a list, not a map"),
        (pod({"tolerations": [None]}), "tolerations.0: must be a map, not null"),
        (pod({"hostNetwork": "true"}), "hostNetwork: must be true or false, not a string"),
        (pod({"hostNetwork": 1}), "hostNetwork: must be true or false, not an integer"),
        (pod({"terminationGracePeriodSeconds": "60"}), "terminationGracePeriodSeconds: must be an integer"),
        (pod({"terminationGracePeriodSeconds": 1.5}), "terminationGracePeriodSeconds: must be an integer"),
        (pod({"$patch": "delete"}), "$patch: is not a field"),
        (pod({"tolerations": [{"$patch": "delete"}]}), "tolerations.0.$patch: is not a field"),
        (container({"livenessProbe": {"httpGet": {"port": True}}}), "port: must be an integer or a string"),
    ],
)
def test_unknown_fields_and_values_of_another_type_are_refused(patch: dict[str, JsonValue], problem: str) -> None:
    (found,) = problems(patch)
    assert problem in found


@pytest.mark.parametrize(
    "patch",
    [
        pod({"priorityClassName": "high", "terminationGracePeriodSeconds": 60.0, "nodeSelector": {"disk": None}}),
        pod({"priorityClassName": None, "tolerations": None, "securityContext": None}),
        container({"$patch": "delete"}),
        container({"env": [{"name": "A", "$patch": "delete"}]}),
        container({"resources": {"limits": {"cpu": 2, "memory": "2Gi", "nvidia.com/gpu": 1, "hugepages-2Mi": 1.5}}}),
        container({"livenessProbe": {"httpGet": {"port": "http"}}, "readinessProbe": {"httpGet": {"port": 3000}}}),
        pod({"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": 1000}}]}),
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}},
        {"metadata": {"annotations": {"any.example.com/key": "value"}}},
    ],
)
def test_valid_fields_are_accepted(patch: dict[str, JsonValue]) -> None:
    assert problems(patch) == []


def test_custom_resources_are_left_to_the_api_server() -> None:
    assert problems({"spec": {"anything": 1}}, "VirtualService") == []


def test_fields_for_quantities_exist() -> None:
    for quantity in QUANTITIES:
        owner, _, name = quantity.partition(".")
        modules = [importlib.import_module(f"pulumi_kubernetes.{version}") for version in API_VERSIONS]
        (fields,) = (getattr(module, f"{owner}Args") for module in modules if hasattr(module, f"{owner}Args"))
        assert name in _types.input_type_types(fields)


def test_every_problem_is_reported_before_registration_and_without_its_value() -> None:
    patches: list[dict[str, Any]] = [
        {"kind": "Deployment", "name": "langfuse-web", "patch": pod({"priorityClasName": "hunter2"})},
        {
            "kind": "StatefulSet",
            "name": "langfuse-postgres",
            "patch": container({"env": [{"name": "PIN", "value": 31337}]}),
        },
    ]
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": "langfuse.example.com", "patches": patches})
    message = str(raised.value)
    assert "langfuse:patches.0.patch.spec.template.spec.priorityClasName: is not a field" in message
    assert "langfuse:patches.1.patch.spec.template.spec.containers.0.env.0.value: must be a string" in message
    assert "hunter2" not in message
    assert "31337" not in message
