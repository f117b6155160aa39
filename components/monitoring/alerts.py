"""The alerts: what each one means, and when it fires. Pure functions of the settings.

Metrics of Kubernetes objects (`kube_*`) are those of kube-state-metrics, of volumes (`kubelet_*`) those of the kubelet,
and of certificates those of cert-manager. The others are described in docs/monitoring.md. An alert whose metrics are
missing does not fire, except those about metrics that are missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from components.schema.environment import Settings
from components.schema.monitoring import Alerts as Bounds
from components.schema.monitoring import Monitoring
from components.schema.values import quantity_value
from components.stores.modes import StoreModes

RUNBOOK: Final = "docs/runbooks/alerts.md"

HOUR: Final = 3600
DAY: Final = 24 * HOUR


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert. Its section in the runbook has the same name."""

    name: str
    expr: str
    """A query for `in_namespace`."""
    lasts: str
    """How long the query must hold."""
    severity: Literal["critical", "warning"]
    summary: str
    """One sentence for people who are paged."""


def alerts(settings: Settings) -> Sequence[Alert]:
    """The alerts of an environment: those about what it runs."""
    stores = StoreModes.of(settings)
    bounds = _bounds(settings)
    found = [*_application(), *_monitoring(), *_queues(bounds), *_kubernetes(), *_backups(settings), *_redis()]
    found += _postgres(operated=stores.postgres.operator_pods is not None)
    if stores.clickhouse.is_managed:
        found += _clickhouse(stores.clickhouse.config.keepers)
    if stores.object_store.is_managed:
        found += _object_store(bounds)
    return found


def in_namespace(query: str, settings: Settings) -> str:
    """A query about the objects of an environment. `NS` stands for the label with the namespace."""
    return query.replace("NS", f'namespace="{settings.namespace}"')


def _bounds(settings: Settings) -> Bounds:
    return (settings.monitoring or Monitoring()).alerts


def _application() -> Iterator[Alert]:
    yield Alert(
        name="LangfuseNotReady",
        expr='kube_deployment_status_replicas_available{NS, deployment=~"langfuse-(web|worker.*)"} < 1',
        lasts="5m",
        severity="critical",
        summary="No pod of {{ $labels.deployment }} is ready",
    )
    yield Alert(
        name="LangfusePodsMissing",
        expr=(
            'kube_deployment_status_replicas_available{NS, deployment=~"langfuse-.*"} < on (namespace, deployment) '
            'kube_deployment_spec_replicas{NS, deployment=~"langfuse-.*"}'
        ),
        lasts="20m",
        severity="warning",
        summary="{{ $labels.deployment }} has fewer pods than it should have",
    )
    yield Alert(
        name="LangfuseStoreNotReady",
        expr=(
            'kube_statefulset_status_replicas_ready{NS, statefulset!="langfuse-metrics"} < on (namespace, statefulset) '
            'kube_statefulset_replicas{NS, statefulset!="langfuse-metrics"}'
        ),
        lasts="15m",
        severity="critical",
        summary="A server of {{ $labels.statefulset }} is not ready",
    )
    yield Alert(
        name="LangfuseRestarts",
        expr='increase(kube_pod_container_status_restarts_total{NS, pod=~"langfuse-.*"}[1h]) > 3',
        lasts="0m",
        severity="warning",
        summary="{{ $labels.container }} of {{ $labels.pod }} restarts again and again",
    )


def _monitoring() -> Iterator[Alert]:
    yield Alert(
        name="LangfuseMetricsMissing",
        expr='up{NS, job=~"metrics|clickhouse|keeper|object-store|langfuse-postgres"} == 0',
        lasts="10m",
        severity="warning",
        summary="Prometheus can't read the metrics of {{ $labels.pod }}",
    )


