"""The rendered dev stack: containers, their environment with secrets filled in, and ConfigMaps."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.unit import pods
from tests.unit.configuration import HOST
from tests.unit.program import recorded
from tests.unit.recorder import Recording

Container = Mapping[str, Any]

COPIES = {"endpoint": "https://s3.example.org", "bucket": "copies", "secret": "off-site"}

_PLAIN_NAME = re.compile(r"\$\((\w+)\)")


def stack() -> Recording:
    """Everything that the dev stack registers."""
    return recorded("dev", {"host": HOST})


def stack_with_clients() -> Recording:
    """The dev stack with two clients, of which one has a project of its own."""
    search = {"kind": "otel", "namespace": "search", "project": {"id": "search", "name": "Search"}}
    return recorded("dev", {"host": HOST, "clients": {"gateway": {"kind": "litellm"}, "search": search}})


@cache
def secrets() -> Mapping[tuple[str, str], str]:
    """The values of all Secrets by name and key."""
    return {
        (secret.name, key): value
        for recording in (stack_with_clients(), stack())
        for secret in recording.of("Secret")
        for key, value in secret.inputs["stringData"].items()
    }


def container(kind: str, workload: str, name: str) -> Container:
    """A container of a workload."""
    return pods.container(stack().one(kind, workload), name)


def environment(of: Container, **replaced: str) -> dict[str, str]:
    """The variables of a container with the values of Secrets. Replaced variables must exist."""
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


RECIPIENT = "age1h8982ql47mf7sl4avj3j0tupfe087qga072xalw8c82mgy936ejs56f2mf"
"""A public key of age, whose private key nobody has."""


@cache
def _script_folders() -> list[Mapping[str, str]]:
    """The files of every ConfigMap: of the stacks above, of other modes of managed stores, and of an encrypted copy."""
    modes = {
        "redis": {"mode": "sentinel"},
        "objectStore": {"mode": "managed", "nodes": 4},
        "clickhouse": {"mode": "managed", "replicas": 3, "keepers": 3},
        "backups": {"offSite": COPIES, "importFrom": COPIES},
    }
    encrypted = {"backups": {"offSite": {**COPIES, "recipients": [RECIPIENT]}}}
    recordings = (stack(), stack_with_clients(), recorded("dev", modes), recorded("dev", encrypted))
    return [item.inputs["data"] for recording in recordings for item in recording.of("ConfigMap")]


def mounted_scripts(script: str) -> Mapping[str, str]:
    """The files that a pod mounts together with a script."""
    return next(files for files in _script_folders() if script in files)


def config_map(name: str) -> Mapping[str, str]:
    """The data of a ConfigMap."""
    data: Mapping[str, str] = stack().one("ConfigMap", name).inputs["data"]
    return data
