"""Every alert fires when it should and not otherwise, by the rule tests of Prometheus (`promtool test rules`)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.monitoring.alerts import Alert, alerts, rule_groups
from components.schema.environment import Settings
from sandbox.toolchain import PROMTOOL, ensure_tool
from tests.unit.configuration import settings
from tools.docs.generated import ROOT

NS = 'namespace="langfuse-dev"'
RUNBOOK = ROOT / "docs" / "runbooks" / "alerts.md"

Series = Mapping[str, str]

_DEPLOYED = f'kube_deployment_spec_replicas{{{NS}, deployment="langfuse-web"}}'
_AVAILABLE = f'kube_deployment_status_replicas_available{{{NS}, deployment="langfuse-web"}}'
_READY = f'kube_statefulset_status_replicas_ready{{{NS}, statefulset="langfuse-keeper"}}'
_REPLICAS = f'kube_statefulset_replicas{{{NS}, statefulset="langfuse-keeper"}}'
_USED = f'kubelet_volume_stats_used_bytes{{{NS}, persistentvolumeclaim="data-langfuse-clickhouse-0"}}'
_FREE = f'kubelet_volume_stats_available_bytes{{{NS}, persistentvolumeclaim="data-langfuse-clickhouse-0"}}'
_SIZE = f'kubelet_volume_stats_capacity_bytes{{{NS}, persistentvolumeclaim="data-langfuse-clickhouse-0"}}'
_WAIT = f'redis_key_size{{{NS}, key="dev::ingestion-queue:wait"}}'
_FAILED = f'redis_key_size{{{NS}, key="dev::ingestion-queue:failed"}}'
_DEPTH = f'langfuse_queue_depth{{{NS}, queue="ingestion", type="waiting"}}'
_DONE = f'langfuse_queue_jobs_total{{{NS}, queue="ingestion", type="completed"}}'
_TIMES = f'langfuse_queue_time_milliseconds_bucket{{{NS}, queue="ingestion", type="wait", le="%s"}}'
_JOB = f'kube_job_failed{{{NS}, condition="true", job_name="langfuse-%s"}}'
_CRONJOB = f'{NS}, cronjob="langfuse-%s"'
_MASTER = f'redis_instance_info{{{NS}, instance="%s:6379", role="%s"}}'
_ROLE = f'ClickHouseAsyncMetrics_KeeperIs%s{{{NS}, pod="langfuse-keeper-1"}}'

STEPS, STEP_MINUTES = 100, 5
"""Number and distance of the values of each series."""

END = STEPS * STEP_MINUTES * 60
"""The last value, in seconds."""

CASES: Mapping[str, tuple[Series, Series]] = {
    # by alert: series with which it fires at the end, and with which it does not
    "LangfuseNotReady": ({_AVAILABLE: "0"}, {_AVAILABLE: "1"}),
    "LangfusePodsMissing": ({_AVAILABLE: "1", _DEPLOYED: "2"}, {_AVAILABLE: "2", _DEPLOYED: "2"}),
    "LangfuseStoreNotReady": ({_READY: "2", _REPLICAS: "3"}, {_READY: "3", _REPLICAS: "3"}),
    "LangfuseRestarts": (
        {f'kube_pod_container_status_restarts_total{{{NS}, pod="langfuse-web-1", container="web"}}': "0+1x"},
        {f'kube_pod_container_status_restarts_total{{{NS}, pod="langfuse-web-1", container="web"}}': "7"},
    ),
    "LangfuseMetricsMissing": ({f'up{{{NS}, job="keeper"}}': "0"}, {f'up{{{NS}, job="keeper"}}': "1"}),
    "LangfuseQueueLong": ({_WAIT: "6000"}, {_WAIT: "4000"}),
    "LangfuseQueueSlow": (
        {_TIMES % "60000": "0+1x", _TIMES % "900000": "0+100x", _TIMES % "+Inf": "0+100x"},
        {_TIMES % "60000": "0+95x", _TIMES % "900000": "0+100x", _TIMES % "+Inf": "0+100x"},
    ),
    "LangfuseWorkerStuck": ({_DEPTH: "5", _DONE: "100"}, {_DEPTH: "5", _DONE: "0+1x"}),
    "LangfuseWorkerSilent": ({}, {_DEPTH: "0"}),
    "LangfuseJobsFailed": ({_FAILED: "0+1x"}, {_FAILED: "500"}),
    "LangfuseVolumeFull": ({_USED: "85", _SIZE: "100"}, {_USED: "75", _SIZE: "100"}),
    "LangfuseVolumeFullSoon": (
        {_USED: "60", _SIZE: "100", _FREE: "200-1x"},
        {_USED: "60", _SIZE: "100", _FREE: "40"},
    ),
    "LangfuseJobFailed": ({_JOB % "migrations": "1"}, {_JOB % "migrations": "0"}),
    "LangfuseCertificateExpires": (
        {f'certmanager_certificate_expiration_timestamp_seconds{{{NS}, name="tls"}}': str(END + 864_000)},
        {f'certmanager_certificate_expiration_timestamp_seconds{{{NS}, name="tls"}}': str(END + 1_728_000)},
    ),
    "LangfuseBackupOld": (  # the first one never succeeded
        {f"kube_cronjob_created{{{_CRONJOB % 'backup-postgres'}}}": "-200000"},
        {
            f"kube_cronjob_created{{{_CRONJOB % 'backup-postgres'}}}": "-200000",
            f"kube_cronjob_status_last_successful_time{{{_CRONJOB % 'backup-postgres'}}}": str(END - 7200),
        },
    ),
    "LangfuseBackupSuspended": (
        {f"kube_cronjob_spec_suspend{{{_CRONJOB % 'backup-clickhouse'}}}": "1"},
        {f"kube_cronjob_spec_suspend{{{_CRONJOB % 'backup-clickhouse'}}}": "0"},
    ),
    "LangfuseDrillOld": (
        {f"kube_cronjob_status_last_successful_time{{{_CRONJOB % 'drill-postgres'}}}": str(END - 864_000)},
        {f"kube_cronjob_status_last_successful_time{{{_CRONJOB % 'drill-postgres'}}}": str(END - 500_000)},
    ),
    "LangfuseDrillFailed": ({_JOB % "drill-postgres-1": "1"}, {_JOB % "migrations": "1"}),
    "LangfusePostgresUnreachable": ({f"pg_up{{{NS}}}": "0"}, {f"pg_up{{{NS}}}": "1"}),
    "LangfusePostgresConnections": (
        {f"pg_stat_activity_count{{{NS}}}": "90", f"pg_settings_max_connections{{{NS}}}": "100"},
        {f"pg_stat_activity_count{{{NS}}}": "70", f"pg_settings_max_connections{{{NS}}}": "100"},
    ),
    "LangfusePostgresTransactionOld": (
        {f"pg_long_running_transactions_oldest_timestamp_seconds{{{NS}}}": "9000"},
        {f"pg_long_running_transactions_oldest_timestamp_seconds{{{NS}}}": "60"},
    ),
    "LangfuseRedisUnreachable": ({f"redis_up{{{NS}}}": "0"}, {f"redis_up{{{NS}}}": "1"}),
    "LangfuseRedisMemory": (
        {f"redis_memory_used_bytes{{{NS}}}": "90", f"redis_memory_max_bytes{{{NS}}}": "100"},
        {f"redis_memory_used_bytes{{{NS}}}": "90", f"redis_memory_max_bytes{{{NS}}}": "0"},  # without a limit
    ),
    "LangfuseRedisFailover": (
        {_MASTER % ("b", "slave"): f"1x{STEPS - 3} stale", _MASTER % ("b", "master"): f"_x{STEPS - 2} 1x2"},
        {_MASTER % ("a", "master"): "1", _MASTER % ("b", "slave"): "1"},
    ),
    "LangfuseRedisNoReplica": (
        {f'redis_sentinel_master_ok_slaves{{{NS}, master_name="langfuse"}}': "0"},
        {f'redis_sentinel_master_ok_slaves{{{NS}, master_name="langfuse"}}': "2"},
    ),
    "LangfuseClickHouseParts": (
        {f"ClickHouseAsyncMetrics_MaxPartCountForPartition{{{NS}}}": "900"},
        {f"ClickHouseAsyncMetrics_MaxPartCountForPartition{{{NS}}}": "300"},
    ),
    "LangfuseClickHouseInsertsRejected": (
        {f"ClickHouseProfileEvents_RejectedInserts{{{NS}}}": "0+1x"},
        {f"ClickHouseProfileEvents_RejectedInserts{{{NS}}}": "7"},
    ),
    "LangfuseClickHouseReplicationLag": (
        {f"ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay{{{NS}}}": "400"},
        {f"ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay{{{NS}}}": "3"},
    ),
    "LangfuseClickHouseReadOnly": (
        {f"ClickHouseMetrics_ReadonlyReplica{{{NS}}}": "1"},
        {f"ClickHouseMetrics_ReadonlyReplica{{{NS}}}": "0"},
    ),
    "LangfuseKeeperNoQuorum": ({_ROLE % "Leader": "0"}, {_ROLE % "Leader": "1", _ROLE % "Standalone": "0"}),
    "LangfuseKeeperMissing": (
        {f"ClickHouseAsyncMetrics_KeeperSyncedFollowers{{{NS}}}": "1"},
        {f"ClickHouseAsyncMetrics_KeeperSyncedFollowers{{{NS}}}": "2"},
    ),
    "LangfuseObjectStoreFull": (
        {
            f"minio_cluster_capacity_usable_free_bytes{{{NS}}}": "1",
            f"minio_cluster_capacity_usable_total_bytes{{{NS}}}": "9",
        },
        {
            f"minio_cluster_capacity_usable_free_bytes{{{NS}}}": "5",
            f"minio_cluster_capacity_usable_total_bytes{{{NS}}}": "9",
        },
    ),
    "LangfuseObjectStoreNodeOffline": (
        {f"minio_cluster_nodes_offline_total{{{NS}}}": "1"},
        {f"minio_cluster_nodes_offline_total{{{NS}}}": "0"},
    ),
    "LangfuseBucketLarge": (
        {f'minio_bucket_usage_total_bytes{{{NS}, bucket="media"}}': str(2**31)},
        {f'minio_bucket_usage_total_bytes{{{NS}, bucket="media"}}': str(2**29)},
    ),
}

OPERATED: Mapping[str, tuple[Series, Series]] = {
    "LangfusePostgresUnreachable": ({f"cnpg_collector_up{{{NS}}}": "0"}, {f"cnpg_collector_up{{{NS}}}": "1"}),
    "LangfusePostgresConnections": (
        {
            f'cnpg_backends_total{{{NS}, pod="p"}}': "90",
            f'cnpg_pg_settings_setting{{{NS}, pod="p", name="max_connections"}}': "100",
        },
        {
            f'cnpg_backends_total{{{NS}, pod="p"}}': "9",
            f'cnpg_pg_settings_setting{{{NS}, pod="p", name="max_connections"}}': "100",
        },
    ),
    "LangfusePostgresTransactionOld": (
        {f"cnpg_backends_max_tx_duration_seconds{{{NS}}}": "9000"},
        {f"cnpg_backends_max_tx_duration_seconds{{{NS}}}": "9"},
    ),
}


def monitored(**given: object) -> Settings:
    bounds = {"alerts": {"bucketSize": "1Gi"}}
    backups = {"drillSchedule": "30 9 * * 0"}
    return settings({"monitoring": bounds, "backups": backups, **given})


THREE = {"mode": "managed", "replicas": 3, "keepers": 3}


def values(text: str) -> str:
    """The notation of promtool for a series: a constant, or one that changes with each step."""
    if text.endswith("x"):
        return f"{text}{STEPS}"
    return text if "x" in text else f"{text}+0x{STEPS}"


def case(name: str, series: Series, *, fires: bool) -> Mapping[str, Any]:
    """One test of promtool. Names of firing alerts are compared by a query, which needs no labels."""
    found = f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {
        "name": f"{name} {'fires' if fires else 'does not fire'}",
        "interval": f"{STEP_MINUTES}m",
        "input_series": [{"series": one, "values": values(text)} for one, text in series.items()],
        "promql_expr_test": [
            {
                "expr": f"{found} > bool 0",
                "eval_time": f"{STEPS * STEP_MINUTES}m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else [],
            }
        ],
    }


def check(folder: Path, chosen: Settings, cases: Mapping[str, tuple[Series, Series]]) -> str:
    (folder / "rules.json").write_text(json.dumps(rule_groups(chosen)))
    tests = [
        case(name, series, fires=fires)
        for name, (firing, quiet) in cases.items()
        for series, fires in ((firing, True), (quiet, False))
    ]
    content = {"rule_files": ["rules.json"], "evaluation_interval": f"{STEP_MINUTES}m", "tests": tests}
    (folder / "tests.json").write_text(json.dumps(content))
    promtool = ensure_tool(PROMTOOL)
    lint = subprocess.run(
        [promtool, "check", "rules", folder / "rules.json"], capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    ran = subprocess.run(
        [promtool, "test", "rules", folder / "tests.json"], capture_output=True, text=True, check=False
    )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@pytest.mark.long  # builds promtool
def test_every_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    chosen = monitored(clickhouse=THREE)
    assert [one.name for one in alerts(chosen) if one.name not in CASES] == []
    assert check(tmp_path, chosen, CASES) == ""


@pytest.mark.long
def test_alerts_about_servers_of_cloudnative_pg_fire(tmp_path: Path) -> None:
    assert check(tmp_path, monitored(postgres={"mode": "cloudnativepg"}), OPERATED) == ""


def test_every_alert_has_a_section_in_the_runbook_and_no_section_is_about_another() -> None:
    chosen = [*alerts(monitored(clickhouse=THREE))]
    sections = re.findall(r"^## (Langfuse\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert {*sections} == {one.name for one in chosen}
    assert len(sections) == len({*sections})


def test_alerts_link_to_their_sections() -> None:
    chosen = settings({"monitoring": {"alerts": {"runbookUrl": "https://git.example.com/alerts.md"}}})
    rules = json.loads(json.dumps(rule_groups(chosen)))["groups"][0]["rules"]
    for one in rules:
        assert one["annotations"]["runbook_url"] == f"https://git.example.com/alerts.md#{one['alert'].lower()}"


def test_alerts_are_about_what_an_environment_runs() -> None:
    outside = settings(
        {
            "monitoring": {},
            "clickhouse": {"mode": "external", "host": "clickhouse.example.com"},
            "credentials": {"source": "existing", "secret": "langfuse"},
        }
    )
    found: list[Alert] = [*alerts(outside)]
    assert not [one.name for one in found if "ClickHouse" in one.name or "Keeper" in one.name]
    assert not [one.name for one in found if "Drill" in one.name]  # never, in dev
