import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.schema.environment import PROJECT, Settings
from components.settings.load import SettingsError, parse
from components.settings.profiles import PROFILES
from tests.unit.docs.test_docs import ALTERNATIVES, EXAMPLE, uncommented
from tests.unit.json_schema import problems
from tools.docs.fields import keys
from tools.docs.generated import ROOT
from tools.docs.schema import schema

SCHEMA: Mapping[str, Any] = schema()
STACK_FILES = [EXAMPLE, *sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))]


def check(config: Mapping[str, object]) -> list[str]:
    return list(problems({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}, SCHEMA, SCHEMA))


def test_there_are_stack_files_to_check() -> None:
    assert {path.name for path in STACK_FILES} >= {f"Pulumi.{name}.yaml" for name in ("dev", "staging", "prod")}


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.stem)
def test_every_stack_file_is_valid(path: Path) -> None:
    assert not list(problems(yaml.safe_load(path.read_text()), SCHEMA, SCHEMA))


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_every_alternative_of_the_example_is_valid(name: str) -> None:
    config = yaml.safe_load(uncommented(ALTERNATIVES[name]))
    assert not list(problems({"config": {f"{PROJECT}:host": "langfuse.example.com", **config}}, SCHEMA, SCHEMA))


def test_the_schema_has_every_key_and_no_other() -> None:
    assert SCHEMA["properties"]["config"]["properties"].keys() == {f"{PROJECT}:{key.name}" for key in keys(Settings)}


def test_a_host_is_the_only_required_key() -> None:
    assert not check({"host": "langfuse.example.com"})
    assert check({}) == [".config: required is ['langfuse:host']"]


def test_keys_of_other_programs_are_accepted() -> None:
    config = {f"{PROJECT}:host": "a.example", "kubernetes:context": "x", "pulumi:tags": {"a": "b"}}
    assert not list(problems({"config": config, "encryptionsalt": "v1:x"}, SCHEMA, SCHEMA))


@pytest.mark.parametrize(
    "part",
    [
        {"postgres": {"storage": "100Gi"}},
        {"clickhouse": {"replicas": 3, "keepers": 3}},
        {"redis": {"storage": "8Gi", "resources": {"memory": "2Gi"}}},
        {"web": {"resources": {"cpu": "1"}}},
        {"postgres": {"mode": "cloudnativepg"}},
        {
            "postgres": {"mode": "external", "host": "postgres.example.com"},
            "credentials": {"values": {"postgresPassword": {"source": "existing", "secret": "a", "key": "b"}}},
        },
        {"protect": "true"},
        {"protect": False},
        {"host": {"secure": "v1:abc"}},
        {"credentials": {"values": {"salt": {"source": "existing", "secret": "a", "key": "b"}}}},
    ],
)
def test_the_schema_accepts_what_the_program_accepts(part: dict[str, Any]) -> None:
    assert not check({"host": "langfuse.example.com", **part})
    if part.get("host") is None:
        parse("dev", {"host": "langfuse.example.com", **part})


@pytest.mark.parametrize(
    "part",
    [
        {"hots": "x"},
        {"postgres": {"storge": "5Gi"}},
        {"postgres": {"mode": "external", "storage": "5Gi", "host": "a.example"}},
        {"postgres": {"mode": "external"}},
        {"postgres": {"mode": "manged"}},
        {"clickhouse": {"replicas": 2}},
        {"web": {"replicas": "three"}},
        {"web": {"replicas": 0}},
        {"web": {"replicas": True}},
        {"web": 3},
        {"web": {"resources": {"memroy": "1Gi"}}},
        {"ingress": {"kind": "nginx"}},
        {"network": {"webClients": "istio-system"}},
        {"profile": "production"},
        {"objectStore": {"mode": "external", "region": "eu-central-1"}},
        {"web": {"autoscaling": {"minReplicas": 2}}},
    ],
    ids=str,
)
def test_the_program_refuses_what_the_schema_refuses(part: dict[str, Any]) -> None:
    assert check({"host": "langfuse.example.com", **part})
    with pytest.raises(SettingsError):
        parse("dev", {"host": "langfuse.example.com", **part})


def test_every_key_of_the_schema_has_a_description() -> None:
    described = SCHEMA["$defs"]["Web"]["properties"]["resources"]
    assert "heap" in described["description"]
    assert json.loads((ROOT / "stacks" / "schema.json").read_text()) == SCHEMA


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_valid(profile: str) -> None:
    assert not check({"host": "langfuse.example.com", **PROFILES[profile]})
