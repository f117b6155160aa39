"""What Langfuse tells about itself: metrics by statsd, and traces by OTLP.

It has no endpoint for Prometheus (langfuse discussion 2508). dd-trace sends its metrics in UDP packets
(packages/shared/src/server/instrumentation), which an exporter receives. The SDK of OpenTelemetry sends traces.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.kubernetes.variables import Environment
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.requests import Pods, Requests
from components.stores.connections import Endpoint
from components.stores.contract import METRICS, SERVERS, Flow, Scrape
from components.stores.modes import StoreModes

STATSD_PORT = 8125
"""The default of dd-trace and of Datadog's agent."""

METRICS_HOST = f"langfuse-{METRICS}-headless"
"""The Service of the exporters. Without an address of its own, packets never follow a connection to a former pod."""

EXPORTER_RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="128Mi", ephemeral_storage="64Mi")
"""Assumption: each holds some thousand series."""


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A container that publishes metrics of something else."""

    name: str
    port: int
    """Where Prometheus reads them."""

    @property
    def port_name(self) -> str:
        """The name of the port."""
        return f"http-{self.name}"


STATSD_EXPORTER = Exporter(name="statsd", port=9102)
REDIS_EXPORTER = Exporter(name="redis", port=9121)
POSTGRES_EXPORTER = Exporter(name="postgres", port=9187)
"""With the default ports of the exporters."""


def exporters(settings: Settings) -> Sequence[Exporter]:
    """The exporters of an installation, which run in one pod."""
    if settings.monitoring is None:
        return ()
    own = [POSTGRES_EXPORTER] if StoreModes.of(settings).postgres.exporter else []
    return [STATSD_EXPORTER, REDIS_EXPORTER, *own]


def exporter_pods(settings: Settings) -> Sequence[Pods]:
    """The pod of the exporters with its requests."""
    found = exporters(settings)
    total = sum((Requests.of(EXPORTER_RESOURCES) for _ in found), start=Requests())
    return [Pods(name=METRICS, replicas=1, each=total)] if found else []


def scrapes(settings: Settings, stores: StoreModes) -> Sequence[Scrape]:
    """All metrics that Prometheus reads."""
    if settings.monitoring is None:
        return ()
    own = [Scrape(server=METRICS, port=one.port, port_name=one.port_name) for one in exporters(settings)]
    return [*own, *(scrape for mode in stores for scrape in mode.scrapes())]


def own_metrics_environment(settings: Settings) -> Environment:
    """For web and worker.

    `DD_DOGSTATSD_HOST` names the exporter alone; with `DD_AGENT_HOST`, dd-trace would also look for an agent there
    (packages/dd-trace/src/config in dd-trace).
    """
    monitoring = settings.monitoring
    if monitoring is None:
        return {}
    metrics: Environment = {"DD_DOGSTATSD_HOST": METRICS_HOST, "DD_DOGSTATSD_PORT": str(STATSD_PORT)}
    if traces := monitoring.traces:
        metrics = {
            **metrics,
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint.rstrip("/"),
            "OTEL_TRACE_SAMPLING_RATIO": f"{traces.sampling_percent / 100:g}",
        }
    return metrics


def own_metrics_flows(settings: Settings) -> Iterator[Flow]:
    """Flows to the exporter, and to the collector of traces."""
    if settings.monitoring is None:
        return
    yield Flow(purpose=METRICS, server=METRICS, ports=[STATSD_PORT], protocol="UDP", clients=SERVERS)
    if traces := settings.monitoring.traces:
        yield Flow(purpose="own-traces", endpoints=[Endpoint.of_url(traces.endpoint)], clients=SERVERS)