def _queues(bounds: Bounds) -> Iterator[Alert]:
    yield Alert(
        name="LangfuseQueueLong",
        expr=f'max by (key) (redis_key_size{{NS, key=~".*:wait"}}) > {bounds.queue_length}',
        lasts="15m",
        severity="warning",
        summary="{{ $value }} jobs wait in {{ $labels.key }}",
    )
    yield Alert(
        name="LangfuseQueueSlow",
        expr=(
            "histogram_quantile(0.9, sum by (queue, le) (rate(langfuse_queue_time_milliseconds_bucket"
            f'{{NS, type="wait", queue=~"(secondary_)?(otel_)?ingestion"}}[15m]))) > {bounds.queue_minutes * 60_000}'
        ),
        lasts="10m",
        severity="warning",
        summary="Events wait longer in the queue {{ $labels.queue }} than they should",
    )
    yield Alert(
        name="LangfuseWorkerStuck",
        expr=(
            'max by (queue) (langfuse_queue_depth{NS, type="waiting"}) > 0 unless '
            'sum by (queue) (increase(langfuse_queue_jobs_total{NS, type="completed"}[30m])) > 0'
        ),
        lasts="30m",
        severity="critical",
        summary="Jobs wait in the queue {{ $labels.queue }}, and no worker has finished one for half an hour",
    )
    yield Alert(
        name="LangfuseWorkerSilent",
        expr="absent_over_time(langfuse_queue_depth{NS}[15m])",
        lasts="5m",
        severity="warning",
        summary="No worker has reported the lengths of its queues for 15 minutes",
    )
    yield Alert(
        name="LangfuseJobsFailed",
        expr='max by (key) (delta(redis_key_size{NS, key=~".*:failed"}[1h])) > 10',
        lasts="0m",
        severity="warning",
        summary="{{ $value }} jobs failed for good within an hour: {{ $labels.key }}",
    )


def _kubernetes() -> Iterator[Alert]:
    volume = 'NS, persistentvolumeclaim=~"langfuse-.*|data-langfuse-.*"'
    yield Alert(
        name="LangfuseVolumeFull",
        expr=(f"kubelet_volume_stats_used_bytes{{{volume}}} / kubelet_volume_stats_capacity_bytes{{{volume}}} > 0.8"),
        lasts="15m",
        severity="warning",
        summary="The volume {{ $labels.persistentvolumeclaim }} is {{ $value | humanizePercentage }} full",
    )
    yield Alert(
        name="LangfuseVolumeFullSoon",
        expr=(
            f"predict_linear(kubelet_volume_stats_available_bytes{{{volume}}}[1d], {4 * DAY}) < 0 and "
            f"kubelet_volume_stats_used_bytes{{{volume}}} / kubelet_volume_stats_capacity_bytes{{{volume}}} > 0.5"
        ),
        lasts="1h",
        severity="warning",
        summary="The volume {{ $labels.persistentvolumeclaim }} will be full within four days",
    )
    yield Alert(
        name="LangfuseJobFailed",
        expr='max by (job_name) (kube_job_failed{NS, condition="true", job_name=~"langfuse-.*"}) > 0',
        lasts="0m",
        severity="warning",
        summary="The Job {{ $labels.job_name }} failed",
    )
    yield Alert(
        name="LangfuseCertificateExpires",
        expr=f"certmanager_certificate_expiration_timestamp_seconds{{NS}} - time() < {14 * DAY}",
        lasts="1h",
        severity="warning",
        summary="The certificate {{ $labels.name }} expires in {{ $value | humanizeDuration }}",
    )


