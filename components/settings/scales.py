"""The defaults for each size of an environment: replicas, resources and storage, in the form of a stack file.

`small` is the minimum that starts. `medium` is what Langfuse documents as the minimum of a production environment
(langfuse.com/self-hosting/configuration/scaling): 2 CPUs and 4 GiB for each of web, worker and Postgres, 1 CPU and
1.5 GiB for Redis, 2 CPUs and 8 GiB for ClickHouse (16 GiB or more for larger environments), and 2 CPUs and 4 GiB for
MinIO. Beyond that Langfuse publishes no table: `large` and `xlarge` are calculated from the load by
`operations/sizing.py`, which names the source of each number, or marks it as an assumption.

Limits that follow from the memory are set elsewhere: Node's heap in `environment.py`, ClickHouse's limits in
`stores/clickhouse/config/config.xml`, Valkey's in `stores/redis/valkey.py`.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load that a scale is meant for."""

    events_per_second: float
    """Sustained rate of spans, generations and scores."""
    retained_days: int
    """Number of days for which ClickHouse keeps them."""
    peak_per_second: float | None = None
    """The highest rate of a day whose mean is `events_per_second`. Pods are for this rate, volumes for the mean."""

    @property
    def busiest(self) -> float:
        """The highest rate."""
        return self.peak_per_second or self.events_per_second


LOADS: Final[dict[str, Load]] = {
    "small": Load(events_per_second=0.5, retained_days=14),
    "medium": Load(events_per_second=5, retained_days=30),
    "large": Load(events_per_second=50, retained_days=30),
    "xlarge": Load(events_per_second=200, retained_days=30),
}


def _resources(cpu: str, cpu_limit: str, memory: str) -> dict[str, JsonValue]:
    return {"cpu": cpu, "cpuLimit": cpu_limit, "memory": memory}


SCALES: Final[dict[str, dict[str, JsonValue]]] = {
    "small": {
        "web": {"replicas": 1, "resources": _resources("250m", "2", "2Gi")},
        "worker": {"replicas": 1, "concurrency": 20, "otelConcurrency": 5, "resources": _resources("250m", "2", "2Gi")},
        "postgres": {"storage": "5Gi", "resources": _resources("100m", "1", "512Mi")},
        "clickhouse": {
            "storage": "10Gi",
            "keeperStorage": "2Gi",
            "resources": _resources("250m", "2", "4Gi"),
            "keeperResources": _resources("50m", "500m", "512Mi"),
        },
        "redis": {"storage": "2Gi", "resources": _resources("50m", "500m", "512Mi")},
        "objectStore": {"storage": "30Gi", "resources": _resources("100m", "1", "1Gi")},
    },
    "medium": {
        "web": {"replicas": 2, "resources": _resources("2", "4", "4Gi")},
        "worker": {"replicas": 2, "concurrency": 20, "otelConcurrency": 5, "resources": _resources("2", "4", "4Gi")},
        "postgres": {"storage": "50Gi", "resources": _resources("2", "4", "4Gi")},
        "clickhouse": {
            "storage": "100Gi",
            "keeperStorage": "10Gi",
            "resources": _resources("2", "4", "8Gi"),
            "keeperResources": _resources("250m", "1", "1Gi"),
        },
        "redis": {"storage": "10Gi", "resources": _resources("1", "2", "1536Mi")},
        "objectStore": {"storage": "400Gi", "resources": _resources("2", "4", "4Gi")},
    },
    "large": {
        "web": {"replicas": 3, "resources": _resources("2", "4", "4Gi")},
        "worker": {"replicas": 4, "concurrency": 20, "otelConcurrency": 5, "resources": _resources("2", "4", "4Gi")},
        "postgres": {"storage": "100Gi", "resources": _resources("2", "4", "8Gi")},
        "clickhouse": {
            "storage": "300Gi",
            "keeperStorage": "10Gi",
            "resources": _resources("4", "8", "16Gi"),
            "keeperResources": _resources("500m", "1", "2Gi"),
        },
        "redis": {"storage": "10Gi", "resources": _resources("1", "2", "2Gi")},
        "objectStore": {"storage": "4Ti", "resources": _resources("2", "4", "8Gi")},
    },
    "xlarge": {
        "web": {"replicas": 6, "resources": _resources("2", "4", "4Gi")},
        "worker": {"replicas": 6, "concurrency": 40, "otelConcurrency": 10, "resources": _resources("4", "8", "8Gi")},
        "postgres": {"storage": "200Gi", "resources": _resources("4", "8", "16Gi")},
        "clickhouse": {
            "storage": "1Ti",
            "keeperStorage": "20Gi",
            "resources": _resources("8", "16", "32Gi"),
            "keeperResources": _resources("1", "2", "4Gi"),
        },
        "redis": {"storage": "20Gi", "resources": _resources("2", "4", "4Gi")},
        "objectStore": {"storage": "16Ti", "resources": _resources("4", "8", "16Gi")},
    },
}
