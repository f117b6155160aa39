"""The stores as web and worker see them, and the backups."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from components.schema.schedules import schedule
from operations import restore
from tests.smoke.live import Live, failed, is_ready

QUEUES: Final = ("ingestion-queue", "otel-ingestion-queue", "trace-upsert", "batch-export-queue")
"""packages/shared/src/server/queues.ts. Further shards of the first two have a number at the end."""

MOST_WAITING: Final = 10_000
"""A worker of the smallest size processes so many events in some minutes."""
MOST_FAILED: Final = 100
EXPIRING: Final = ("events", "exports")
MOST_USED_PERCENT: Final = 85
"""Postgres and ClickHouse stop when the volume is full, and ClickHouse needs room to merge."""
LATE: Final = timedelta(hours=3)
"""How long a backup may take, and start late."""


@pytest.mark.parametrize("workload", ["web", "worker"])
def test_the_application_reaches_every_store(live: Live, workload: str) -> None:
    services = {name: address for name, address in live.outputs["services"].items() if name != "web"}
    for name, problem in live.run(workload, "connections.js", TARGETS=services).items():
        if problem:
            failed(
                problem["hop"],
                f"{workload} does not reach {name}: {problem['error']}",
                f"`python -m operations check-stores --stack {live.pulumi.stack}`; `kubectl -n {live.namespace} get "
                "pods,networkpolicy`",
            )


def test_every_bucket_exists_and_expires_as_it_should(live: Live) -> None:
    for purpose, found in live.run("worker", "buckets.js").items():
        bucket = found["bucket"]
        if "error" in found:
            failed("bucket", f"{bucket} ({purpose}): {found['error']}", PROVISION.format(namespace=live.namespace))
        if purpose == "media" and found.get("days"):
            failed("bucket", f"{bucket}: media expires after {found['days']} days", "remove the lifecycle rule")
        if purpose in EXPIRING and found.get("days") == []:
            failed("bucket", f"{bucket} ({purpose}) never expires", PROVISION.format(namespace=live.namespace))


PROVISION: Final = (
    "delete the Job that provisions it and run `pulumi up --refresh`: kubectl -n {namespace} delete job "
    "langfuse-object-store-provisioning; for an external store: `python -m operations check-stores`"
)


def test_volumes_have_room(live: Live) -> None:
    for pod in live.items("v1", "Pod"):
        claims = {one["name"] for one in pod["spec"].get("volumes") or () if "persistentVolumeClaim" in one}
        for container in pod["spec"]["containers"] if claims and is_ready(pod) else ():
            paths = {one["mountPath"] for one in container.get("volumeMounts") or () if one["name"] in claims}
            for path in sorted(paths):
                used = live.used_percent(pod["metadata"]["name"], container["name"], path)
                if used is not None and used > MOST_USED_PERCENT:
                    failed(
                        "disk",
                        f"{path} of {pod['metadata']['name']} is {used} % full",
                        "raise `storage` of the store in the stack file, and run `pulumi up`: volumes grow in place",
                    )


def test_queues_are_short(live: Live) -> None:
    lengths: dict[str, Any] = live.run("worker", "queues.js", QUEUES=QUEUES)
    if error := lengths.pop("error", None):
        failed("queue", f"worker does not reach Redis: {error}", "`python -m operations check-stores`")
    for queue, found in lengths.items():
        if found["waiting"] > MOST_WAITING:
            failed(
                "queue", f"{found['waiting']} jobs wait in {queue}", "raise langfuse:worker.replicas (docs/scaling.md)"
            )
        if found["failed"] > MOST_FAILED:
            log = f"kubectl -n {live.namespace} logs deployment/langfuse-worker"
            failed("queue", f"{found['failed']} jobs of {queue} failed", log)


def test_backups_are_not_older_than_their_schedule(live: Live) -> None:
    now = datetime.now(UTC)
    for declared in (item for item in live.declared if item["kind"] == "CronJob"):
        name, spec = declared["metadata"]["name"], declared["spec"]
        if spec.get("suspend") or not name.startswith("langfuse-backup-"):
            continue
        found = live.get("batch/v1", "CronJob", name)
        if found is None:
            failed("backup", f"CronJob {name} does not exist", "pulumi up --refresh")
        if found["spec"].get("suspend"):
            if live.get("v1", "ConfigMap", restore.RECORD):
                pytest.skip("a restore is under way")
            failed(
                "backup", f"CronJob {name} is suspended", f"kubectl -n {live.namespace} patch cronjob {name} " + RESUME
            )
        gap = schedule(spec["schedule"]).longest_gap
        limit = timedelta(minutes=gap if math.isfinite(gap) else 31 * 24 * 60) + LATE
        last = (found.get("status") or {}).get("lastSuccessfulTime") or found["metadata"]["creationTimestamp"]
        age = now - datetime.fromisoformat(str(last))
        if age > limit:
            logs = f"kubectl -n {live.namespace} get jobs, and the log of the last one; docs/runbooks/backups.md"
            failed("backup", f"{name} last succeeded {age.total_seconds() / 3600:.0f} hours ago", logs)


RESUME: Final = """--patch '{"spec":{"suspend":false}}'"""
