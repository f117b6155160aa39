"""Updates under a client's load: no request fails, no accepted event is lost, and only what must restart does."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import psutil
import pytest

from sandbox.controlplane import Sandbox
from tests.engine.view import NAME_LABEL, View
from tests.node import pod_networks
from tests.node.changes import kill, merged, replaced, settled
from tests.node.containers import Containers, restarts
from tests.node.event_load import Summary, event_load
from tests.node.shapes import Installation
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(900)]

SETTLE_SECONDS: Final = 5
"""How long the load lasts before and after a disturbance."""
LATE_SECONDS: Final = 35
"""How long it lasts after a disturbance of Redis: longer than the time limits of clients that start with a command that
waited meanwhile (`REDIS_SOCKET_TIMEOUT_MS`: 30 s)."""
FAILOVER_SECONDS: Final = 120
"""A generous bound: a failover takes about ten seconds on an idle machine."""
OUTAGE_SECONDS: Final = 60
"""A generous bound: clients notice after 30 s that a server has vanished (`REDIS_SOCKET_TIMEOUT_MS`)."""


def tell(what: str, summary: Summary) -> None:
    """Print what was measured. pytest shows it with `-rP`, and if the test fails."""
    sys.stdout.write(f"{what}: {summary}\n")


@pytest.mark.long
def test_web_and_worker_roll_without_a_failed_request(dev: Installation, client: int) -> None:
    """The log level, a setting of both, is changed and stays so: they are replaced, and nothing else is."""
    before = settled(dev)
    level = "info" if dev.stack.setting("langfuse:application", "logLevel") == "debug" else "debug"
    dev.stack.configure(merged(dev, {"application": {"logLevel": level}}))
    with event_load(dev.view, client) as load:
        dev.stack.up().ok()
        after = settled(dev)
        summary = load.stop()
    tell("rolling update of web and worker", summary)
    assert replaced(before, after) == {"web", "worker"}
    assert summary.failures == []
    assert summary.accepted
    assert summary.lost == 0
    assert len(summary.pods) == len(before["web"]) + len(after["web"])


@pytest.mark.whole
@pytest.mark.parametrize("store", ["clickhouse", "keeper", "object-store", "postgres", "redis"])
def test_a_restarted_store_loses_no_accepted_event(dev: Installation, client: int, store: str) -> None:
    """With one replica, requests may fail meanwhile."""
    summary = restarted_under_load(dev, client, store)
    assert summary.lost == 0


@pytest.mark.whole
def test_web_and_worker_with_two_pods_roll_without_a_failed_request(prod: Installation, client: int) -> None:
    """With the drain of Langfuse, which takes 110 s."""
    summary = restarted_under_load(prod, client, "web", "worker")
    assert summary.failures == []
    assert summary.lost == 0


@pytest.mark.whole
@pytest.mark.parametrize("store", ["clickhouse", "keeper", "object-store", "postgres", "redis"])
def test_a_rolling_update_of_a_store_fails_no_request(prod: Installation, client: int, store: str) -> None:
    """There is one Postgres. Web does not need it for events of a client whose key is in the cache."""
    summary = restarted_under_load(prod, client, store)
    assert summary.failures == []
    assert summary.lost == 0


def restarted_under_load(shape: Installation, client: int, *workloads: str) -> Summary:
    """Restart every pod of workloads as a rolling update does, while a client sends events."""
    view, before = shape.view, settled(shape)
    with event_load(view, client) as load:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        for workload in workloads:
            kind = "deployment" if workload in {"web", "worker"} else "statefulset"
            chosen = ("--namespace", view.namespace, f"--selector={NAME_LABEL}={workload}")
            view.kubectl("rollout", "restart", kind, *chosen).ok()
        after = settled(shape)
        seconds = time.monotonic() - began
        time.sleep(LATE_SECONDS if "redis" in workloads else SETTLE_SECONDS)
        summary = load.stop()
    tell(f"restart of {', '.join(workloads)} in {shape.stack.name}, complete after {seconds:.0f} s", summary)
    assert replaced(before, after) == {*workloads}
    assert summary.accepted
    return summary


@pytest.mark.whole
@pytest.mark.parametrize("store", ["clickhouse", "keeper", "object-store", "postgres"])
def test_a_killed_server_of_a_store_loses_no_accepted_event(
    shared_node: Sandbox, prod: Installation, client: int, store: str
) -> None:
    """One of its servers, as when its memory runs out. Redis has tests of its own."""
    settled(prod)
    pod = next(pod for pod in prod.pods() if pod["metadata"]["labels"][NAME_LABEL] == store)
    with event_load(prod.view, client) as load:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        kill(prod, Containers(shared_node), [pod])
        settled(prod)
        seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        summary = load.stop()
    tell(f"{pod['metadata']['name']} in prod is killed, and ready after {seconds:.0f} s", summary)
    assert summary.accepted
    assert summary.lost == 0
    assert summary.outage < OUTAGE_SECONDS


@pytest.mark.whole
def test_a_deleted_primary_of_redis_hands_over(prod: Installation, client: int) -> None:
    """No request fails, neither at the handover nor when the time limits of commands end that waited for it."""

    def delete(view: View, pod: str) -> None:
        view.kubectl("delete", "pod", "--namespace", view.namespace, pod, "--wait=false").ok()
        eventually(lambda: primary(view) not in {pod, None}, "no other primary", within=FAILOVER_SECONDS)

    summary = losing_the_primary(prod, client, delete)
    assert summary.failures == []
    assert summary.lost == 0


@pytest.mark.whole
def test_a_killed_primary_of_redis_loses_no_accepted_event(prod: Installation, client: int) -> None:
    """The kubelet starts it again with its data before the Sentinels count it as lost, or they promote another one."""

    def kill(view: View, pod: str) -> None:
        before = sum(restarts(view.get("pod", pod)).values())
        stop_server(view, pod)
        eventually(lambda: sum(restarts(view.get("pod", pod)).values()) > before, within=FAILOVER_SECONDS)

    summary = losing_the_primary(prod, client, kill)
    assert summary.lost == 0
    assert summary.outage < OUTAGE_SECONDS


@pytest.mark.whole
def test_a_primary_of_redis_that_vanishes_is_replaced_and_loses_no_accepted_event(
    prod: Installation, client: int
) -> None:
    """Deleted without a grace period, as when its node is lost. Some clients notice only by their own time limit."""

    def vanish(view: View, pod: str) -> None:
        at_once = ("--grace-period=0", "--force", "--wait=false")
        view.kubectl("delete", "pod", "--namespace", view.namespace, pod, *at_once).ok()
        eventually(lambda: primary(view) not in {pod, None}, "no other primary", within=FAILOVER_SECONDS)

    summary = losing_the_primary(prod, client, vanish)
    assert summary.lost == 0
    assert summary.outage < OUTAGE_SECONDS


def losing_the_primary(prod: Installation, client: int, lose: Callable[[View, str], None]) -> Summary:
    """Let the primary of Redis fail while a client sends events. `lose` gets its pod and waits for what must follow."""
    settled(prod)
    view, first = prod.view, primary(prod.view)
    assert first
    with event_load(view, client) as load:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        lose(view, first)
        seconds = time.monotonic() - began
        settled(prod)
        time.sleep(LATE_SECONDS)
        summary = load.stop()
    tell(f"{lose.__name__} the primary {first}, after {seconds:.1f} s {primary(view)}", summary)
    assert summary.accepted
    return summary


def primary(view: View) -> str | None:
    """The pod of Redis that takes writes, as a majority of the Sentinels names it; None if they differ."""
    words = ("valkey-cli", "-p", "26379", "sentinel", "get-master-addr-by-name", "langfuse")
    pods = [f"langfuse-redis-{number}" for number in range(3)]
    answers = [
        view.kubectl("exec", "--namespace", view.namespace, pod, "--container=sentinel", "--", *words) for pod in pods
    ]
    named = [answer.stdout.partition(".")[0] for answer in answers if answer.exit_code == 0]
    return next((pod for pod in pods if named.count(pod) > 1), None)


def stop_server(view: View, pod: str) -> None:
    """Kill the Valkey of a pod, so that it has no chance to hand over. Its Sentinel keeps running."""
    own = pod_networks.all_processes()[view.get("pod", pod)["metadata"]["uid"]]
    servers = [
        pid for pid in own if "valkey-server" in (line := " ".join(psutil.Process(pid).cmdline())) and ":6379" in line
    ]
    assert len(servers) == 1, servers
    os.kill(servers[0], signal.SIGKILL)
