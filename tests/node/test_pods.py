"""The pods of each shape on the real node: whatever happens to them, they come back with all their data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.view import Json
from tests.node import writes
from tests.node.changes import kill
from tests.node.containers import Containers, restarts
from tests.node.contents import EVERYTHING, Contents, volumes
from tests.node.event_load import event_load
from tests.node.shapes import READY_SECONDS, Installation, owner
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

CALM_SECONDS: Final = 300.0
WATCHED_SECONDS: Final = 20.0
MARGIN_SECONDS: Final = 5.0
"""A server that did not end by itself is killed after its grace period. So it has to end this much earlier."""
RECONCILE_SECONDS: Final = 10.0
"""In this time a new kubelet has looked at every pod and run every probe."""
ORDINAL_LABEL: Final = "apps.kubernetes.io/pod-index"


@pytest.fixture
def containers(shared_node: Sandbox) -> Containers:
    return Containers(shared_node)


@pytest.fixture
def contents(shape: Installation) -> Contents:
    """The stores, with rows, keys and objects in each."""
    shape.wait_until_ready()
    found = Contents(shape.view)
    found.write()
    eventually(lambda: found.count() == EVERYTHING)
    return found


def stateful(shape: Installation) -> list[Json]:
    """The pods of the stores."""
    return [pod for pod in shape.pods() if owner(pod) == "StatefulSet"]


def stateless(shape: Installation) -> list[Json]:
    """The pods of web and worker."""
    return [pod for pod in shape.pods() if owner(pod) == "ReplicaSet" and "deletionTimestamp" not in pod["metadata"]]


def rounds(shape: Installation) -> list[list[Json]]:
    """The pods of the stores, which fail one after the other; in prod, one pod of every store at the same time."""
    pods = stateful(shape)
    if shape.stack.name != "prod":
        return [[pod] for pod in pods]
    ordinals = [pod["metadata"]["labels"][ORDINAL_LABEL] for pod in pods]
    return [
        [pod for pod, found in zip(pods, ordinals, strict=True) if found == ordinal] for ordinal in sorted({*ordinals})
    ]


def became_ready(shape: Installation) -> dict[str, datetime]:
    """Since when each pod is ready without a break, by its uid."""
    return {
        pod["metadata"]["uid"]: datetime.fromisoformat(condition["lastTransitionTime"])
        for pod in shape.pods()
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


@pytest.mark.parametrize("after", [0.0, pytest.param(CALM_SECONDS, marks=pytest.mark.whole)])
def test_untouched_pods_stay_ready(shape: Installation, containers: Containers, after: float) -> None:
    """Watched until five minutes after the last of them became ready.

    Nothing is restarted, nothing is killed for its memory, and nothing tries to write where it can't.
    """
    shape.wait_until_ready()
    before = became_ready(shape)
    age = (datetime.now(UTC) - max(before.values())).total_seconds()
    with writes.recorded(containers.first_process()) as failed:
        end = time.monotonic() + max(WATCHED_SECONDS, after - age)
        while time.monotonic() < end:
            assert shape.unready() == []
            time.sleep(2)
    assert became_ready(shape) == before
    assert {pod["metadata"]["name"]: {*restarts(pod).values()} for pod in shape.pods()} == {
        pod["metadata"]["name"]: {0} for pod in shape.pods()
    }
    assert {pod["metadata"]["name"]: containers.killed_for_memory(pod) for pod in shape.pods()} == {
        pod["metadata"]["name"]: 0 for pod in shape.pods()
    }
    assert failed == []


def come_back(shape: Installation, contents: Contents, fail: Callable[[], None]) -> None:
    """Let pods fail. All become ready again, on the same volumes, with all data."""
    before = volumes(shape.view)
    fail()
    shape.wait_until_ready()
    eventually(lambda: contents.count() == EVERYTHING, "all data was not back", ignoring=(AssertionError,))
    assert volumes(shape.view) == before


def delete(shape: Installation, pods: list[Json]) -> None:
    """Delete pods, whose servers have to end before their grace period is over."""
    names = [pod["metadata"]["name"] for pod in pods]
    gone = {pod["metadata"]["uid"] for pod in pods}
    within = min(pod["spec"]["terminationGracePeriodSeconds"] for pod in pods) - MARGIN_SECONDS
    shape.view.kubectl("delete", "--namespace", shape.view.namespace, "pod", *names, "--wait=false").ok()
    eventually(
        lambda: not gone & {each["metadata"]["uid"] for each in shape.pods()}, f"{names} have not ended", within=within
    )


def test_deleted_pods_come_back_with_their_data_and_write_nowhere_else(
    shape: Installation, contents: Contents, containers: Containers
) -> None:
    with writes.recorded(containers.first_process()) as failed:
        for pods in rounds(shape):
            come_back(shape, contents, partial(delete, shape, pods))
    assert failed == []
    assert shape.complaints() == []


@pytest.mark.long
def test_killed_servers_come_back_with_their_data(
    shape: Installation, contents: Contents, containers: Containers
) -> None:
    """In dev all at once, as when the power fails."""
    for pods in [stateful(shape)] if shape.stack.name == "dev" else rounds(shape):
        come_back(shape, contents, partial(kill, shape, containers, pods))


@pytest.mark.whole
def test_deleted_pods_of_web_and_worker_lose_no_accepted_event(
    shape: Installation, containers: Containers, client: int
) -> None:
    """A web with two pods fails no request: the deleted pod serves until its clients use another one."""
    shape.wait_until_ready()
    with writes.recorded(containers.first_process()) as failed, event_load(shape.view, client) as load:
        for pod in stateless(shape):
            name = pod["metadata"]["name"]
            shape.view.kubectl("delete", "--namespace", shape.view.namespace, "pod", name, "--wait=false").ok()
            eventually(partial(replaced, shape, pod), f"{name} was not replaced", within=READY_SECONDS)
        summary = load.stop()
    sys.stdout.write(f"deleted pods of web and worker in {shape.stack.name}: {summary}\n")
    assert summary.accepted
    assert summary.lost == 0
    assert shape.stack.name != "prod" or summary.failures == []
    assert failed == []
    shape.wait_until_ready()
    assert shape.complaints() == []


def replaced(shape: Installation, pod: Json) -> bool:
    """Whether all pods of web and worker are ready without this one, which may still be draining."""
    return pod["metadata"]["uid"] not in {each["metadata"]["uid"] for each in stateless(shape)} and not [
        name for name in shape.unready() if not name.startswith("Pod/")
    ]


@pytest.mark.whole
def test_killed_pods_of_web_and_worker_lose_no_accepted_event(
    shape: Installation, containers: Containers, client: int
) -> None:
    """Requests to the killed pod fail: how many is told. A job of a killed worker is done by another one."""
    shape.wait_until_ready()
    with event_load(shape.view, client) as load:
        for pod in stateless(shape):
            kill(shape, containers, [pod])
            shape.wait_until_ready()
        summary = load.stop()
    sys.stdout.write(f"killed pods of web and worker in {shape.stack.name}: {summary}\n")
    assert summary.accepted
    assert summary.lost == 0


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


def test_a_failed_write_is_noticed(shape: Installation, contents: Contents, containers: Containers) -> None:
    """The record of failed writes, on which other tests rely, sees those of a shell in a pod."""
    with writes.recorded(containers.first_process()) as failed:
        contents.run("langfuse-redis-0", "valkey", "sh", "-c", "cat /etc/shadow; echo x > /x; echo x > /etc/passwd; :")
    assert [(write.call, write.error) for write in failed] == [("openat", "EROFS"), ("openat", "EROFS")]
