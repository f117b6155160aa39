"""Each rule that joins keys: what it refuses, and the good neighbours of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.settings import checks as rules
from components.settings.checks import RULES, Rule
from components.settings.load import SettingsError, parse
from components.settings.memory_checks import memory_is_enough
from components.stores import versions as store_versions

Config = Mapping[str, Any]

EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
GATEWAY = {"namespace": "gateway", "labels": {"app": "litellm"}, "port": 4000}
V3 = {"version": "3.225.4"}
V4_16 = {"version": "4.16.0"}


def redis(**store: object) -> Config:
    return {**EXISTING, "redis": {"mode": "external", **store}}


REFUSED: list[tuple[Rule, str, Config, str]] = [
    (
        rules.autoscaling_bounds,
        "dev",
        {"worker": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}},
        "worker.autoscaling.minReplicas: 3 is more than maxReplicas (2); raise maxReplicas",
    ),
    (
        rules.requests_fit_limits,
        "prod",
        {"objectStore": {"resources": {"cpu": "8"}}},
        'objectStore.resources.cpu: "8" is more than cpuLimit (4); raise cpuLimit',
    ),
    (
        memory_is_enough,
        "dev",
        {"web": {"resources": {"memory": "64Mi"}}},
        'web.resources.memory: "64Mi" is less than it starts and works with; use 1Gi or more',
    ),
    (
        memory_is_enough,
        "prod",
        {"clickhouse": {"keeperResources": {"memory": "64M"}}},
        'clickhouse.keeperResources.memory: "64M" is less',
    ),
    (
        rules.gateway_is_elsewhere,
        "dev",
        {"namespace": "edge", "ingress": {"gateway": "edge/public"}},
        'namespace: "edge" is where the gateway is (edge/public)',
    ),
    (
        rules.allowed_pods_have_an_address,
        "dev",
        {"allowedTargets": {"blobStorage": {"pods": [GATEWAY]}}},
        "allowedTargets.blobStorage.pods: can't be called while Langfuse refuses their address",
    ),
    (rules.public_url_is_https, "prod", {"ingress": {"tls": False}}, "ingress.tls: false would serve prod without TLS"),
    (
        rules.replicas_have_a_majority,
        "dev",
        {"clickhouse": {"replicas": 3, "keepers": 1}},
        "clickhouse.keepers: 1 can't keep 3 replicas going; set it to 3",
    ),
    (
        rules.events_outlive_backups,
        "dev",
        {"objectStore": {"eventsDays": 13}, "backups": {"clickhouseSchedule": "0 2 * * 1"}},
        "objectStore.eventsDays: 13 is less than twice the days between two ClickHouse backups; set it to 14",
    ),
    (
        rules.append_only_file_fits,
        "dev",
        {"redis": {"storage": "1023Mi", "resources": {"memory": "512Mi"}}},
        'redis.storage: "1023Mi" is less than twice the memory (512Mi)',
    ),
    (rules.append_only_file_fits, "prod", {"redis": {"storage": "1Gi"}}, 'redis.storage: "1Gi" is less than twice'),
    (rules.external_redis_is_reachable, "dev", redis(), "redis.host: is required with topology single"),
    (rules.external_redis_is_reachable, "dev", redis(topology="cluster"), "redis.nodes: is required with topology"),
    (
        rules.external_redis_is_reachable,
        "dev",
        redis(topology="sentinel", nodes=["a.example:26379"]),
        "redis.masterName: is required with topology sentinel",
    ),
    (
        rules.external_redis_is_reachable,
        "dev",
        redis(topology="cluster", nodes=["a.example:6379", "redis://b.example:6379"]),
        'redis.nodes: "redis://b.example:6379" is not "host:port"',
    ),
    (
        rules.migrations_pass_the_pooler,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "pooler": True}},
        "postgres.directHost: is required with pooler true",
    ),
    (
        rules.cloudnative_pg_finds_the_password,
        "dev",
        {**EXISTING, "postgres": {"mode": "cloudnativepg"}},
        "credentials.values.postgresPassword.key: is not where CloudNativePG reads it",
    ),
    (store_versions.versions_fit, "dev", {"postgres": {"version": "14.9"}}, 'postgres.version: "14.9" is too old'),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "25.11.9"}}, "use 25.12 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V3, "clickhouse": {"version": "24.2.9"}},
        "too old for Langfuse 3; use 24.3",
    ),
    (store_versions.versions_fit, "dev", {**V3, "redis": {"version": "6.9"}}, "use 7.0 or newer"),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.1.651"}}, "use 26.5.6.70 or newer"),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.7.2.10"}}, "use 26.7.2.11 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V4_16, "clickhouse": {"version": "26.8.2.7"}},
        'clickhouse.version: "26.8.2.7" drops every trace that Langfuse 4.16.0 writes; use a ClickHouse before 26.8, '
        "or Langfuse 4.28.0 or newer",
    ),
    (
        store_versions.versions_fit,
        "dev",
        {"version": "4.27.9", "clickhouse": {"mode": "external", "host": "a.example", "version": "26.9"}, **EXISTING},
        "drops every trace that Langfuse 4.27.9 writes",
    ),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "26.8.1.1"}}, "or Langfuse 3.225.7 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V4_16, "clickhouse": {"version": "26.6.1.5"}},
        "use 26.6.2.108 or newer, before 26.8",
    ),
    (
        store_versions.versions_fit,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "version": "13.4"}},
        'postgres.version: "13.4" is too old for Langfuse 4',
    ),
    (rules.write_mode_is_possible, "dev", {"ingestion": {"writeMode": "legacy"}}, 'ingestion.otelBehaviour: "direct"'),
    (
        rules.write_mode_is_possible,
        "dev",
        {"ingestion": {"otelBehaviour": "dual_write"}},
        'ingestion.otelBehaviour: "dual_write" fills tables that writeMode events_only leaves; use "direct"',
    ),
    (
        rules.write_mode_is_possible,
        "dev",
        {"ingestion": {"writeMode": "events_only", "previewOptIn": False}},
        "ingestion.previewOptIn: false leaves no view",
    ),
    (
        rules.write_mode_is_possible,
        "dev",
        {"ingestion": {"writeMode": "legacy", "otelBehaviour": "dual_write", "historicBackfill": True}},
        "ingestion.historicBackfill: true in writeMode legacy would leave a hole for ever",
    ),
]

NEIGHBOURS: list[tuple[Rule, str, Config]] = [
    (rules.autoscaling_bounds, "dev", {"web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}}),
    (rules.requests_fit_limits, "dev", {"web": {"resources": {"cpu": "2000m", "cpuLimit": "2"}}}),
    (rules.requests_fit_limits, "dev", redis(host="redis.example.com")),
    (rules.gateway_is_elsewhere, "dev", {"namespace": "edge", "ingress": {"gateway": "edge-public/edge"}}),
    (rules.gateway_is_elsewhere, "dev", {"namespace": "edge", "ingress": {"kind": "none", "gateway": "edge/public"}}),
    (rules.allowed_pods_have_an_address, "dev", {"allowedTargets": {"llm": {"hosts": ["llm.a"], "pods": [GATEWAY]}}}),
    (rules.public_url_is_https, "dev", {"ingress": {"tls": False}}),
    (rules.public_url_is_https, "prod", {"ingress": {"kind": "none", "tls": False}}),
    (rules.replicas_have_a_majority, "dev", {"clickhouse": {"replicas": 3, "keepers": 3}}),
    (rules.replicas_have_a_majority, "dev", {"clickhouse": {"replicas": 1, "keepers": 3}}),
    (
        rules.events_outlive_backups,
        "dev",
        {"objectStore": {"eventsDays": 14}, "backups": {"clickhouseSchedule": "0 2 * * 1"}},
    ),
    (rules.events_outlive_backups, "dev", {"objectStore": {"eventsDays": 2}}),
    (memory_is_enough, "dev", {"worker": {"resources": {"memory": "1Gi"}}}),
    (memory_is_enough, "dev", {**EXISTING, "redis": {"mode": "external", "host": "redis.example.com"}}),
    (rules.append_only_file_fits, "dev", {"redis": {"storage": "1Gi", "resources": {"memory": "512Mi"}}}),
    (rules.append_only_file_fits, "dev", redis(host="redis.example.com")),
    (rules.external_redis_is_reachable, "dev", redis(host="redis.example.com")),
    (rules.external_redis_is_reachable, "dev", redis(topology="cluster", nodes=["10.0.0.1:6379"])),
    (
        rules.external_redis_is_reachable,
        "dev",
        redis(topology="sentinel", nodes=["a.example:26379"], masterName="primary"),
    ),
    (
        rules.migrations_pass_the_pooler,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "pooler": True, "directPort": 5433}},
    ),
    (rules.cloudnative_pg_finds_the_password, "dev", {"postgres": {"mode": "cloudnativepg"}}),
    (rules.cloudnative_pg_finds_the_password, "dev", EXISTING),
    (store_versions.versions_fit, "dev", {"postgres": {"version": "15.0"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "25.12.1"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.1.650"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.6.70"}}),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "24.3.1"}}),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "26.6.1.5"}}),
    (store_versions.versions_fit, "dev", {"version": "4.28.0", "clickhouse": {"version": "26.8.1.1"}}),
    (store_versions.versions_fit, "dev", {"version": "3.225.7", "clickhouse": {"version": "26.8.1.1"}}),
    (store_versions.versions_fit, "dev", {**V4_16, "clickhouse": {"version": "26.7.2.11"}}),
    (store_versions.versions_fit, "dev", {**EXISTING, "postgres": {"mode": "external", "host": "a.example"}}),
    (rules.write_mode_is_possible, "dev", {"ingestion": {"writeMode": "legacy", "otelBehaviour": "dual_write"}}),
    (rules.write_mode_is_possible, "dev", {"ingestion": {"writeMode": "dual", "otelBehaviour": "direct"}}),
    (
        rules.write_mode_is_possible,
        "dev",
        {"ingestion": {"writeMode": "dual", "otelBehaviour": "dual_write", "historicBackfill": True}},
    ),
    (rules.write_mode_is_possible, "dev", {"ingestion": {"writeMode": "events_only", "historicBackfill": True}}),
    (rules.write_mode_is_possible, "dev", V3),
]

OWN = [
    rule
    for rule in RULES
    if rule.__module__ == rules.__name__ or rule in {memory_is_enough, store_versions.versions_fit}
]
"""Rules of `components/settings/checks.py` and of small files beside it; other files have tests of their own."""


def test_every_rule_is_tested_in_both_directions() -> None:
    assert {rule for rule, *_ in REFUSED} == {rule for rule, *_ in NEIGHBOURS} == set(OWN)


def title(value: object) -> str | None:
    return str(getattr(value, "__name__", "")) or None


@pytest.mark.parametrize(("rule", "stack", "config", "message"), REFUSED, ids=title)
def test_a_rule_names_key_value_and_fix(rule: Rule, stack: str, config: Config, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(stack, {"host": "langfuse.example.com", **config})
    assert message in str(raised.value)
    assert str(raised.value).startswith("1 problem ")


@pytest.mark.parametrize(("rule", "stack", "config"), NEIGHBOURS, ids=title)
def test_a_good_neighbour_passes(rule: Rule, stack: str, config: Config) -> None:
    assert not list(rule(parse(stack, {"host": "langfuse.example.com", **config})))


@pytest.mark.parametrize(("rule", "stack", "config", "message"), REFUSED, ids=title)
def test_it_is_this_rule_that_refuses(
    rule: Rule, stack: str, config: Config, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.settings.load.RULES", [one for one in RULES if one is not rule])
    settings = parse(stack, {"host": "langfuse.example.com", **config})
    assert [problem for problem in rule(settings) if message in problem]


def test_problems_of_several_rules_are_named_at_once() -> None:
    config = {"clickhouse": {"replicas": 3}, "redis": {"storage": "100Mi"}, "postgres": {"version": "14.1"}}
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": "langfuse.example.com", **config})
    assert str(raised.value).startswith("3 problems in the configuration of stack dev:")
