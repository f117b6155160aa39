"""What Node loads into web. What it does to connections is tested in tests/edge/test_rollout.py."""

from typing import Any

import pytest

from tests.unit.program import recorded

REQUIRE = "--require=/etc/langfuse/close-connections.cjs"


def web(**extra: dict[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod of web, and its container."""
    pod = recorded("dev", {"extraEnv": extra}).one("Deployment", "langfuse-web").inputs["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def node_options(container: dict[str, Any]) -> dict[str, Any]:
    (found,) = [item for item in container["env"] if item["name"] == "NODE_OPTIONS"]
    return dict(found)


def test_node_loads_a_file_that_is_mounted() -> None:
    pod, container = web()
    assert node_options(container)["value"].endswith(f" {REQUIRE}")
    (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/etc/langfuse"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    found = recorded("dev").one("ConfigMap", "langfuse-web-modules")
    assert volume["configMap"]["name"].startswith(found.name)
    assert [*found.inputs["data"]] == ["close-connections.cjs"]


@pytest.mark.parametrize("name", ["langfuse-worker", "langfuse-migrations"])
def test_nothing_else_is_told_to(name: str) -> None:
    kind = "Job" if name == "langfuse-migrations" else "Deployment"
    for container in recorded("dev").one(kind, name).inputs["spec"]["template"]["spec"]["containers"]:
        assert not [item for item in container["env"] if "--require" in item.get("value", "")]


def test_options_of_ones_own_are_kept() -> None:
    own = {"value": "--max-http-header-size=32768", "insist": True}
    assert node_options(web(NODE_OPTIONS=own)[1])["value"] == f"--max-http-header-size=32768 {REQUIRE}"
    secret = {"secret": "options", "key": "node", "insist": True}
    assert "valueFrom" in node_options(web(NODE_OPTIONS=secret)[1])
