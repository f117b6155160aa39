"""The Jobs and CronJobs of the whole stack."""

import json
import re

import pytest

from components.backups.steps import SCRIPTS as BACKUP_SCRIPTS
from components.kubernetes.jobs import FAULT_EXIT
from components.schema.values import quantity_value
from tests.scripts import SCRIPTS
from tests.unit.configuration import settings
from tests.unit.pods import container, containers, pod_spec, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording

SCHEDULED = ("backup-postgres", "backup-clickhouse", "retention", "verify-backups")
BY_HAND = (
    *("drill-clickhouse", "drill-postgres"),  # every week in prod
    *("repair-schema", "replay-events", "restore-clickhouse", "restore-postgres"),
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recorded("dev")


def test_backups_never_overlap_and_have_a_deadline(recording: Recording) -> None:
    jobs = recording.of("CronJob")
    assert {job.name for job in jobs} == {f"langfuse-{name}" for name in (*SCHEDULED, *BY_HAND)}
    for job in jobs:
        spec = job.inputs["spec"]
        assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Etc/UTC")
        assert spec["suspend"] == (job.name.removeprefix("langfuse-") in BY_HAND)
        assert spec["startingDeadlineSeconds"] >= 200
        assert spec["failedJobsHistoryLimit"] >= 1
        run = spec["jobTemplate"]["spec"]
        assert run["activeDeadlineSeconds"] > 0
        assert run["template"]["spec"]["restartPolicy"] == "Never"


def test_backups_run_on_the_configured_schedule(recording: Recording) -> None:
    backups = settings().backups
    scheduled = [job.inputs for job in recording.of("CronJob") if not job.inputs["spec"]["suspend"]]
    schedules = {job["metadata"]["name"]: job["spec"]["schedule"] for job in scheduled}
    assert schedules == {
        "langfuse-backup-postgres": backups.postgres_schedule,
        "langfuse-backup-clickhouse": backups.clickhouse_schedule,
        "langfuse-retention": backups.prune_schedule,
        "langfuse-verify-backups": backups.verify_schedule,
    }
    assert len(set(schedules.values())) == 4
    suspended = recorded("dev", {"backups": {"verifySchedule": "never"}}).one("CronJob", "langfuse-verify-backups")
    assert suspended.inputs["spec"]["suspend"] is True
    for job in (recorded("prod").one("CronJob", f"langfuse-drill-{store}") for store in ("postgres", "clickhouse")):
        assert (job.inputs["spec"]["suspend"], job.inputs["spec"]["schedule"]) == (False, "30 9 * * 0")


def test_a_check_that_found_a_fault_is_not_repeated(recording: Recording) -> None:
    for name in ("verify-backups", "restore-postgres", "restore-clickhouse"):
        run = recording.one("CronJob", f"langfuse-{name}").inputs["spec"]["jobTemplate"]["spec"]
        assert (run["backoffLimit"], run["podReplacementPolicy"]) == (2, "Failed")
        assert run["podFailurePolicy"] == {
            "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [FAULT_EXIT]}}]
        }
    assert f"const FAULT_EXIT = {FAULT_EXIT};" in (BACKUP_SCRIPTS / "verdicts.js").read_text()


def test_finished_runs_are_kept_over_a_weekend_and_then_removed() -> None:
    off_site = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}
    jobs = recorded("dev", {"backups": {"offSite": off_site}}).of("CronJob")
    assert len(jobs) == 14
    for job in jobs:
        spec = job.inputs["spec"]
        kept = spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"]
        assert 3 * 24 * 3600 <= kept <= 14 * 24 * 3600, "a failure on Friday must still be readable on Monday"
        assert spec["successfulJobsHistoryLimit"] == spec["failedJobsHistoryLimit"] == 3


