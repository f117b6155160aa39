from pathlib import PurePosixPath
from typing import Any

import pytest

from components.application.extra_env import names
from components.network.mesh_policies import TUNNEL_PORT
from components.stores.redis.passwords import RETIRE
from tests.unit.pods import container, containers, pod_spec, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording
from tests.unit.variables import VERSIONS

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
EXISTING = {"source": "existing", "secret": "mine", "key": "redis"}
NODES = ["a.example.com:26379", "b.example.com:26380", "c.example.com:26379"]
HEADLESS = "langfuse-redis-headless.langfuse-dev.svc"
MODES: dict[str, dict[str, object]] = {
    "managed": {"mode": "managed"},
    "sentinel": {"mode": "sentinel"},
    "external": {"mode": "external", "host": "redis.example.com", "port": 6380, "username": "app", "ca": CA},
    "external-plain": {"mode": "external", "host": "redis.example.com", "tls": False},
    "external-cluster": {"mode": "external", "topology": "cluster", "nodes": NODES},
    "external-sentinel": {"mode": "external", "topology": "sentinel", "nodes": NODES, "masterName": "main"},
}


def redis(mode: str, **config: object) -> Recording:
    credentials = {"values": {"redisPassword": EXISTING}} if mode.startswith("external") else {}
    return recorded("dev", {"redis": MODES[mode], "credentials": credentials, **config})


def program_variables(recording: Recording, program: str) -> dict[str, Any]:
    return variables(container(recording.one("Deployment", f"langfuse-{program}")))


def secret(name: str, key: str) -> dict[str, object]:
    return {"secretKeyRef": {"name": name, "key": key}}


MINE = secret("mine", "redis")
OURS = secret("langfuse-redis", "password")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("managed", {"REDIS_AUTH": OURS, "REDIS_HOST": "langfuse-redis", "REDIS_PORT": "6379"}),
        (
            "sentinel",
            {
                "REDIS_AUTH": OURS,
                "REDIS_SENTINEL_ENABLED": "true",
                "REDIS_SENTINEL_MASTER_NAME": "langfuse",
                "REDIS_SENTINEL_NODES": ",".join(f"langfuse-redis-{n}.{HEADLESS}:26379" for n in range(3)),
                "REDIS_SENTINEL_PASSWORD": OURS,
            },
        ),
        (
            "external",
            {
                "REDIS_AUTH": MINE,
                "REDIS_HOST": "redis.example.com",
                "REDIS_PORT": "6380",
                "REDIS_TLS_CA_PATH": "/etc/langfuse/certificates/redis.pem",
                "REDIS_TLS_ENABLED": "true",
                "REDIS_USERNAME": "app",
            },
        ),
        ("external-plain", {"REDIS_AUTH": MINE, "REDIS_HOST": "redis.example.com", "REDIS_PORT": "6379"}),
        (
            "external-cluster",
            {
                "REDIS_AUTH": MINE,
                "REDIS_CLUSTER_ENABLED": "true",
                "REDIS_CLUSTER_NODES": ",".join(NODES),
                "REDIS_TLS_ENABLED": "true",
            },
        ),
        (
            "external-sentinel",
            {
                "REDIS_AUTH": MINE,
                "REDIS_SENTINEL_ENABLED": "true",
                "REDIS_SENTINEL_MASTER_NAME": "main",
                "REDIS_SENTINEL_NODES": ",".join(NODES),
                "REDIS_SENTINEL_TLS_ENABLED": "true",
                "REDIS_TLS_ENABLED": "true",
            },
        ),
    ],
)
def test_web_and_worker_have_the_connection_of_each_mode(mode: str, expected: dict[str, object]) -> None:
    recording = redis(mode)
    for program in ("web", "worker"):
        given = {
            name: value for name, value in program_variables(recording, program).items() if name.startswith("REDIS_")
        }
        assert given.pop("REDIS_KEY_PREFIX") == "langfuse-dev:"
        assert given == expected


def connection(recording: Recording, program: str) -> dict[str, Any]:
    prefixes = ("REDIS_", "DATABASE_", "DIRECT")
    return {name: value for name, value in program_variables(recording, program).items() if name.startswith(prefixes)}


@pytest.mark.parametrize("mode", MODES)
def test_every_variable_is_one_that_every_release_reads(mode: str) -> None:
    recording = redis(mode)
    for program in ("web", "worker"):
        given = connection(recording, program).keys()
        unread = {(version, name) for version in VERSIONS for name in given - names(version, program)}
        assert unread == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_variables_do_not_depend_on_the_release(version: str) -> None:
    for program in ("web", "worker"):
        newest = connection(redis("sentinel"), program)
        assert connection(redis("sentinel", version=version), program) == newest


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.startswith("external")])
def test_an_external_server_creates_no_resources(mode: str) -> None:
    recording = redis(mode)
    assert not [item for item in recording if "langfuse-redis" in item.name]


def test_a_private_ca_is_mounted_in_web_and_worker() -> None:
    recording = redis("external")
    for program in ("web", "worker"):
        mounts = container(recording.one("Deployment", f"langfuse-{program}"))["volumeMounts"]
        assert "/etc/langfuse/certificates" in {mount["mountPath"] for mount in mounts}
    assert recording.one("ConfigMap", "langfuse-certificates-ca-bundles").inputs["data"] == {"redis.pem": CA}


@pytest.fixture(scope="module")
def three() -> Recording:
    return redis("sentinel")


