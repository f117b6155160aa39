"""The ResourceQuota and the LimitRange let every rolling update and every Job through, all at the same time."""

from __future__ import annotations

import pytest

from tests.engine.view import View
from tests.node.changes import ROLLOUT_SECONDS, replaced, settled
from tests.node.shapes import Installation
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(900)]


def refused(view: View) -> list[str]:
    """Pods that the API server did not create, because of a quota or a limit."""
    return [
        event["message"]
        for event in view.objects("events")
        if event["reason"] == "FailedCreate" and "exceeded quota" in event["message"]
    ]


def start(view: View, cron_job: str, name: str) -> None:
    """Run a CronJob now."""
    view.kubectl("create", "job", "--namespace", view.namespace, name, f"--from=cronjob/{cron_job}").ok()


def finished(view: View, jobs: list[str]) -> bool:
    """Whether these Jobs have succeeded. Fails if one has failed."""
    states = {job["metadata"]["name"]: job["status"] for job in view.objects("jobs") if job["metadata"]["name"] in jobs}
    failed = [
        name for name, status in states.items() for one in status.get("conditions", ()) if one["type"] == "Failed"
    ]
    assert failed == []
    return all(status.get("succeeded") for status in states.values()) and len(states) == len(jobs)


def test_everything_rolls_and_every_job_runs_at_the_same_time(dev: Installation) -> None:
    view = dev.view
    before, refused_before = settled(dev), refused(view)
    cron_jobs = [item["metadata"]["name"] for item in view.objects("cronjobs")]
    jobs = {f"{name}-by-hand": name for name in cron_jobs}
    assert len(jobs) >= 2
    try:
        for name, cron_job in jobs.items():
            start(view, cron_job, name)
        for kind in ("deployments", "statefulsets"):
            view.kubectl("rollout", "restart", "--namespace", view.namespace, kind).ok()
        after = settled(dev)
        eventually(lambda: finished(view, [*jobs]), "the Jobs have not succeeded", within=ROLLOUT_SECONDS)
    finally:
        view.kubectl("delete", "--namespace", view.namespace, "--ignore-not-found", "jobs", *jobs).ok()
    assert replaced(before, after) == before.keys()
    assert refused(view) == refused_before


def test_a_refused_pod_would_be_noticed(dev: Installation) -> None:
    """A quota without room: what the test above looks for is what a quota causes."""
    view = dev.view
    (quota,) = view.objects("resourcequotas")
    name, room = quota["metadata"]["name"], quota["spec"]["hard"]["pods"]
    cron_job = view.objects("cronjobs")[0]["metadata"]["name"]
    try:
        view.patch("resourcequota", name, {"spec": {"hard": {"pods": "1"}}}, manager="test")
        eventually(lambda: view.get("resourcequota", name)["status"]["hard"]["pods"] == "1")
        start(view, cron_job, "without-room")
        eventually(lambda: refused(view) != [], "nothing was refused")
    finally:
        view.patch("resourcequota", name, {"spec": {"hard": {"pods": room}}}, manager="test")
        view.kubectl("delete", "--namespace", view.namespace, "--ignore-not-found", "job", "without-room").ok()