def test_jobs_have_no_volume_that_outlives_their_pods() -> None:
    """A persistent volume would keep the dump in plain text."""
    for recording in (recorded("dev"), recorded("prod"), recorded("prod", {"postgres": {"mode": "cloudnativepg"}})):
        for job in recording.of("CronJob") + recording.of("Job"):
            kinds = {key for volume in pod_spec(job)["volumes"] for key in volume if key != "name"}
            assert kinds <= {"emptyDir", "configMap", "secret"}, job.name


def test_restored_data_is_on_the_node_or_in_a_volume_that_is_deleted_soon() -> None:
    for store, path, size in (("postgres", "/data", "5Gi"), ("clickhouse", "/var/lib/clickhouse", "10Gi")):
        job = recorded("dev").one("CronJob", f"langfuse-drill-{store}")
        restore = container(job, "restore")
        (mount,) = (one for one in restore["volumeMounts"] if one["name"] == "data")
        volumes = {one["name"]: one for one in pod_spec(job)["volumes"]}
        assert (mount["mountPath"], volumes["data"]["emptyDir"]["sizeLimit"]) == (path, size)
        # The kubelet evicts a pod whose directories are larger than the limits of its containers.
        assert quantity_value(restore["resources"]["limits"]["ephemeral-storage"]) > quantity_value(size)

        given = {"drillStorageClass": "deleted-with-its-pod", "drillStorage": "70Gi"}
        job = recorded("dev", {"backups": given}).one("CronJob", f"langfuse-drill-{store}")
        (claim,) = (one["ephemeral"] for one in pod_spec(job)["volumes"] if "ephemeral" in one)
        wanted = claim["volumeClaimTemplate"]["spec"]
        assert wanted["storageClassName"] == "deleted-with-its-pod"
        assert wanted["resources"]["requests"]["storage"] == ("70Gi" if store == "postgres" else size)
        assert job.inputs["spec"]["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] == 24 * 3600
        assert container(job, "restore")["resources"]["limits"]["ephemeral-storage"] == "1Gi"


def test_a_drill_has_no_password_of_a_server_in_use() -> None:
    found = recorded("prod")
    for store, secrets in (
        ("postgres", {"langfuse-object-store-verify", "langfuse-encryption", "langfuse-first-start"}),
        ("clickhouse", {"langfuse-object-store-verify"}),
    ):
        job = found.one("CronJob", f"langfuse-drill-{store}")
        values = [value for one in containers(job) for value in variables(one).values()]
        assert {value["secretKeyRef"]["name"] for value in values if not isinstance(value, str)} == secrets
    policies = {item.name: json.dumps(item.inputs["spec"]) for item in found.of("NetworkPolicy")}
    assert {name for name, text in policies.items() if '"drill-' in text} == {"langfuse-allow-object-store-ingress"}


def test_the_object_store_client_limits_its_memory() -> None:
    """By default, that of MinIO uses more memory with every core of the node."""
    off_site = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}
    checked = []
    for job in (found := recorded("prod", {"backups": {"offSite": off_site}})).of("CronJob") + found.of("Job"):
        for client in containers(job):
            given = variables(client)
            if "GOMEMLIMIT" in given:
                checked.append(client["name"])
                limit = quantity_value(given["GOMEMLIMIT"].removesuffix("B"))
                assert quantity_value(client["resources"]["limits"]["memory"]) >= limit
    copies = ("copy-backups", *["copy-media"] * 3, "copy-set")
    assert sorted(checked) == [*copies, "provision", "restore", "restore", "set-write-dump", "write-dump"]


def test_the_upload_part_size_fits_the_memory(recording: Recording) -> None:
    """Ten thousand parts hold a dump of at least 500 GiB, and the client keeps one part in memory."""
    dump = container(recording.one("CronJob", "langfuse-backup-postgres"), "write-dump")
    size = quantity_value(variables(dump)["PART_SIZE"].removesuffix("B"))
    assert 10_000 * size >= quantity_value("500Gi")
    assert 4 * size <= quantity_value(dump["resources"]["limits"]["memory"])


