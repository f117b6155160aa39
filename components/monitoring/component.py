"""The exporters, and the objects by which Prometheus finds what it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s

from components.application.component import ApplicationContext
from components.application.own_metrics import STATSD_PORT
from components.kubernetes.objects import Scope, child_options, config_map, custom_resource, service, service_account
from components.kubernetes.pods import Container, Mount, pod, secret_names
from components.kubernetes.rollouts import await_options, round_seconds
from components.kubernetes.variables import Environment
from components.monitoring import exporters
from components.monitoring.alerts import rule_groups
from components.monitoring.dashboards import LABEL, operator_dashboard
from components.monitoring.scraping import API_VERSION, pod_monitors
from components.schema import images
from components.schema.monitoring import Monitoring as MonitoringSettings
from components.stores.contract import METRICS
from components.stores.modes import StoreModes

GRACE_SECONDS = 30


class Monitoring(pulumi.ComponentResource):
    """A StatefulSet of exporters, a PodMonitor for each server with metrics, and the alerts.

    The exporters are no sidecars of the stores: a new release of one restarts no store, and external stores have
    metrics too. There is one pod, also during an update, because two would each receive a part of what web and worker
    send. A StatefulSet ensures that.
    """

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        settings: MonitoringSettings,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            settings: What is monitored, and by whom.
            opts: Options of the component.
            after: What the exporters connect to.
        """
        super().__init__("langfuse:index:Monitoring", name, settings.model_dump(), opts)
        self._context, self._stores = context, StoreModes.of(context.settings)
        workload = context.installation.workload(METRICS, component="monitoring", version=images.STATSD_EXPORTER.tag)
        scope = Scope(workload, child_options(self, opts))
        self._create_exporters(scope, after)
        if settings.operator:
            for server, spec in pod_monitors(context.settings, self._stores, context.stores.redis).items():
                self._object(scope, "PodMonitor", server, {**spec}, settings)
            self._object(scope, "PrometheusRule", "alerts", {**rule_groups(context.settings)}, settings)
        if settings.dashboard:
            self._create_dashboard(scope)
        self.register_outputs({})

    def _create_exporters(self, scope: Scope, after: Sequence[pulumi.Resource]) -> None:
        account = service_account(scope)
        files = {exporters.MAPPING: (exporters.CONFIG / exporters.MAPPING).read_text()}
        mapping = Mount.config("mapping", config_map(scope, "statsd", files).metadata.name, exporters.MAPPING_PATH)
        containers, environment = self._containers(mapping)
        template = pod(
            scope.workload,
            containers,
            fs_group=images.STATSD_EXPORTER.uid,
            mounts=[mapping, *self._context.ca_bundles],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=self._context.checksum_annotations(secret_names(environment)),
        )
        governing = service(scope, {"udp-statsd": STATSD_PORT}, headless=True)
        wait = await_options(round_seconds(template), grace=GRACE_SECONDS)
        k8s.apps.v1.StatefulSet(
            scope.workload.resource_name,
            metadata=scope.workload.metadata(),
            spec={
                "replicas": 1,
                "revision_history_limit": 3,
                "selector": {"match_labels": scope.workload.selector},
                "service_name": governing.metadata.name,
                "template": template,
            },
            opts=scope.options(pulumi.ResourceOptions.merge(wait, pulumi.ResourceOptions(depends_on=list(after)))),
        )

    def _containers(self, mapping: Mount) -> tuple[list[Container], Environment]:
        """The exporters, and all of their variables."""
        context = self._context
        redis = exporters.redis_environment(context.stores.redis)
        found = [exporters.statsd_container(mapping), exporters.redis_container(redis, context.ca_bundles)]
        connection = self._stores.postgres.metrics_connection(context.refs)
        if connection is None:
            return found, redis
        postgres = exporters.postgres_environment(connection)
        return [*found, exporters.postgres_container(postgres, context.ca_bundles)], {**redis, **postgres}

    def _create_dashboard(self, scope: Scope) -> None:
        """It has a fixed name: Grafana would show the former and the new content for a while."""
        name, labelled = f"{scope.workload.resource_name}-dashboard", _labelled(scope, LABEL)
        k8s.core.v1.ConfigMap(
            name,
            metadata=labelled.workload.metadata(name),
            data={f"langfuse-{self._context.settings.instance}.json": operator_dashboard(self._context.settings)},
            opts=labelled.opts,
        )

    def _object(
        self, scope: Scope, kind: str, role: str, spec: dict[str, object], settings: MonitoringSettings
    ) -> None:
        """An object for the Prometheus Operator, with the labels by which Prometheus selects it."""
        labelled = _labelled(scope, settings.labels)
        custom_resource(labelled, API_VERSION, kind, spec, name=f"langfuse-{role}", resource_name=f"{kind}-{role}")


def _labelled(scope: Scope, labels: Mapping[str, str]) -> Scope:
    """The scope of objects with further labels."""
    installation = scope.workload.installation
    labelled = replace(installation, labels={**installation.labels, **labels})
    return replace(scope, workload=replace(scope.workload, installation=labelled))
