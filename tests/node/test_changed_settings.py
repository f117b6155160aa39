"""A changed setting restarts what uses it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.node.changes import merged, replaced, settled
from tests.node.shapes import Installation

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(900)]

CHANGES: Final[Mapping[str, tuple[Mapping[str, Any], set[str]]]] = {
    "nothing": ({"network": {"webClients": ["istio-system", "other"]}, "backups": {"retentionDays": 9}}, set()),
    "lifecycle of buckets": ({"objectStore": {"eventsDays": 21}}, set()),
    "a variable of web": ({"extraEnv": {"LANGFUSE_CACHE_API_KEY_TTL_SECONDS": "90"}}, {"web"}),
    "a variable of the worker": ({"worker": {"concurrency": 7}}, {"worker"}),
    "memory of Redis": ({"redis": {"resources": {"memory": "320Mi"}}}, {"redis"}),
    "memory of Postgres": ({"postgres": {"resources": {"memory": "576Mi"}}}, {"postgres"}),
    "memory of the Keeper": ({"clickhouse": {"keeperResources": {"memory": "576Mi"}}}, {"keeper"}),
    "CPU of ClickHouse": ({"clickhouse": {"resources": {"cpu": "15m"}}}, {"clickhouse"}),
    "volumes": ({"postgres": {"storage": "1100Mi"}, "redis": {"storage": "1100Mi"}}, set()),
    "a new password of Redis": (
        {"credentials": {"values": {"redisPassword": {"source": "generated", "epoch": 2}}}},
        {"redis", "web", "worker"},
    ),
    "a new password of ClickHouse": (
        {"credentials": {"values": {"clickhousePassword": {"source": "generated", "epoch": 2}}}},
        {"clickhouse", "web", "worker"},
    ),
}
"""What is changed, and the workloads whose pods are replaced. The changes stay: volumes can't shrink, and an epoch
can't decrease."""


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_restarts_what_uses_it(dev: Installation, name: str) -> None:
    change, expected = CHANGES[name]
    before = settled(dev)
    dev.stack.configure(merged(dev, change))
    dev.stack.up().ok()
    assert replaced(before, settled(dev)) == expected
