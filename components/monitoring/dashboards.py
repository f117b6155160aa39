"""The dashboard of an operator, as Grafana loads it from a ConfigMap. A pure function of the settings."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from components.monitoring.alerts import in_namespace
from components.schema.environment import Settings
from components.stores.modes import StoreModes

LABEL: Final = {"grafana_dashboard": "1"}
"""By which the sidecar of Grafana's chart finds ConfigMaps (grafana/helm-charts, `sidecar.dashboards.label`)."""

SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4 and newer, which migrate it themselves."""

COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""A row has 24 units."""

DATASOURCE: Final[JsonValue] = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A graph of one query."""

    title: str
    expr: str
    """A query for `in_namespace`."""
    legend: str = ""
    unit: str = "short"
    """A unit of Grafana."""


def panels(settings: Settings) -> Sequence[Panel]:
    """The panels of an environment: what it runs."""
    stores, found = StoreModes.of(settings), [*_application(), *_redis()]
    if stores.clickhouse.is_managed:
        found += _clickhouse()
    found += _operated_postgres() if stores.postgres.operator_pods else _postgres()
    if stores.object_store.is_managed:
        found += _object_store()
    return [*found, *_kubernetes()]


def _application() -> Iterator[Panel]:
    yield Panel(
        title="Pods that are ready",
        expr='kube_deployment_status_replicas_available{NS, deployment=~"langfuse-.*"}',
        legend="{{deployment}}",
    )
    yield Panel(
        title="Jobs that wait",
        expr='topk(10, max by (key) (redis_key_size{NS, key=~".*:wait"}))',
        legend="{{key}}",
    )
    yield Panel(
        title="Jobs completed per second",
        expr='sum by (queue) (rate(langfuse_queue_jobs_total{NS, type="completed"}[5m]))',
        legend="{{queue}}",
    )
    yield Panel(
        title="Nine of ten jobs waited less than",
        expr=(
            "histogram_quantile(0.9, sum by (queue, le) "
            '(rate(langfuse_queue_time_milliseconds_bucket{NS, type="wait"}[15m])))'
        ),
        legend="{{queue}}",
        unit="ms",
    )
    yield Panel(
        title="Jobs that failed for good",
        expr='max by (key) (redis_key_size{NS, key=~".*:failed"}) > 0',
        legend="{{key}}",
    )
    yield Panel(
        title="CPU of pods",
        expr='sum by (pod) (rate(container_cpu_usage_seconds_total{NS, container!=""}[5m]))',
        legend="{{pod}}",
    )


def _redis() -> Iterator[Panel]:
    yield Panel(
        title="Redis: memory",
        expr="redis_memory_used_bytes{NS} / (redis_memory_max_bytes{NS} > 0)",
        legend="{{instance}}",
        unit="percentunit",
    )
    yield Panel(title="Redis: connected clients", expr="redis_connected_clients{NS}", legend="{{instance}}")


def _clickhouse() -> Iterator[Panel]:
    yield Panel(
        title="ClickHouse: rows inserted per second",
        expr="sum by (pod) (rate(ClickHouseProfileEvents_InsertedRows{NS}[5m]))",
        legend="{{pod}}",
    )
    yield Panel(
        title="ClickHouse: most parts in a partition",
        expr="max by (pod) (ClickHouseAsyncMetrics_MaxPartCountForPartition{NS})",
        legend="{{pod}}",
    )
    yield Panel(
        title="ClickHouse: replication lag",
        expr="max by (pod) (ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay{NS})",
        legend="{{pod}}",
        unit="s",
    )
    yield Panel(
        title="ClickHouse: size of tables",
        expr="max by (pod) (ClickHouseAsyncMetrics_TotalBytesOfMergeTreeTables{NS})",
        legend="{{pod}}",
        unit="bytes",
    )


def _postgres() -> Iterator[Panel]:
    yield Panel(title="Postgres: connections", expr="sum by (state) (pg_stat_activity_count{NS})", legend="{{state}}")
    yield Panel(
        title="Postgres: size of databases", expr="pg_database_size_bytes{NS}", legend="{{datname}}", unit="bytes"
    )


def _operated_postgres() -> Iterator[Panel]:
    yield Panel(title="Postgres: connections", expr="sum by (pod) (cnpg_backends_total{NS})", legend="{{pod}}")
    yield Panel(
        title="Postgres: size of databases",
        expr="max by (datname) (cnpg_pg_database_size_bytes{NS})",
        legend="{{datname}}",
        unit="bytes",
    )


def _object_store() -> Iterator[Panel]:
    yield Panel(
        title="Size of buckets",
        expr="max by (bucket) (minio_bucket_usage_total_bytes{NS})",
        legend="{{bucket}}",
        unit="bytes",
    )


def _kubernetes() -> Iterator[Panel]:
    yield Panel(
        title="Volumes: used",
        expr="kubelet_volume_stats_used_bytes{NS} / kubelet_volume_stats_capacity_bytes{NS}",
        legend="{{persistentvolumeclaim}}",
        unit="percentunit",
    )
    yield Panel(
        title="Volumes: days until full, at the pace of the last week",
        expr=(
            "kubelet_volume_stats_available_bytes{NS} / "
            "(deriv(kubelet_volume_stats_used_bytes{NS}[7d]) > 0) / 86400 < 365"
        ),
        legend="{{persistentvolumeclaim}}",
    )
    yield Panel(
        title="Age of backups and drills",
        expr='time() - kube_cronjob_status_last_successful_time{NS, cronjob=~"langfuse-(backup|drill)-.*"}',
        legend="{{cronjob}}",
        unit="s",
    )
    yield Panel(title="Alerts", expr='ALERTS{NS, alertname=~"Langfuse.*", alertstate="firing"}', legend="{{alertname}}")


def operator_dashboard(settings: Settings) -> str:
    """The dashboard in JSON."""
    found = [_panel(number, one, settings) for number, one in enumerate(panels(settings))]
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    dashboard = {
        "uid": f"langfuse-{settings.instance}"[:40],
        "title": f"Langfuse: {settings.instance}",
        "tags": ["langfuse"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [variable]},
        "links": [{"title": "Langfuse", "type": "link", "url": settings.public_url, "targetBlank": True}],
        "panels": found,
    }
    return json.dumps(dashboard, indent=1)


def _panel(number: int, panel: Panel, settings: Settings) -> JsonValue:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {
            "x": number % COLUMNS * WIDTH,
            "y": number // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": "A",
                "datasource": DATASOURCE,
                "expr": in_namespace(panel.expr, settings),
                "legendFormat": panel.legend,
            }
        ],
    }