def test_sentinel_mode_runs_three_pods_with_a_volume_each(three: Recording) -> None:
    item = three.one("StatefulSet", "langfuse-redis")
    spec = item.inputs["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
    assert [container["name"] for container in spec["template"]["spec"]["containers"]] == ["valkey", "sentinel"]
    claims = {claim.name for claim in three.of("PersistentVolumeClaim") if "redis" in claim.name}
    assert claims == {f"data-langfuse-redis-{number}" for number in range(3)}
    assert claims <= item.dependencies


def test_sentinel_pods_are_spread_over_zones_and_evicted_one_at_a_time(three: Recording) -> None:
    budget = three.one("PodDisruptionBudget", "langfuse-redis").inputs["spec"]
    assert budget["maxUnavailable"] == 1
    template = pod_spec(three.one("StatefulSet", "langfuse-redis"))
    keys = {one["topologyKey"] for one in template["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_after_the_longest_handover_the_server_has_as_much_time_to_stop_as_a_single_one(three: Recording) -> None:
    template = pod_spec(three.one("StatefulSet", "langfuse-redis"))
    *command, seconds, pause = template["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["/bin/sh", "/scripts/hand-over-primary.sh", "6379"]
    single = pod_spec(redis("managed").one("StatefulSet", "langfuse-redis"))["terminationGracePeriodSeconds"]
    assert template["terminationGracePeriodSeconds"] - int(seconds) - 4 * int(pause) == single


def test_a_server_can_write_its_configuration_file(three: Recording) -> None:
    template = pod_spec(three.one("StatefulSet", "langfuse-redis"))
    valkey = template["containers"][0]
    _, _, shipped, running, _ = valkey["command"]
    volumes = {volume["name"]: volume for volume in template["volumes"]}
    mounted = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in valkey["volumeMounts"]}
    assert "configMap" in mounted[str(PurePosixPath(shipped).parent)]
    assert "emptyDir" in mounted[str(PurePosixPath(running).parent)]


def test_probes_check_persistence_and_replication(three: Recording) -> None:
    template = pod_spec(three.one("StatefulSet", "langfuse-redis"))
    valkey, sentinel = template["containers"]
    assert valkey["startupProbe"]["exec"]["command"] == ["/bin/sh", "/scripts/check-valkey.sh"]
    assert valkey["readinessProbe"]["exec"]["command"] == ["/bin/sh", "/scripts/check-valkey-member.sh", "6379"]
    assert sentinel["startupProbe"]["exec"]["command"] == ["/bin/sh", "/scripts/check-sentinel.sh", "26379"]
    files = three.one("ConfigMap", "langfuse-redis-scripts").inputs["data"]
    used = {
        word.removeprefix("/scripts/")
        for item in template["containers"]
        for command in (
            item["command"],
            *(probe.get("exec", {}).get("command", []) for probe in probes(item)),
            *(hook["exec"]["command"] for hook in item.get("lifecycle", {}).values()),
        )
        for word in command
        if word.startswith("/scripts/")
    }
    helpers = {"find-primary.sh", "accept-passwords.sh", "choose-password.sh", "last-password.sh"}
    assert used | helpers | {RETIRE} == files.keys()


def probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]


def test_members_and_clients_may_reach_servers_and_sentinels(three: Recording) -> None:
    (rule,) = three.one("NetworkPolicy", "langfuse-allow-redis-ingress").inputs["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} - {TUNNEL_PORT} == {6379, 26379}
    names = rule["from"][0]["podSelector"]["matchExpressions"][0]["values"]
    assert set(names) == {"web", "worker", "first-start", "migrations", "redis"}


def test_each_pod_announces_a_stable_host_name(three: Recording) -> None:
    given = variables(container(three.one("StatefulSet", "langfuse-redis"), "valkey"))
    assert given["MEMBER"] == f"$(POD_NAME).{HEADLESS}:6379"
    assert list(given).index("POD_NAME") < list(given).index("MEMBER")
    assert given["FIRST_PRIMARY"] == f"langfuse-redis-0.{HEADLESS}:6379"


def test_the_configured_release_runs() -> None:
    recording = recorded("dev", {"redis": {"mode": "sentinel", "version": "8.0.4"}})
    images = {item["image"] for item in containers(recording.one("StatefulSet", "langfuse-redis"))}
    assert {image.rpartition(":")[2] for image in images} == {"8.0.4"}


# Rotation of the password


@pytest.mark.parametrize("mode", ["managed", "sentinel"])
def test_after_a_rotation_a_job_retires_the_old_password_when_no_client_uses_it(mode: str) -> None:
    rotated = {"values": {"redisPassword": {"source": "generated", "epoch": 2}}}
    assert not [item for item in redis(mode) if item.name == "langfuse-redis-passwords"]
    recording = redis(mode, credentials=rotated)
    retire = recording.one("Job", "langfuse-redis-passwords")
    assert {"langfuse-web", "langfuse-worker"} <= retire.dependencies
    given = variables(container(retire))
    server = variables(container(recording.one("StatefulSet", "langfuse-redis"), "valkey"))
    if mode == "managed":
        assert given == {"REDISCLI_AUTH": OURS, "MEMBERS": "langfuse-redis:6379"}
    else:
        assert given == {name: server[name] for name in ("REDISCLI_AUTH", "MEMBERS", "MASTER_NAME", "SENTINELS")}
    # A new value runs it again.
    annotations = retire.inputs["spec"]["template"]["metadata"]["annotations"]
    assert [*annotations] == ["checksum/langfuse-redis"]
    (rule,) = recording.one("NetworkPolicy", "langfuse-allow-redis-ingress").inputs["spec"]["ingress"]
    assert "redis-passwords" in rule["from"][0]["podSelector"]["matchExpressions"][0]["values"]
