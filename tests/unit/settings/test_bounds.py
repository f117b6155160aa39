"""The numbers of an environment add up, in every profile and scale, as the deployed objects have them."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from components.schema.values import quantity_value
from components.settings.bounds import bounds
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES
from tests.unit.configuration import only_problem, settings
from tests.unit.pods import container, containers, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording

SIZES = [(profile, {"profile": profile, "scale": scale}) for profile in PROFILES for scale in SCALES]
CREDENTIALS = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}


def limit(of: Mapping[str, Any]) -> Decimal:
    return quantity_value(of["resources"]["limits"]["memory"])


def file(found: Recording, owner: str, name: str) -> str:
    (text,) = [one.inputs["data"][name] for one in found.of("ConfigMap") if one.stable_name == f"{owner}-config"]
    return str(text)


def pools(found: Recording) -> Mapping[str, int]:
    """The connections of each pod of a Deployment."""
    return {
        item.name: int(parse_qs(urlsplit(variables(container(item))["DATABASE_URL"]).query)["connection_limit"][0])
        for item in found.of("Deployment")
    }


def pods(found: Recording) -> Mapping[str, int]:
    most = {item.name: item.inputs["spec"]["maxReplicas"] for item in found.of("HorizontalPodAutoscaler")}
    return {item.name: most.get(item.name, item.inputs["spec"]["replicas"]) for item in found.of("Deployment")}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scale", SCALES)
def test_every_bound_holds(profile: str, scale: str) -> None:
    found = bounds(settings({"profile": profile, "scale": scale}))
    assert len(found) >= 8
    assert [bound for bound in found if not bound.fits] == []


@pytest.mark.parametrize("scale", SCALES)
def test_all_pods_of_an_update_get_their_connections(scale: str) -> None:
    found = recorded("prod", {"scale": scale})
    allowed = int(
        re.findall(r"^max_connections = (\d+)$", file(found, "langfuse-postgres", "postgresql.conf"), re.M)[0]
    )
    wanted = sum(2 * pods(found)[name] * size for name, size in pools(found).items())
    assert wanted + 10 <= allowed
    assert min(pools(found).values()) >= 3


@pytest.mark.parametrize("scale", SCALES)
def test_the_memory_of_postgres_is_enough_for_all_connections(scale: str) -> None:
    found = recorded("prod", {"scale": scale})
    text = file(found, "langfuse-postgres", "postgresql.conf")
    sizes = {name: int(value) for name, value in re.findall(r"^(\w+) = (\d+)(?:MB)?$", text, re.M)}
    server = container(found.one("StatefulSet", "langfuse-postgres"))
    assert sizes["work_mem"] == 4
    connections = sum(2 * pods(found)[name] * size for name, size in pools(found).items()) + 16
    used = sizes["shared_buffers"] + 3 * sizes["maintenance_work_mem"] + 4 * connections
    assert used * 1024**2 <= limit(server)


def test_more_pods_do_not_restart_postgres() -> None:
    """`max_connections` needs a restart, so it follows from the memory alone."""
    texts = [
        file(recorded("prod", config), "langfuse-postgres", "postgresql.conf")
        for config in ({}, {"web": {"replicas": 8}})
    ]
    assert texts[0] == texts[1]


def test_an_external_postgres_gets_as_many_connections_as_configured() -> None:
    external = {"mode": "external", "host": "db.example.com"}
    sizes = [
        pools(recorded("prod", {**CREDENTIALS, "scale": "xlarge", "postgres": {**external, **more}}))["langfuse-web"]
        for more in ({}, {"connections": 200}, {"connections": 5000})
    ]
    assert sizes == [3, 7, 10]


def test_too_few_connections_are_refused() -> None:
    external = {"postgres": {"mode": "external", "host": "db.example.com", "connections": 30}}
    assert "postgres.connections: gives 30 connections, of 43 that are needed for the pods of web" in only_problem(
        {**CREDENTIALS, **external}, "prod"
    )
    assert "postgres.resources.memory: gives 384 connections" in only_problem({"web": {"replicas": 100}}, "prod")


@pytest.mark.parametrize("scale", SCALES)
def test_a_query_of_clickhouse_leaves_memory_and_spills_before_its_limit(scale: str) -> None:
    found = recorded("prod", {"scale": scale})
    memory = limit(container(found.one("StatefulSet", "langfuse-clickhouse")))
    server = ElementTree.fromstring(file(found, "langfuse-clickhouse", "memory.xml"))  # noqa: S314  # our own
    queries = ElementTree.fromstring(file(found, "langfuse-clickhouse", "queries.xml"))  # noqa: S314
    size = {one.tag: int(one.text or "") for root in (server, queries) for one in root.iter() if not len(one)}
    caches = size["mark_cache_size"] + size["index_mark_cache_size"]
    assert size["max_memory_usage"] + caches <= size["max_server_memory_usage"] < memory * 9 / 10
    for name in ("max_bytes_before_external_group_by", "max_bytes_before_external_sort"):
        assert 2 * size[name] <= size["max_memory_usage"]
    given = variables(container(found.one("Deployment", "langfuse-worker")))
    assert 2 * int(given["CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY"]) <= size["max_memory_usage"]


@pytest.mark.parametrize("mode", ["managed", "sentinel"])
@pytest.mark.parametrize("scale", SCALES)
def test_valkey_can_copy_all_its_data_while_it_rewrites_its_file(mode: str, scale: str) -> None:
    found = recorded("prod", {"scale": scale, "redis": {"mode": mode}})
    data = int(re.findall(r"^maxmemory (\d+)$", file(found, "langfuse-redis", "valkey.conf"), re.M)[0])
    server = container(found.one("StatefulSet", "langfuse-redis"), "valkey")
    assert 2 * data < limit(server)


@pytest.mark.parametrize(("profile", "config"), SIZES)
def test_the_heap_of_node_leaves_memory_for_the_rest(profile: str, config: Mapping[str, object]) -> None:
    for item in recorded(profile, config).of("Deployment"):
        given = container(item)
        heap = int(re.findall(r"--max-old-space-size=(\d+)", variables(given)["NODE_OPTIONS"])[0])
        assert (heap + 256) * 1024**2 <= limit(given)


@pytest.mark.parametrize("nodes", [1, 4])
def test_minio_collects_garbage_before_the_kernel_ends_it(nodes: int) -> None:
    (server,) = [
        containers(item)[0]
        for item in recorded("dev", {"objectStore": {"nodes": nodes}}).of("StatefulSet")
        if "object-store" in item.name
    ]
    assert Decimal("0.8") * limit(server) < int(variables(server)["GOMEMLIMIT"]) < limit(server)


@pytest.mark.parametrize("storage", ["5Gi", "600Gi", "2Ti", "10Ti"])
def test_the_parts_of_a_dump_and_its_memory_follow_from_the_volume(storage: str) -> None:
    dump = container(
        recorded("prod", {"postgres": {"storage": storage}}).one("CronJob", "langfuse-backup-postgres"), "write-dump"
    )
    part = quantity_value(variables(dump)["PART_SIZE"].removesuffix("B"))
    assert 10_000 * part >= quantity_value(storage)
    assert limit(dump) >= 512 * 1024**2 + 2 * part


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"web": {"resources": {"cpu": "50m", "cpuLimit": "100m"}}}, 'web.resources.cpuLimit: "100m" is less'),
        ({"redis": {"resources": {"ephemeralStorage": "16Mi"}}}, 'redis.resources.ephemeralStorage: "16Mi" is less'),
    ],
)
def test_a_container_that_could_not_start_is_refused(config: Mapping[str, object], problem: str) -> None:
    assert f"langfuse:{problem}" in only_problem(config)
