"""The module that Node preloads in web. tests/edge/test_rollout.py tests what it does to connections."""

from typing import Any

import pytest

from tests.unit.pods import container, pod_spec, variables
from tests.unit.program import recorded

REQUIRE = "--require=/etc/langfuse/close-connections.cjs"


def web(**extra: dict[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod spec of web and its container."""
    found = recorded("dev", {"extraEnv": extra}).one("Deployment", "langfuse-web")
    return pod_spec(found), container(found)


def node_options(of: dict[str, Any]) -> object:
    return variables(of)["NODE_OPTIONS"]


def test_node_preloads_a_mounted_file() -> None:
    pod, server = web()
    assert str(node_options(server)).endswith(f" {REQUIRE}")
    (mount,) = [mount for mount in server["volumeMounts"] if mount["mountPath"] == "/etc/langfuse"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    found = recorded("dev").one("ConfigMap", "langfuse-web-modules")
    assert volume["configMap"]["name"].startswith(found.name)
    assert [*found.inputs["data"]] == ["close-connections.cjs"]


@pytest.mark.parametrize("name", ["langfuse-worker", "langfuse-migrations"])
def test_worker_and_migrations_preload_nothing(name: str) -> None:
    kind = "Job" if name == "langfuse-migrations" else "Deployment"
    assert "--require" not in str(variables(container(recorded("dev").one(kind, name))))


def test_configured_node_options_are_kept() -> None:
    own = {"value": "--max-http-header-size=32768", "insist": True}
    assert node_options(web(NODE_OPTIONS=own)[1]) == f"--max-http-header-size=32768 {REQUIRE}"
    secret = {"secret": "options", "key": "node", "insist": True}
    assert node_options(web(NODE_OPTIONS=secret)[1]) == {"secretKeyRef": {"name": "options", "key": "node"}}
