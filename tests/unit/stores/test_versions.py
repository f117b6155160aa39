"""Clients, outputs and variables follow the release of a store. Unsupported releases: settings/test_checks.py."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.outputs import backups, versions
from components.schema import images
from components.stores.versions import query_environment, release_check_environment
from tests.unit.configuration import settings
from tests.unit.pods import container, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording

EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
CLOUD = {"mode": "external", "host": "a.clickhouse.cloud"}
LAZY = "CLICKHOUSE_DISABLE_LAZY_MATERIALIZATION"


def migration_client(recording: Recording) -> Mapping[str, Any]:
    return container(recording.one("Job", "langfuse-migrations"), "clickhouse")


def test_clients_in_jobs_have_the_release_of_the_server() -> None:
    recording = recorded("dev", {"clickhouse": {"version": "26.4.9.1"}})
    backup = container(recording.one("CronJob", "langfuse-backup-clickhouse"), "write-backup")
    server = container(recording.one("StatefulSet", "langfuse-clickhouse"))
    assert server["image"].endswith("/clickhouse-server:26.4.9.1")
    assert {migration_client(recording)["image"], backup["image"]} == {server["image"]}


@pytest.mark.parametrize(
    ("stated", "tag"),
    [("25.12.3.21", "25.12"), ("26.2", "26.2"), ("25.12.1.8067-cloud", "25.12"), (None, images.CLICKHOUSE.tag)],
)
def test_the_client_of_an_external_server_has_its_minor_release(stated: str | None, tag: str) -> None:
    """ClickHouse Cloud runs builds that have no public image."""
    recording = recorded("dev", {**EXISTING, "clickhouse": {**CLOUD, **({"version": stated} if stated else {})}})
    assert migration_client(recording)["image"].endswith(f"/clickhouse-server:{tag}")


def test_outputs_list_the_running_releases() -> None:
    config = {
        "postgres": {"version": "17.4"},
        "clickhouse": {"version": "26.4.9.1"},
        "redis": {"version": "8.1.3"},
        "objectStore": {"mode": "managed", "version": "RELEASE.2025-09-07T16-13-09Z"},
        "version": "4.83.0",
    }
    assert versions(settings(config)) == {
        "langfuse": "4.83.0",
        "postgres": "17.4",
        "clickhouse": "26.4.9.1",
        "redis": "8.1.3",
        "objectStore": "RELEASE.2025-09-07T16-13-09Z",
    }


def test_outputs_show_an_undeclared_external_release_as_unknown() -> None:
    redis = {"mode": "external", "host": "redis.example.com", "version": "7.2.4"}
    found = versions(settings({**EXISTING, "clickhouse": CLOUD, "redis": redis}))
    assert (found["clickhouse"], found["redis"]) == ("unknown", "7.2.4")


@pytest.mark.parametrize(
    ("version", "off"),
    [("25.3.9.1", False), ("25.12.1.1", True), ("26.4.5.143", True), ("26.6.2.108", False), (None, False)],
)
def test_lazy_materialization_is_disabled_for_affected_releases(version: str | None, off: bool) -> None:
    assert query_environment(version) == ({LAZY: "true"} if off else {})


def test_lazy_materialization_is_disabled_in_web_and_worker() -> None:
    recording = recorded("dev", {})
    for name in ("web", "worker"):
        assert variables(container(recording.one("Deployment", f"langfuse-{name}")))[LAZY] == "true"


@pytest.mark.parametrize(
    ("version", "mended"), [("4.16.0", "4.28.0"), ("4.28.0", ""), ("3.225.6", "3.225.7"), ("3.225.9", "")]
)
def test_the_check_before_a_migration_knows_which_release_fixes_a_bug(version: str, mended: str) -> None:
    known = release_check_environment(version)
    assert known["FIXED_LANGFUSE"] == mended
    assert known.items() <= variables(migration_client(recorded("dev", {"version": version}))).items()


def test_outputs_state_who_backs_up_each_store() -> None:
    assert backups(settings()) == {"postgres": "job", "clickhouse": "job", "redis": "none", "objectStore": "none"}
    copies = {"endpoint": "https://s3.example.org", "bucket": "copies", "secret": "off-site"}
    found = backups(settings({**EXISTING, "clickhouse": CLOUD, "backups": {"offSite": copies}}))
    assert (found["clickhouse"], found["objectStore"]) == ("provider", "job")
