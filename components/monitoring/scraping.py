"""What Prometheus reads: the specifications of PodMonitors. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from components.application.own_metrics import REDIS_EXPORTER, scrapes
from components.monitoring.exporters import redis_requests
from components.schema.environment import Settings
from components.stores.connections import RedisConnection
from components.stores.contract import METRICS, Scrape
from components.stores.modes import StoreModes

API_VERSION = "monitoring.coreos.com/v1"


def pod_monitors(
    settings: Settings, stores: StoreModes, redis: RedisConnection
) -> Mapping[str, Mapping[str, JsonValue]]:
    """The specifications of PodMonitors, by the server that they read."""
    endpoints: dict[str, list[JsonValue]] = {}
    labels: dict[str, Mapping[str, str]] = {}
    for scrape in scrapes(settings, stores):
        labels[scrape.server] = scrape.labels or {"app.kubernetes.io/name": scrape.server}
        found = endpoints.setdefault(scrape.server, [])
        if (scrape.server, scrape.port) == (METRICS, REDIS_EXPORTER.port):
            found += _of_redis(settings, stores, redis)
        else:
            found += _of_paths(settings, scrape)
    return {
        server: {
            # The label `job` of the metrics.
            "jobLabel": next(iter(labels[server])),
            "selector": {"matchLabels": {**labels[server]}},
            "podMetricsEndpoints": own,
        }
        for server, own in endpoints.items()
    }


def _of_paths(settings: Settings, scrape: Scrape) -> Iterator[JsonValue]:
    # Two targets with the same labels would be one.
    relabelings: Sequence[JsonValue] = [{"sourceLabels": ["__metrics_path__"], "targetLabel": "metrics_path"}]
    for path in scrape.paths:
        more = {"relabelings": [*relabelings]} if len(scrape.paths) > 1 else {}
        yield {"port": scrape.port_name, "path": path, **_interval(settings), **more}


def _of_redis(settings: Settings, stores: StoreModes, connection: RedisConnection) -> Iterator[JsonValue]:
    """One request for each server, whose address becomes the label `instance`."""
    servers = stores.redis.monitored_servers(connection)
    sentinels = stores.redis.monitored_sentinels(connection)
    for address, parameters in redis_requests(settings, connection, servers, sentinels):
        yield {
            "port": REDIS_EXPORTER.port_name,
            "path": "/scrape",
            "params": {name: [*values] for name, values in parameters.items()},
            "relabelings": [{"targetLabel": "instance", "replacement": address}],
            **_interval(settings),
        }


def _interval(settings: Settings) -> Mapping[str, JsonValue]:
    interval = settings.monitoring.interval if settings.monitoring else None
    return {"interval": interval} if interval else {}
