"""A cluster that assigns user and group IDs, as OpenShift does, with volumes that grow while they are mounted.

`openshift.yaml` has the part of OpenShift. The stack starts with a former release of Postgres.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Final

import psutil
import pytest

from components.schema.images import POSTGRES
from tests.node import jobs, pod_networks
from tests.node.changes import merged, settled
from tests.node.contents import EVERYTHING, Contents, volumes
from tests.node.event_load import event_load
from tests.node.shapes import OLD_POSTGRES, Installation
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(1800)]

ASSIGNED: Final = 1000650000
"""The user and the group of the namespace, in `openshift.yaml`."""
LOAD_SECONDS: Final = 15
GIBIBYTE: Final = 2**30


@pytest.fixture
def contents(openshift: Installation) -> Contents:
    return Contents(openshift.view)


def test_every_process_has_the_assigned_user_and_nothing_is_refused(openshift: Installation) -> None:
    assert openshift.unready() == []
    assert openshift.restarts_of_the_deployment() == {}
    processes = pod_networks.all_processes()
    for pod in openshift.pods():
        users = set()
        for pid in processes[pod["metadata"]["uid"]]:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.name() != "pause":
                    users.add((process.uids().real, process.gids().real))
        assert users == {(ASSIGNED, 0)}, pod["metadata"]["name"]
    assert openshift.complaints() == []


def assert_events_come_back(openshift: Installation, client: int) -> None:
    with event_load(openshift.view, client) as load:
        time.sleep(LOAD_SECONDS)
        summary = load.stop()
    assert summary.failures == []
    assert summary.accepted
    assert summary.lost == 0


def test_events_come_back(openshift: Installation, client: int) -> None:
    assert_events_come_back(openshift, client)


def test_every_job_succeeds(openshift: Installation) -> None:
    names = [item["metadata"]["name"] for item in openshift.view.objects("cronjobs")]
    assert {"langfuse-backup-postgres", "langfuse-backup-clickhouse"} <= {*names}
    for name in names:
        done = jobs.from_cron_job(openshift.view, name, f"{name}-now")
        assert done.succeeded, done.log


def test_stores_are_checked_by_hand(openshift: Installation, contents: Contents) -> None:
    before = openshift.view.identities("jobs", "configmaps", "networkpolicies", "serviceaccounts")
    done = openshift.operate("check-stores", options=["--json"]).ok()
    lines = json.loads(done.stdout)
    assert {line["store"] for line in lines} == {"postgres", "clickhouse", "redis", "object-store"}
    assert [line for line in lines if line["outcome"] == "failed"] == []

    contents.valkey("langfuse-redis-0", "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        refused = openshift.operate("check-stores", options=["--json", "--store", "redis"])
    finally:
        contents.valkey("langfuse-redis-0", "CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert refused.exit_code == 1, refused.output
    (failed,) = (line for line in json.loads(refused.stdout) if line["outcome"] == "failed")
    assert (failed["store"], "evicts jobs" in failed["detail"]) == ("redis", True)
    assert openshift.view.identities("jobs", "configmaps", "networkpolicies", "serviceaccounts") == before


def test_a_volume_grows_while_its_server_runs(openshift: Installation, contents: Contents) -> None:
    contents.write()
    before, claims = settled(openshift), volumes(openshift.view)
    assert size(contents) < GIBIBYTE
    change = {"postgres": {"storage": "3Gi"}, "redis": {"storage": "2Gi"}}
    openshift.stack.configure(merged(openshift, change))
    openshift.stack.up().ok()
    eventually(lambda: size(contents) > 2 * GIBIBYTE, "the file system has not grown")
    capacities = {
        claim["metadata"]["name"]: claim["status"]["capacity"]["storage"]
        for claim in openshift.view.objects("persistentvolumeclaims")
    }
    assert capacities["langfuse-postgres-data"] == "3Gi"
    assert "2Gi" in {capacity for name, capacity in capacities.items() if name.startswith("langfuse-redis")}
    assert settled(openshift) == before
    assert volumes(openshift.view) == claims
    assert contents.count() == EVERYTHING


def size(contents: Contents) -> int:
    """The size of the file system of Postgres' volume in bytes, as its server sees it."""
    words = ("df", "--block-size=1", "--output=size", "/var/lib/postgresql/data")
    return int(contents.run("langfuse-postgres-0", "postgres", *words).split()[-1])


def test_postgres_goes_to_another_major_release_and_back(
    openshift: Installation, contents: Contents, client: int
) -> None:
    def release() -> str:
        return contents.psql("SHOW server_version").partition(".")[0]

    former, new = OLD_POSTGRES.partition(".")[0], POSTGRES.tag.partition(".")[0]
    contents.write()
    assert release() == former

    openshift.operate("upgrade-postgres", options=["--to", POSTGRES.tag]).ok()
    openshift.wait_until_ready()
    assert release() == new
    assert contents.count() == EVERYTHING
    contents.psql("SET ROLE langfuse", "INSERT INTO conformance VALUES (501)")

    refused = openshift.operate("upgrade-postgres", options=["--back"])
    assert refused.exit_code == 2
    assert "--discard-writes" in refused.output
    openshift.operate("upgrade-postgres", options=["--back", "--discard-writes"]).ok()
    openshift.wait_until_ready()
    assert release() == former
    assert contents.count() == EVERYTHING

    openshift.operate("upgrade-postgres", options=["--to", POSTGRES.tag]).ok()
    openshift.operate("upgrade-postgres", options=["--finish"]).ok()
    openshift.wait_until_ready()
    assert release() == new
    assert contents.count() == EVERYTHING
    postgres = {name for name in volumes(openshift.view) if "postgres" in name}
    assert postgres == {f"langfuse-postgres-data-{new}"}
    assert_events_come_back(openshift, client)
