"""Metrics for Prometheus, and traces of Langfuse itself."""

from pydantic import Field

from components.schema.base import Model
from components.schema.labels import LabelKey, LabelValue
from components.schema.values import ByteQuantity, DnsLabel, Duration, HttpUrl, Url


class Prometheus(Model):
    """The Prometheus that reads the metrics. Its pods are in another namespace."""

    namespace: DnsLabel = Field(default="monitoring", description="Namespace of its pods.")
    labels: dict[LabelKey, LabelValue] = Field(
        default={}, description="Labels of its pods. Default: all pods of the namespace can read metrics."
    )
    mesh: bool = Field(
        default=False,
        description="Whether its pods are in the mesh, if there is one. Otherwise, the ports with metrics also accept "
        "plain text.",
    )


class OwnTraces(Model):
    """Traces of web and worker themselves, for a collector of OpenTelemetry."""

    endpoint: HttpUrl = Field(
        description="URL of the collector by HTTP without a path, for example "
        "`http://otel-collector.monitoring.svc:4318`. Langfuse does not speak gRPC."
    )
    sampling_percent: int = Field(
        default=100, ge=1, le=100, description="Percentage of the requests to web that are traced."
    )


class Alerts(Model):
    """Bounds of the alerts, which a PrometheusRule has. `docs/runbooks/alerts.md` says what to do about each."""

    queue_length: int = Field(default=5000, ge=1, description="Number of jobs that may wait in a queue.")
    queue_minutes: int = Field(
        default=10, ge=1, description="Minutes that nine of ten events may wait in a queue of the ingestion."
    )
    backup_hours: int = Field(
        default=30, ge=1, description="Age of the newest backup of each store, in hours. It must exceed the schedule."
    )
    bucket_size: ByteQuantity | None = Field(
        default=None, description="Size that each bucket in MinIO may have. Default: no alert about single buckets."
    )
    runbook_url: Url | None = Field(
        default=None,
        description="URL at which people on call read `docs/runbooks/alerts.md`. Alerts link to its sections. Default: "
        "its path in this repository.",
    )


class Monitoring(Model):
    """Metrics of the stores and of Langfuse for Prometheus.

    Exporters run in a pod of their own. PodMonitors and network rules let Prometheus read the metrics. A PrometheusRule
    has alerts. `docs/monitoring.md` lists the metrics.
    """

    prometheus: Prometheus = Prometheus()
    operator: bool = Field(
        default=True,
        description="Whether the cluster has the Prometheus Operator. With `false`, the stack creates no PodMonitors "
        "and alerts, and Prometheus needs scrape configurations of your own (docs/monitoring.md).",
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default={},
        description="Labels of the objects for the Prometheus Operator, by which Prometheus selects them, for example "
        "`release: kube-prometheus-stack`.",
    )
    interval: Duration | None = Field(
        default=None, description="How often metrics are read. Default: the interval of Prometheus."
    )
    alerts: Alerts = Alerts()
    dashboard: bool = Field(
        default=True,
        description="Whether to create a ConfigMap with a dashboard for Grafana. Its label is `grafana_dashboard`, by "
        "which the sidecar of Grafana's chart finds it.",
    )
    traces: OwnTraces | None = Field(
        default=None, description="Where web and worker send traces of themselves. Default: nowhere."
    )
