"""The ResourceQuota and the LimitRange let every rolling update and every Job through, all at the same time."""

from __future__ import annotations

import pytest

from tests.engine.view import View
from tests.node import jobs
from tests.node.changes import ROLLOUT_SECONDS, replaced, settled
from tests.node.shapes import Installation
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(1800)]


def refused(view: View) -> list[str]:
    """Pods that the API server did not create, because of a quota or a limit."""
    return [
        event["message"]
        for event in view.objects("events")
        if event["reason"] == "FailedCreate" and "exceeded quota" in event["message"]
    ]


NEED_A_SET = ("langfuse-drill-", "langfuse-verify-")


def test_everything_rolls_and_every_job_runs_at_the_same_time(shape: Installation) -> None:
    """Every CronJob, and every Job of the program once more.

    A migration may fail while its databases restart. An update runs it after that; here, it only needs to get its pods.
    The same holds for drills, which need a set, and for what a person starts with further variables.
    """
    view = shape.view
    by_hand = {item["metadata"]["name"] for item in view.objects("cronjobs") if item["spec"].get("suspend")}
    before, refused_before = settled(shape), refused(view)
    cron_jobs = {f"{item['metadata']['name']}-now": item["metadata"]["name"] for item in view.objects("cronjobs")}
    workloads = {f"{workload}-again": workload for workload in view.jobs()}
    assert len(cron_jobs) >= 2
    assert {*workloads.values()} >= {"migrations", "first-start", "object-store-provisioning"}
    try:
        for name, cron_job in cron_jobs.items():
            jobs.start_cron_job(view, cron_job, name)
        for name, workload in workloads.items():
            jobs.start_again(view, workload, name)
        for kind in ("deployments", "statefulsets"):
            view.kubectl("rollout", "restart", "--namespace", view.namespace, kind).ok()
        after = settled(shape)
        outcomes = {name: jobs.end(view, name, within=ROLLOUT_SECONDS) for name in (*cron_jobs, *workloads)}
    finally:
        view.kubectl("delete", "--namespace", view.namespace, "--ignore-not-found", "jobs", *cron_jobs, *workloads).ok()
    outcomes["migrations-again"] = jobs.again(view, "migrations", "migrations-again")
    only_pods = {f"{name}-now" for name in cron_jobs.values() if name in by_hand or name.startswith(NEED_A_SET)}
    assert {name: one.log for name, one in outcomes.items() if not one.succeeded and name not in only_pods} == {}
    assert replaced(before, after) == before.keys()
    assert refused(view) == refused_before


def test_a_refused_pod_would_be_noticed(shape: Installation) -> None:
    """A quota without room: what the test above looks for is what a quota causes."""
    view = shape.view
    (quota,) = view.objects("resourcequotas")
    name, room = quota["metadata"]["name"], quota["spec"]["hard"]["pods"]
    cron_job = view.objects("cronjobs")[0]["metadata"]["name"]
    try:
        view.patch("resourcequota", name, {"spec": {"hard": {"pods": "1"}}}, manager="test")
        eventually(lambda: view.get("resourcequota", name)["status"]["hard"]["pods"] == "1")
        jobs.start_cron_job(view, cron_job, "without-room")
        eventually(lambda: refused(view) != [], "nothing was refused")
    finally:
        view.patch("resourcequota", name, {"spec": {"hard": {"pods": room}}}, manager="test")
        view.kubectl("delete", "--namespace", view.namespace, "--ignore-not-found", "job", "without-room").ok()
