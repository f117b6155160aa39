"""The dev stack as the program renders it: what the tests here run, with the environment that its pods would have."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from components.langfuse import Langfuse
from components.settings.load import parse
from tests.unit.recorder import Recording, record

Container = Mapping[str, Any]

_PLAIN_NAME = re.compile(r"\$\((\w+)\)")


@cache
def stack() -> Recording:
    """Everything that the dev stack registers."""
    settings = parse("dev", {"host": "langfuse.example.com"})
    return record(lambda: Langfuse("langfuse", settings))


@cache
def secrets() -> Mapping[tuple[str, str], str]:
    """Every value of every Secret, by name and key."""
    return {
        (secret.name, key): value
        for secret in stack().of("Secret")
        for key, value in secret.inputs["stringData"].items()
    }


def container(kind: str, workload: str, name: str) -> Container:
    """A container of a workload, as the API server would get it."""
    spec = stack().one(kind, workload).inputs["spec"]
    template = spec["jobTemplate"]["spec"]["template"] if kind == "CronJob" else spec["template"]
    pod = template["spec"]
    found = [item for item in (*pod.get("initContainers", []), *pod["containers"]) if item["name"] == name]
    assert len(found) == 1, f"{len(found)} containers {name} in {workload}"
    result: Container = found[0]
    return result


def environment(of: Container, **replaced: str) -> dict[str, str]:
    """The container's variables with Secrets filled in, and some replaced that it must have."""
    variables: dict[str, str] = {}
    for item in of.get("env", []):
        source = item.get("valueFrom", {})
        if "secretKeyRef" in source:
            value = secrets()[source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]]
        elif "fieldRef" in source:
            value = f"{of['name']}-0"
        else:
            value = _PLAIN_NAME.sub(lambda match: variables[match[1]], item["value"])
        variables[item["name"]] = value
    assert replaced.keys() <= variables.keys(), f"{of['name']} has no {replaced.keys() - variables.keys()}"
    return variables | replaced


def config_map(name: str) -> Mapping[str, str]:
    """The files of a ConfigMap."""
    data: Mapping[str, str] = stack().one("ConfigMap", name).inputs["data"]
    return data
