"""The pods of each shape on the real node: they become ready, stay ready, and come back with all their data."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.view import Json, conditions
from tests.node import writes
from tests.node.containers import Containers, ends, restarts
from tests.node.contents import EVERYTHING, Contents, volumes
from tests.node.shapes import Installation, owner
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

CALM_SECONDS: Final[Mapping[str, float]] = {"dev": 20.0, "staging": 60.0, "prod": 300.0}
"""How long each shape is watched while nobody touches it."""
STOP_SECONDS: Final = 30.0
"""How long a server may take to end. A killed one has used its whole grace period, which is longer."""
RECONCILE_SECONDS: Final = 10.0
"""In this time a new kubelet has looked at every pod and run every probe."""
COMPLAINT: Final = re.compile(r"read-only file ?system|EROFS|permission denied|EACCES|operation not permitted", re.I)


@pytest.fixture
def containers(shared_node: Sandbox) -> Containers:
    return Containers(shared_node)


@pytest.fixture
def contents(shape: Installation) -> Contents:
    """The stores, with rows, keys and objects in each."""
    found = Contents(shape.view)
    found.write()
    eventually(lambda: found.count() == EVERYTHING)
    return found


def stateful(shape: Installation) -> list[Json]:
    return [pod for pod in shape.pods() if owner(pod) == "StatefulSet"]


def complaints(shape: Installation) -> list[str]:
    """Lines of the pods' logs that tell of a refused write or read."""
    found: list[str] = []
    for pod in shape.view.objects("pods"):
        name = pod["metadata"]["name"]
        words = ("logs", "--namespace", shape.view.namespace, name, "--all-containers", "--ignore-errors")
        log = shape.view.kubectl(*words).stdout
        found += [f"{name}: {line}" for line in log.splitlines() if COMPLAINT.search(line)]
    return found


def test_after_a_deployment_everything_is_ready_and_nothing_was_restarted(shape: Installation) -> None:
    assert shape.unready() == []
    assert shape.restarts_of_the_deployment() == {}
    for job in shape.view.objects("jobs"):
        assert conditions(job).get("Complete") == "True", job["metadata"]["name"]
    assert {claim["status"]["phase"] for claim in shape.view.objects("persistentvolumeclaims")} == {"Bound"}
    assert [end for pod in shape.view.objects("pods") for end in ends(pod)] == []


def come_back(shape: Installation, contents: Contents, fail: Callable[[], None]) -> None:
    """Let pods fail. All become ready again, on the same volumes, with all data."""
    before = volumes(shape.view)
    fail()
    shape.wait_until_ready()
    eventually(lambda: contents.count() == EVERYTHING, "all data was not back", ignoring=(AssertionError,))
    assert volumes(shape.view) == before


def test_deleted_pods_come_back_with_their_data_and_write_nowhere_else(
    shape: Installation, contents: Contents, containers: Containers
) -> None:
    def delete(pod: Json) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        shape.view.kubectl("delete", "--namespace", shape.view.namespace, "pod", name, "--wait=false").ok()
        eventually(lambda: uid not in {each["metadata"]["uid"] for each in shape.pods()}, within=STOP_SECONDS)

    with writes.recorded(containers.first_process()) as failed:
        for pod in stateful(shape):
            come_back(shape, contents, partial(delete, pod))
    assert failed == []
    assert complaints(shape) == []


def test_killed_servers_come_back_with_their_data(
    shape: Installation, contents: Contents, containers: Containers
) -> None:
    """Each one by itself; in dev all at once, as when the power fails."""

    def kill(pods: list[Json]) -> None:
        before = {pod["metadata"]["name"]: servers(pod) for pod in pods}
        for pod in pods:
            containers.kill(pod)
        for name, counts in before.items():
            wanted = {of: count + 1 for of, count in counts.items()}
            eventually(partial(lambda name, wanted: servers(shape.view.get("pod", name)) == wanted, name, wanted))

    def servers(pod: Json) -> dict[str, int]:
        main = {container["name"] for container in pod["spec"]["containers"]}
        return {name: count for name, count in restarts(pod).items() if name in main}

    pods = stateful(shape)
    for victims in [pods] if shape.stack.name == "dev" else [[pod] for pod in pods]:
        come_back(shape, contents, partial(kill, victims))


def test_a_killed_kubelet_restarts_no_pod(
    shared_node: Sandbox, shape: Installation, contents: Contents, containers: Containers
) -> None:
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in shape.pods()}
    containers.kill_kubelet()
    shared_node.up()  # returns at once: the node's lease has not expired
    answered = ("exec", "--namespace", shape.view.namespace, "langfuse-postgres-0", "--", "true")
    eventually(lambda: shape.view.kubectl(*answered).exit_code == 0, "kubelet did not answer")
    time.sleep(RECONCILE_SECONDS)
    shape.wait_until_ready()
    assert {pod["metadata"]["uid"]: restarts(pod) for pod in shape.pods()} == before
    assert contents.count() == EVERYTHING


def test_untouched_pods_stay_ready(shape: Installation, containers: Containers) -> None:
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in shape.pods()}
    with writes.recorded(containers.first_process()) as failed:
        end = time.monotonic() + CALM_SECONDS[shape.stack.name]
        while time.monotonic() < end:
            assert shape.unready() == []
            time.sleep(2)
    assert {pod["metadata"]["uid"]: restarts(pod) for pod in shape.pods()} == before
    assert {pod["metadata"]["name"]: containers.killed_for_memory(pod) for pod in shape.pods()} == {
        pod["metadata"]["name"]: 0 for pod in shape.pods()
    }
    assert failed == []


def test_a_failed_write_is_noticed(shape: Installation, contents: Contents, containers: Containers) -> None:
    """The record of failed writes, on which other tests rely, sees those of a shell in a pod."""
    with writes.recorded(containers.first_process()) as failed:
        contents.run("langfuse-redis-0", "valkey", "sh", "-c", "cat /etc/shadow; echo x > /x; echo x > /etc/passwd; :")
    assert [(write.call, write.error) for write in failed] == [("openat", "EROFS"), ("openat", "EROFS")]
