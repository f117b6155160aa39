"""The triggers of the rendered ScaledObject against the real lists of BullMQ in a real server."""

import json
import math
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import redis

from components.application.queue_scaling import redis_triggers
from components.schema.workloads import QueueLength
from components.stores.connections import Endpoint, RedisConnection
from sandbox.images import probe_application
from tests.data.redis.test_redis import Server, password, started
from tests.servers import program
from tests.unit.application.test_environment import ref
from tests.unit.configuration import settings
from tests.unit.pods import container, variables
from tests.unit.program import recorded

ENDPOINT = Endpoint(host="a.example.org", port=7000)
FILL = Path(__file__).parent / "queue-fill.cjs"
SCALED: Final[Mapping[str, Any]] = {
    "worker": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 9, "queueLength": {"jobsPerPod": 10, "delayedPerPod": 40}}
    },
    "postgres": {"resources": {"memory": "1Gi"}},  # connections of nine workers
}


def counted(client: "redis.Redis", key: str) -> int:
    """What KEDA's scaler counts: the length of a list or a sorted set, and 0 without the key."""
    counts: Mapping[object, Callable[[str], Any]] = {
        b"list": client.llen,
        b"zset": client.zcard,
        b"none": lambda _: 0,
    }
    kind: object = client.type(key)
    return int(counts[kind](key))


def pods(client: "redis.Redis", spec: Mapping[str, Any]) -> int:
    """The pods that the HorizontalPodAutoscaler of KEDA asks for, by the queues alone.

    The target is an average of the pods, and the largest answer of all metrics counts
    (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale, "Algorithm details").
    """
    queues = [one["metadata"] for one in spec["triggers"] if "listName" in one["metadata"]]
    wanted = [math.ceil(counted(client, one["listName"]) / int(one["listLength"])) for one in queues]
    return int(min(max(*wanted, spec["minReplicaCount"]), spec["maxReplicaCount"]))


def fill(server: Server, queues: Mapping[str, tuple[int, int]], *, cluster: bool = False) -> None:
    """Add jobs as web does: how many wait, and how many are due later."""
    found = variables(container(recorded("dev", SCALED).one("Deployment", "langfuse-worker")))
    environment = {
        "APP": str(probe_application.APP),
        "NODE_PATH": str(probe_application.node_modules()),
        "PATH": os.environ["PATH"],
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(server.port),
        "REDIS_AUTH": password(),
        "REDIS_KEY_PREFIX": found["REDIS_KEY_PREFIX"],
        "CLUSTER": "true" if cluster else "false",
        "QUEUES": json.dumps(queues),
    }
    command = [str(program("node", package="nodejs")), str(FILL)]
    subprocess.run(command, env=environment, check=True, timeout=60)


def test_the_number_of_workers_follows_the_real_queues(tmp_path: Path) -> None:
    spec = recorded("dev", SCALED).one("ScaledObject").inputs["spec"]
    with started(tmp_path, password()) as server:
        client = server.connect()
        assert pods(client, spec) == 2  # nothing is queued yet
        fill(server, {"otel-ingestion-queue": (31, 0)})
        assert pods(client, spec) == 4
        fill(server, {"otel-ingestion-queue": (20, 0), "ingestion-queue": (5, 81)})
        assert pods(client, spec) == 6  # 51 spans that wait ask for more pods than 81 events that are due later
        fill(server, {"ingestion-queue": (0, 200)})
        assert pods(client, spec) == 8
        fill(server, {"llm-as-a-judge-execution-queue": (500, 0)})
        assert pods(client, spec) == 9  # the limit
        fill(server, {"batch-export-queue": (900, 0)})
        client.delete("langfuse-dev::llm-as-a-judge-execution-queue:wait")
        assert pods(client, spec) == 8  # more pods export no faster


def test_the_keys_of_a_cluster_are_those_of_langfuse(tmp_path: Path) -> None:
    connection = RedisConnection(endpoint=ENDPOINT, nodes=[ENDPOINT], topology="cluster", password=ref("redis"))
    given = settings({"extraEnv": {"LANGFUSE_INGESTION_QUEUE_SHARD_COUNT": "2"}})
    triggers = redis_triggers(given, connection, "worker", QueueLength())
    names = [one["metadata"]["listName"] for one in triggers]  # type: ignore[index]  # a map
    with started(tmp_path, password()) as server:
        fill(server, {"ingestion-queue": (3, 1), "ingestion-queue-1": (4, 2)}, cluster=True)
        found = {name: counted(server.connect(), name) for name in names}
    assert [count for count in found.values() if count] == [3, 1, 4, 2]
