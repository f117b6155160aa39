"""The modules that Node preloads in web and worker.

What they do to connections is tested in tests/edge/test_rollout.py and tests/data/redis/test_redis.py.
"""

import json
import subprocess
from typing import Any

import pytest

from components.application.modules import CONFIG
from tests.servers import program
from tests.unit.pods import container, pod_spec, variables
from tests.unit.program import recorded

MODULE = CONFIG / "listen-on-ipv6.cjs"
BOTH = "--require=/etc/langfuse/keep-redis-connections.cjs --require=/etc/langfuse/listen-on-ipv6.cjs"
REQUIRE = f"--require=/etc/langfuse/close-connections.cjs {BOTH}"


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
    assert {*found.inputs["data"]} == {
        "close-connections.cjs",
        "keep-redis-connections.cjs",
        "listen-on-ipv6.cjs",
    }


def test_worker_preloads_what_it_needs_and_migrations_nothing() -> None:
    assert str(node_options(container(recorded("dev").one("Deployment", "langfuse-worker")))).endswith(f" {BOTH}")
    found = recorded("dev").one("ConfigMap", "langfuse-worker-modules").inputs["data"]
    assert {*found} == {"keep-redis-connections.cjs", "listen-on-ipv6.cjs"}
    assert "--require" not in str(variables(container(recorded("dev").one("Job", "langfuse-migrations"))))


LISTENER = """
require(%s);
const server = require("node:http").createServer().listen(0, process.env.HOSTNAME, () => {
  process.stdout.write(`${process.env.HOSTNAME} ${server.address().family}`);
  server.close();
});
"""


def listener(hostname: str, addresses: list[dict[str, object]]) -> str:
    """Where a server in Node listens that has loaded the module, in a pod with these addresses."""
    fake = f"require('node:os').networkInterfaces = () => ({{ eth0: {json.dumps(addresses)} }});"
    script = fake + LISTENER % json.dumps(str(MODULE))
    words = [str(program("node", package="nodejs")), "-e", script]
    environment = {"HOSTNAME": hostname}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=30)
    return str(done.stdout)


IPV4, LINK_LOCAL, IPV6, LOOPBACK = (
    {"address": address, "family": family, "internal": address == "::1"}
    for address, family in (("10.1.2.3", "IPv4"), ("fe80::5", "IPv6"), ("fd12::5", "IPv6"), ("::1", "IPv6"))
)


@pytest.mark.parametrize(
    ("hostname", "addresses", "listens"),
    [
        ("0.0.0.0", [IPV4, LINK_LOCAL, LOOPBACK], "0.0.0.0 IPv4"),  # noqa: S104
        ("0.0.0.0", [IPV6, LOOPBACK], ":: IPv6"),  # noqa: S104
        ("0.0.0.0", [IPV4, IPV6], ":: IPv6"),  # noqa: S104
        ("127.0.0.1", [IPV6], "127.0.0.1 IPv4"),
    ],
    ids=["IPv4", "IPv6-only", "dual stack", "first start"],
)
def test_a_pod_with_an_ipv6_address_listens_there_too(
    hostname: str, addresses: list[dict[str, object]], listens: str
) -> None:
    assert listener(hostname, addresses) == listens


def test_configured_node_options_are_kept() -> None:
    own = {"value": "--max-http-header-size=32768", "insist": True}
    assert node_options(web(NODE_OPTIONS=own)[1]) == f"--max-http-header-size=32768 {REQUIRE}"
    secret = {"secret": "options", "key": "node", "insist": True}
    assert node_options(web(NODE_OPTIONS=secret)[1]) == {"secretKeyRef": {"name": "options", "key": "node"}}