def test_failed_jobs_are_replaced_and_finished_jobs_are_kept(recording: Recording) -> None:
    jobs = recording.of("Job")
    assert {job.name for job in jobs} == {
        *("langfuse-migrations", "langfuse-first-start", "langfuse-object-store-provisioning"),
        "langfuse-backup-before-upgrade",
    }
    for job in jobs:
        assert job.inputs["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
        assert "ttlSecondsAfterFinished" not in job.inputs["spec"]
        assert job.inputs["spec"]["activeDeadlineSeconds"] > 0
        assert "backoffLimit" in job.inputs["spec"]


def test_a_job_is_deleted_before_it_is_replaced(recording: Recording) -> None:
    """Its name is fixed, and its pods are gone before the replacement is created."""
    for job in recording.of("Job"):
        assert job.inputs["metadata"]["name"] == job.name
        assert job.delete_before_replace
        grace = job.inputs["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert minutes(job.timeouts["delete"]) * 60 > grace
        for operation in ("create", "update"):
            assert minutes(job.timeouts[operation]) * 60 > job.inputs["spec"]["activeDeadlineSeconds"]


def minutes(text: str) -> int:
    assert text.endswith("m")
    return int(text.removesuffix("m"))


def test_a_job_never_has_two_pods(recording: Recording) -> None:
    """On a drained node a pod keeps running for its grace period; its replacement starts afterwards."""
    specs = [item.inputs["spec"] for item in recording.of("Job")]
    specs += [item.inputs["spec"]["jobTemplate"]["spec"] for item in recording.of("CronJob")]
    for spec in specs:
        assert (spec["parallelism"], spec["podReplacementPolicy"]) == (1, "Failed")


def test_provisioning_does_not_wait_for_the_server(recording: Recording) -> None:
    server = recording.one("StatefulSet", "langfuse-object-store")
    assert server.name not in recording.one("Job", "langfuse-object-store-provisioning").dependencies


def test_changed_keys_run_provisioning_again(recording: Recording) -> None:
    template = recording.one("Job", "langfuse-object-store-provisioning").inputs["spec"]["template"]
    uses = ("root", "events", "media", "exports", "backups", "prune", "verify")
    assert template["metadata"]["annotations"].keys() == {f"checksum/langfuse-object-store-{use}" for use in uses}


def test_migrations_run_the_entrypoint_of_the_image_after_the_checks(recording: Recording) -> None:
    *checks, migrate = containers(recording.one("Job", "langfuse-migrations"))
    assert "command" not in migrate
    assert migrate["args"] == ["true"]
    assert [check["name"] for check in checks] == ["release", "stores", "postgres", "clickhouse", "upgrade", "phase"]
    assert migrate["image"] == checks[0]["image"]
    assert not {name for name in variables(migrate) if name.endswith("MIGRATION_DISABLED")}


def test_every_variable_of_a_script_is_set_in_its_container(recording: Recording) -> None:
    """A variable is each `$NAME` in capitals that the script does not set itself."""
    checked = 0
    for item in recording.of("Job") + recording.of("CronJob") + recording.of("StatefulSet"):
        for one in containers(item):
            words = [word for word in one.get("command", []) if word.startswith("/scripts/") and word.endswith(".sh")]
            for word in words:
                text = SCRIPTS[word.removeprefix("/scripts/")].read_text()
                code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
                needed = set(re.findall(r"\$\{?([A-Z][A-Z_]+)\b(?!:-)", code)) - set(re.findall(r"\b([A-Z_]+)=", code))
                given = variables(one).keys()
                assert needed <= given | {"IFS"}, f"{word}: {needed - given}"
                checked += 1
    assert checked >= 7


def test_no_container_has_the_name_of_an_init_container_of_an_earlier_release() -> None:
    """A dry run keeps the fields of another field manager, and two containers must not share a name."""
    for name in ("postgres", "clickhouse"):
        found = {one["name"] for one in containers(recorded("dev").one("CronJob", f"langfuse-backup-{name}"))}
        assert found.isdisjoint({"dump", "backup"})
