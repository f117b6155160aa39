"""Defaults per kind of environment, in the shape of a stack file.

Sizes: `prod` gives each workload the documented minimum for production
(langfuse.com/self-hosting/configuration/scaling: web and worker 2 CPU and 4 GiB, Postgres 2 and 4,
Redis 1 and 1.5, ClickHouse 2 and 8); `dev` and `preview` are the least that starts.
"""

from typing import Final

from pydantic import JsonValue

DEFAULT_VERSION: Final = "4.16.0"
"""The release of Langfuse that the facts in this program were read from."""


def _resources(cpu: str, cpu_limit: str, memory: str) -> dict[str, JsonValue]:
    return {"cpu": cpu, "cpuLimit": cpu_limit, "memory": memory}


_SMALL: Final[dict[str, JsonValue]] = {
    "version": DEFAULT_VERSION,
    "protect": False,
    "ingress": {"kind": "istio", "gateway": "istio-system/public", "tls": True},
    "network": {"webClients": ["istio-system"]},
    "application": {"logLevel": "info", "telemetry": False, "signUp": False},
    "web": {"replicas": 1, "resources": _resources("250m", "2", "2Gi")},
    "worker": {"replicas": 1, "resources": _resources("250m", "2", "2Gi")},
    "postgres": {"storage": "5Gi", "resources": _resources("100m", "1", "512Mi")},
    "clickhouse": {
        "storage": "10Gi",
        "keeperStorage": "2Gi",
        "resources": _resources("250m", "2", "4Gi"),
        "keeperResources": _resources("50m", "500m", "512Mi"),
    },
    "redis": {"storage": "2Gi", "resources": _resources("50m", "500m", "512Mi")},
    "objectStore": {
        "storage": "10Gi",
        "resources": _resources("100m", "1", "1Gi"),
        "eventsDays": 30,
        "exportsDays": 7,
    },
    "backups": {"postgresSchedule": "15 2 * * *", "clickhouseSchedule": "45 2 * * *", "retentionDays": 7},
    "firstStart": {
        "organization": "Langfuse",
        "project": "Default",
        "ownerEmail": "owner@example.com",
        "ownerName": "Owner",
    },
}

_PRODUCTION: Final[dict[str, JsonValue]] = {
    **_SMALL,
    "protect": True,
    "web": {"replicas": 2, "resources": _resources("2", "4", "4Gi")},
    "worker": {"replicas": 2, "resources": _resources("2", "4", "4Gi")},
    "postgres": {"storage": "50Gi", "resources": _resources("2", "4", "4Gi")},
    "clickhouse": {
        "storage": "100Gi",
        "keeperStorage": "10Gi",
        "resources": _resources("2", "4", "8Gi"),
        "keeperResources": _resources("250m", "1", "1Gi"),
    },
    "redis": {"storage": "10Gi", "resources": _resources("1", "2", "1536Mi")},
    "objectStore": {
        "storage": "100Gi",
        "resources": _resources("1", "2", "4Gi"),
        "eventsDays": 30,
        "exportsDays": 7,
    },
    "backups": {"postgresSchedule": "15 */6 * * *", "clickhouseSchedule": "45 2 * * *", "retentionDays": 30},
}

PROFILES: Final[dict[str, dict[str, JsonValue]]] = {
    "dev": _SMALL,
    "preview": _SMALL,
    "staging": {**_SMALL, "protect": True},
    "prod": _PRODUCTION,
}