def _backups(settings: Settings) -> Iterator[Alert]:
    """A CronJob that never succeeded counts from its creation."""
    hours = _bounds(settings).backup_hours
    last = (
        '(kube_cronjob_status_last_successful_time{{NS, cronjob=~"{0}"}} or kube_cronjob_created{{NS, cronjob=~"{0}"}})'
    )
    yield Alert(
        name="LangfuseBackupOld",
        expr=f"time() - {last.format('langfuse-backup-(postgres|clickhouse|off-site)')} > {hours * HOUR}",
        lasts="0m",
        severity="critical",
        summary="{{ $labels.cronjob }} has not succeeded for {{ $value | humanizeDuration }}",
    )
    if settings.backups.drill_schedule != "never":
        yield Alert(
            name="LangfuseDrillOld",
            expr=f"time() - {last.format('langfuse-drill-.*')} > {9 * DAY}",
            lasts="0m",
            severity="warning",
            summary="{{ $labels.cronjob }} has restored no backup set for {{ $value | humanizeDuration }}",
        )
        yield Alert(
            name="LangfuseDrillFailed",
            expr='max by (job_name) (kube_job_failed{NS, condition="true", job_name=~"langfuse-drill-.*"}) > 0',
            lasts="0m",
            severity="critical",
            summary="No restore of the newest backup set is proven: {{ $labels.job_name }}",
        )
    yield Alert(
        name="LangfuseBackupSuspended",
        expr='kube_cronjob_spec_suspend{NS, cronjob=~"langfuse-(backup-(postgres|clickhouse|off-site)|retention)"} > 0',
        lasts="6h",
        severity="warning",
        summary="{{ $labels.cronjob }} is suspended",
    )


_EXPORTED: Final = (
    "pg_up{NS}",
    "sum(pg_stat_activity_count{NS})",
    "max(pg_settings_max_connections{NS})",
    "max(pg_long_running_transactions_oldest_timestamp_seconds{NS})",
)
_OPERATED: Final = (
    "cnpg_collector_up{NS}",
    "sum by (pod) (cnpg_backends_total{NS})",
    'max by (pod) (cnpg_pg_settings_setting{NS, name="max_connections"})',
    "max(cnpg_backends_max_tx_duration_seconds{NS})",
)


def _postgres(*, operated: bool) -> Iterator[Alert]:
    """By the exporter, or by the servers of CloudNativePG."""
    up, used, most, oldest = _OPERATED if operated else _EXPORTED
    yield Alert(
        name="LangfusePostgresUnreachable",
        expr=f"{up} == 0",
        lasts="5m",
        severity="critical",
        summary="Postgres does not answer the exporter",
    )
    yield Alert(
        name="LangfusePostgresConnections",
        expr=f"{used} / {most} > 0.8",
        lasts="10m",
        severity="warning",
        summary="{{ $value | humanizePercentage }} of the connections of Postgres are used",
    )
    yield Alert(
        name="LangfusePostgresTransactionOld",
        expr=f"{oldest} > {2 * HOUR}",
        lasts="5m",
        severity="warning",
        summary="A transaction in Postgres is {{ $value | humanizeDuration }} old",
    )


def _redis() -> Iterator[Alert]:
    yield Alert(
        name="LangfuseRedisUnreachable",
        expr="redis_up{NS} == 0",
        lasts="5m",
        severity="critical",
        summary="{{ $labels.instance }} does not answer",
    )
    yield Alert(
        name="LangfuseRedisMemory",
        expr="redis_memory_used_bytes{NS} / (redis_memory_max_bytes{NS} > 0) > 0.8",
        lasts="10m",
        severity="critical",
        summary="{{ $labels.instance }} has used {{ $value | humanizePercentage }} of its memory",
    )
    yield Alert(
        name="LangfuseRedisFailover",
        expr=(
            'redis_instance_info{NS, role="master"} unless on (instance) '
            '(redis_instance_info{NS, role="master"} offset 15m) '
            'and on (instance) (redis_instance_info{NS, role="slave"} offset 15m)'
        ),
        lasts="0m",
        severity="warning",
        summary="{{ $labels.instance }} has become the primary of Redis",
    )
    yield Alert(
        name="LangfuseRedisNoReplica",
        expr="max by (master_name) (redis_sentinel_master_ok_slaves{NS}) < 1",
        lasts="10m",
        severity="critical",
        summary="The primary of Redis has no replica: its loss would lose jobs",
    )


