"""An error about a variable names the key that really sets it, in the configured mode of each store."""

import json
from collections.abc import Iterator, Mapping

import pytest
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from components.application.extra_env import names
from components.application.variable_keys import DESCRIPTIONS, owner
from components.schema.base import Model
from components.schema.environment import Settings
from components.settings.annotations import field, models
from components.settings.load import parse
from tests.engine.matrix import config as matrix_config
from tests.engine.matrix import few_rows
from tests.golden import stacks
from tests.unit.configuration import refusal, settings
from tests.unit.program import recorded

SENTINELS = {"mode": "external", "topology": "sentinel", "nodes": ["s0.example.com:26379"], "masterName": "cache"}
EXTERNAL = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}, "redis": SENTINELS}


def is_key(key: str, found: Settings) -> bool:
    """Whether a stack file with these modes can set the key."""
    value: object = found
    model: type[BaseModel] | None = Settings
    for part in key.split("."):
        entry = field(model, part) if model else None
        if entry is None:
            return False
        value = next((one for name, one in value if to_camel(name) == part), None) if isinstance(value, Model) else None
        model = type(value) if isinstance(value, Model) else next(models(entry.annotation), None)
    return True


def environments(config: Mapping[str, object], stack: str) -> Iterator[str]:
    """The variables of web, worker and the first start."""
    for item in recorded(stack, config):
        if item.kind in {"Deployment", "Job"} and item.name in {
            "langfuse-web",
            "langfuse-worker",
            "langfuse-first-start",
        }:
            for container in item.inputs["spec"]["template"]["spec"]["containers"]:
                yield from (variable["name"] for variable in container["env"])


EXAMPLE_CONFIG = next(given for name, _, given in stacks() if name == "example")
EVERY_MODE = {"-".join(row): matrix_config(row) for row in few_rows(1)}


@pytest.mark.parametrize("config", [*EVERY_MODE.values(), EXAMPLE_CONFIG], ids=[*EVERY_MODE, "example"])
def test_every_variable_names_a_key_that_exists_in_the_mode(config: Mapping[str, object]) -> None:
    stack = "example"
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    found = parse(stack, {"host": f"{stack}.example.com", **text})
    rendered = set(environments(config, stack)) - found.extra_env.keys() - {"WAIT_SECONDS"}
    assert {name for name in rendered if owner(name, found) is None} == set()
    known = names(found.version, "web") | names(found.version, "worker") | rendered
    for name in known:
        key = owner(name, found)
        for one in (key or "").split(" and langfuse:"):
            assert not one or one in DESCRIPTIONS or is_key(one, found), f"{name} is said to be set by {one}"


@pytest.mark.parametrize(
    ("config", "variable", "key"),
    [
        ({"redis": {"mode": "sentinel"}}, "REDIS_SENTINEL_PASSWORD", "credentials.values.redisPassword"),
        ({}, "REDIS_HOST", "redis.mode"),
        (EXTERNAL, "REDIS_SENTINEL_NODES", "redis.nodes"),
        ({}, "CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY", "clickhouse.resources.memory"),
        ({}, "LANGFUSE_INIT_USER_PASSWORD", "credentials.values.userPassword"),
        ({}, "LANGFUSE_S3_MEDIA_UPLOAD_SECRET_ACCESS_KEY", "credentials.values.objectStoreMediaSecretAccessKey"),
        ({}, "AUTH_GITHUB_CLIENT_ID", "signIn.providers.github.clientId"),
        ({}, "AUTH_GITHUB_ENTERPRISE_BASE_URL", "signIn.providers.githubEnterprise.baseUrl"),
        ({}, "LANGFUSE_WEBHOOK_WHITELISTED_IP_SEGMENTS", "allowedTargets.webhook.ranges"),
        ({}, "SMTP_CONNECTION_URL", "mail.smtpUrl"),
    ],
)
def test_the_error_names_the_key(config: Mapping[str, object], variable: str, key: str) -> None:
    error = refusal({**config, "extraEnv": {variable: {"secret": "own", "key": "value"}}})
    assert f"langfuse:extraEnv.{variable}: is set by langfuse:{key}; change that key" in error


@pytest.mark.parametrize("variable", ["REDIS_SENTINEL_PASSWORD", "REDIS_SENTINEL_USERNAME"])
def test_the_password_of_external_sentinels_can_be_set(variable: str) -> None:
    """No key sets it, so an error could name none."""
    given = {variable: {"secret": "sentinels", "key": "password"}}
    assert settings(EXTERNAL, extraEnv=given).extra_env[variable].secret == "sentinels"  # noqa: S105  # a name
