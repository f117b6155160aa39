"""The defaults of each kind of environment: protection, availability and access, in the form of a stack file.

The defaults for its size are in `components/settings/scales.py`.
"""

from typing import Final

from pydantic import JsonValue

from components.schema.images import DEFAULT_VERSION

_FINISH_JOBS: Final[dict[str, JsonValue]] = {"terminationGracePeriodSeconds": 330}
"""After a SIGTERM the worker waits for its jobs, some of which take five minutes. Then it writes its buffers to
ClickHouse (worker/src/utils/shutdown.ts)."""

_BACKUPS: Final[dict[str, JsonValue]] = {
    "postgresSchedule": "15 2 * * *",
    "clickhouseSchedule": "45 0 * * *",
    "drillSchedule": "never",
    "keep": {"minimum": 3, "daily": 7, "weekly": 0, "monthly": 0},
    "retentionDays": 7,
}

_WEEKLY = "30 9 * * 0"
"""On Sundays, after the night's backups, their copy and their verification."""

_COMMON: Final[dict[str, JsonValue]] = {
    "version": DEFAULT_VERSION,
    "scale": "small",
    "protect": False,
    "owner": "platform",
    "ingress": {"kind": "istio"},
    "application": {"logLevel": "info", "logFormat": "text", "telemetry": False},
    "worker": {"terminationGracePeriodSeconds": 60},
    "postgres": {"mode": "managed"},
    "clickhouse": {"mode": "managed", "replicas": 1, "keepers": 1},
    "redis": {"mode": "managed"},
    "objectStore": {"mode": "managed", "nodes": 1, "eventsDays": 30, "exportsDays": 7},
    "backups": _BACKUPS,
    "firstStart": {
        "organization": "Langfuse",
        "project": "Default",
        "ownerEmail": "owner@example.com",
        "ownerName": "Owner",
    },
    "signIn": {"signUp": False},
}

PROFILES: Final[dict[str, dict[str, JsonValue]]] = {
    "dev": _COMMON,
    "preview": {
        **_COMMON,
        "objectStore": {"mode": "managed", "nodes": 1, "eventsDays": 7, "exportsDays": 1},
        "backups": {**_BACKUPS, "beforeUpgrade": False},
    },
    "staging": {
        **_COMMON,
        "protect": True,
        "worker": _FINISH_JOBS,
        "backups": {**_BACKUPS, "drillSchedule": _WEEKLY},
    },
    "prod": {
        **_COMMON,
        "scale": "medium",
        "protect": True,
        "worker": _FINISH_JOBS,
        "clickhouse": {"mode": "managed", "replicas": 3, "keepers": 3},
        "redis": {"mode": "sentinel"},
        "objectStore": {"mode": "managed", "nodes": 4, "eventsDays": 30, "exportsDays": 7},
        "backups": {
            "postgresSchedule": "15 */6 * * *",
            "clickhouseSchedule": "45 2 * * *",
            "drillSchedule": _WEEKLY,
            "keep": {"minimum": 3, "daily": 7, "weekly": 4, "monthly": 6},
            "retentionDays": 30,
        },
    },
}
