"""A changed setting restarts what uses it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from tests.node.changes import merged, replaced, settled
from tests.node.shapes import Installation

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(1800)]

CHANGES: Final[Mapping[str, tuple[Mapping[str, Any], set[str]]]] = {
    "nothing": ({"network": {"webClients": ["istio-system", "other"]}, "backups": {"retentionDays": 9}}, set()),
    "lifecycle of buckets": ({"objectStore": {"eventsDays": 21}}, set()),
    "a variable of web": ({"extraEnv": {"LANGFUSE_CACHE_API_KEY_TTL_SECONDS": "90"}}, {"web"}),
    "a variable of the worker": ({"worker": {"concurrency": 7}}, {"worker"}),
    "memory of Redis": ({"redis": {"resources": {"memory": "320Mi"}}}, {"redis"}),
    # It allows more connections then, which web and worker share (components/stores/postgres/pool.py).
    "memory of Postgres": ({"postgres": {"resources": {"memory": "576Mi"}}}, {"postgres", "web", "worker"}),
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


TOGETHER: Final = (
    ("nothing", "lifecycle of buckets", "volumes"),
    ("a variable of web",),
    ("memory of Redis", "memory of the Keeper"),
    ("a new password of Redis", "a new password of ClickHouse"),
)
"""Changes that are made at the same time in staging and prod, where an update takes longer."""


CASES: Final[Sequence[tuple[str, Sequence[str]]]] = [
    *(("dev", [name]) for name in CHANGES),
    *(("staging", names) for names in TOGETHER),
    *(("prod", names) for names in TOGETHER),
]


@pytest.mark.parametrize(
    ("shape", "names"), [pytest.param(*case, id=f"{case[0]}-{', '.join(case[1])}") for case in CASES]
)
def test_a_setting_restarts_what_uses_it(request: pytest.FixtureRequest, shape: str, names: Sequence[str]) -> None:
    installation: Installation = request.getfixturevalue(shape)
    expected = set[str]().union(*(CHANGES[name][1] for name in names))
    before = settled(installation)
    for name in names:
        installation.stack.configure(merged(installation, CHANGES[name][0]))
    installation.stack.up().ok()
    assert replaced(before, settled(installation)) == expected