def _clickhouse(keepers: int) -> Iterator[Alert]:
    yield Alert(
        name="LangfuseClickHouseParts",
        expr="max by (pod) (ClickHouseAsyncMetrics_MaxPartCountForPartition{NS}) > 800",
        lasts="10m",
        severity="warning",
        summary="{{ $labels.pod }} has {{ $value }} parts in a partition, and delays inserts from 1000 on",
    )
    yield Alert(
        name="LangfuseClickHouseInsertsRejected",
        expr="increase(ClickHouseProfileEvents_RejectedInserts{NS}[10m]) > 0",
        lasts="0m",
        severity="critical",
        summary="{{ $labels.pod }} rejects inserts, because it has too many parts",
    )
    yield Alert(
        name="LangfuseClickHouseReplicationLag",
        expr="max by (pod) (ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay{NS}) > 300",
        lasts="10m",
        severity="warning",
        summary="{{ $labels.pod }} lacks the rows of the last {{ $value | humanizeDuration }}",
    )
    yield Alert(
        name="LangfuseClickHouseReadOnly",
        expr="max by (pod) (ClickHouseMetrics_ReadonlyReplica{NS}) > 0",
        lasts="5m",
        severity="critical",
        summary="Tables of {{ $labels.pod }} are read-only: it has lost Keeper",
    )
    yield Alert(
        name="LangfuseKeeperNoQuorum",
        expr=(
            "(sum(ClickHouseAsyncMetrics_KeeperIsLeader{NS}) or vector(0)) + "
            "(sum(ClickHouseAsyncMetrics_KeeperIsStandalone{NS}) or vector(0)) < 1"
        ),
        lasts="5m",
        severity="critical",
        summary="The Keepers have no leader: ClickHouse accepts no writes",
    )
    if keepers > 1:
        yield Alert(
            name="LangfuseKeeperMissing",
            expr=f"max(ClickHouseAsyncMetrics_KeeperSyncedFollowers{{NS}}) < {keepers - 1}",
            lasts="15m",
            severity="warning",
            summary="A Keeper does not follow the leader: the loss of another one stops ClickHouse",
        )


def _object_store(bounds: Bounds) -> Iterator[Alert]:
    yield Alert(
        name="LangfuseObjectStoreFull",
        expr=(
            "max(minio_cluster_capacity_usable_free_bytes{NS}) / "
            "max(minio_cluster_capacity_usable_total_bytes{NS}) < 0.2"
        ),
        lasts="15m",
        severity="warning",
        summary="The object store has {{ $value | humanizePercentage }} left",
    )
    yield Alert(
        name="LangfuseObjectStoreNodeOffline",
        expr="max(minio_cluster_nodes_offline_total{NS}) > 0",
        lasts="15m",
        severity="warning",
        summary="A server of the object store is offline",
    )
    if bounds.bucket_size:
        yield Alert(
            name="LangfuseBucketLarge",
            expr=f"max by (bucket) (minio_bucket_usage_total_bytes{{NS}}) > {int(quantity_value(bounds.bucket_size))}",
            lasts="1h",
            severity="warning",
            summary="The bucket {{ $labels.bucket }} has {{ $value | humanize1024 }}B",
        )


def rule_groups(settings: Settings) -> Mapping[str, JsonValue]:
    """The specification of a PrometheusRule, which is the content of a rule file of Prometheus as well."""
    page = _bounds(settings).runbook_url or RUNBOOK
    rules: list[JsonValue] = [
        {
            "alert": alert.name,
            "expr": in_namespace(alert.expr, settings),
            "for": alert.lasts,
            "labels": {"severity": alert.severity, "environment": settings.profile, "owner": settings.owner},
            "annotations": {"summary": alert.summary, "runbook_url": f"{page}#{alert.name.lower()}"},
        }
        for alert in alerts(settings)
    ]
    return {"groups": [{"name": "langfuse", "rules": rules}]}
